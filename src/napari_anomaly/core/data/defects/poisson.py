"""Seamless cloning: the gradients of one image with the border of another."""

import numpy as np
import scipy.fft
from jaxtyping import Bool, Float

Field = Float[np.ndarray, "y x c"]


def clone(
    target: Field, source: Field, mask: Bool[np.ndarray, "y x"], *, mixed: bool = False
) -> Field:
    """Put a piece of one image into another so that no seam shows.

    Inside the mask f has the Laplacian of the source, at its edge the values of the target
    [1]_ (eq. 10). A source of zeros fills the mask smoothly from its edge.

    Parameters
    ----------
    target, source : float arrays, ``(y, x, c)``
        Windows that lie over each other.
    mask : bool array, ``(y, x)``
        True where the source goes; the outermost pixels must be False.
    mixed : bool
        Keep the target's gradient where it is the stronger one [1]_ (eq. 12).

    Returns
    -------
    float32 array, ``(y, x, c)``
        Equal to the target outside the mask; may leave [0, 1].

    References
    ----------
    .. [1] Perez, Gangnet and Blake 2003, Poisson image editing, https://doi.org/10.1145/882262.882269
    """
    change = source - target
    steps = [np.diff(change, axis=axis) for axis in (0, 1)]
    if mixed:
        steps = [
            np.where(np.abs(np.diff(source, axis=k)) > np.abs(np.diff(target, axis=k)), step, 0)
            for k, step in enumerate(steps)
        ]
    inwards = np.zeros_like(change)
    inwards[1:] += steps[0]
    inwards[:-1] -= steps[0]
    inwards[:, 1:] += steps[1]
    inwards[:, :-1] -= steps[1]
    return np.asarray(target + solve(inwards, mask), np.float32)


def solve(
    load: Field, mask: Bool[np.ndarray, "y x"], tolerance: float = 5e-4, most: int = 200
) -> Field:
    """Solve ``-laplacian(u) = load`` inside a mask (five-point stencil), with u = 0 outside of it.

    Conjugate gradients on the mask, preconditioned by the solution on the whole rectangle, which sine transforms give
    at once: a mask that is a rectangle takes one step, others five to thirty.

    Parameters
    ----------
    load : float array, ``(y, x, c)``
    mask : bool array, ``(y, x)``
        Its outermost pixels must be False.
    tolerance : float
        Largest correction that is left undone, in the units of u.
    most : int
        Steps, at most.

    Returns
    -------
    array, ``(y, x, c)``
        Of the load's dtype.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    u = np.zeros_like(load)
    if rows.size:
        tight = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        u[tight] = _conjugate(load[tight], mask[tight], tolerance, most)
    return u


def _conjugate(load: Field, mask: np.ndarray, tolerance: float, most: int) -> Field:
    within = mask[..., None]
    roots = _eigenvalues(mask.shape).astype(load.dtype)
    left = np.where(within, load, 0)
    u, heading, last = np.zeros_like(left), np.zeros_like(left), np.ones(load.shape[2], load.dtype)
    for _ in range(most):
        correction = np.where(within, _on_rectangle(left, roots), 0)
        if np.abs(correction).max() < tolerance:
            break
        fall = _dot(left, correction)
        heading = correction + heading * (fall / last)
        pull = np.where(within, _minus_laplacian(heading), 0)
        step = fall / np.maximum(_dot(heading, pull), 1e-30)
        u += step * heading
        left -= step * pull
        last = np.maximum(fall, 1e-30)
    return np.asarray(u)


def _on_rectangle(load: np.ndarray, roots: np.ndarray) -> np.ndarray:
    """Solve on the whole rectangle: sines are the eigenvectors."""
    waves = scipy.fft.dstn(load, type=1, axes=(0, 1))
    return np.asarray(scipy.fft.idstn(waves / roots, type=1, axes=(0, 1), overwrite_x=True))


def _eigenvalues(shape: tuple[int, ...]) -> np.ndarray:
    y, x = (2 - 2 * np.cos(np.pi * np.arange(1, n + 1) / (n + 1)) for n in shape)
    return np.asarray((y[:, None] + x)[..., None])


def _minus_laplacian(u: np.ndarray) -> np.ndarray:
    out = 4 * u
    out[1:] -= u[:-1]
    out[:-1] -= u[1:]
    out[:, 1:] -= u[:, :-1]
    out[:, :-1] -= u[:, 1:]
    return np.asarray(out)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray((a * b).sum(axis=(0, 1)))
