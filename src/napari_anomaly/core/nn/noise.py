"""What spoils training images, inside the compiled step: on the device, each image by its own key.

Sizes and intensities are those of images in [0, 1].
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

Images = Float[Array, "n y x c"]
Image = Float[Array, "y x c"]

NoiseKind = Literal["stain", "coarse", "gaussian", "mask"]

_COARSE = 16  # cells along each side
_POINTS = 20  # of a stain's outline
_AXES = (0.01, 0.12)  # half axes of a stain, share of the image's smaller side
_ROUGH = 0.1  # how far a point of the outline may lie from the ellipse, share of the half axes
_SOFT = 0.15  # deviation of the blur of a stain's edge, share of the half axes
_CELLS, _HIDDEN = (
    8,
    0.25,
)  # masked squares: so many along the smaller side, and the share of them that is hidden


def spoilt(images: Images, keys: Key[Array, " n"], kind: NoiseKind, sigma: float) -> Images:
    """Spoil each image by its own key.

    Parameters
    ----------
    images : array, ``(n, y, x, c)`` in [0, 1]
    keys : array of keys, ``(n,)``
    kind : {"stain", "coarse", "gaussian", "mask"}
    sigma : float
        Deviation of Gaussian and of coarse noise.
    """
    match kind:
        case "stain":
            one = stained
        case "coarse":
            one = partial(coarsely, sigma=sigma)
        case "gaussian":
            one = partial(noisy, sigma=sigma)
        case "mask":
            one = masked
    changed: Array = jax.vmap(one)(images, keys)
    return changed


def noisy(image: Image, key: Array, *, sigma: float) -> Image:
    """Add independent Gaussian noise to every value (Vincent et al. 2010)."""
    return image + sigma * jax.random.normal(key, image.shape)


def coarsely(image: Image, key: Array, *, sigma: float) -> Image:
    """Add Gaussian noise drawn on 16 x 16 cells, stretched over the image bilinearly and moved at random.

    References
    ----------
    Kascenas et al. 2022, "Denoising autoencoders for unsupervised anomaly detection in brain MRI", MIDL, PMLR 172.
    """
    of_values, of_place = jax.random.split(key)
    cells = sigma * jax.random.normal(of_values, (_COARSE, _COARSE, image.shape[2]))
    return image + _moved(jax.image.resize(cells, image.shape, "bilinear"), of_place)


def masked(image: Image, key: Array) -> Image:
    """Set a quarter of the squares of a grid, moved at random, to 0 (masking noise of Vincent et al. 2010, squared)."""
    height, width, _ = image.shape
    side = max(1, min(height, width) // _CELLS)
    of_squares, of_place = jax.random.split(key)
    hidden = jax.random.bernoulli(of_squares, _HIDDEN, (-(-height // side), -(-width // side)))
    hidden = jnp.repeat(jnp.repeat(hidden, side, 0), side, 1)[:height, :width]
    return jnp.where(_moved(hidden, of_place)[..., None], 0.0, image)


def _moved(plane: Array, key: Array) -> Array:
    """Move ``(y, x, ...)`` to anywhere; what leaves at one side comes in at the other."""
    shift = jax.random.randint(key, (2,), 0, jnp.array(plane.shape[:2]))
    return jnp.roll(plane, shift, (0, 1))


def stained(image: Image, key: Array) -> Image:
    """Cover the image by one stain: a rough ellipse of random place, size, direction and grey, with a soft edge.

    The outline is a cubic spline through 20 points near an ellipse whose half axes are 1 to 12 % of the smaller side.

    References
    ----------
    Collin and De Vleeschouwer 2020, arXiv:2008.12977.
    """
    height, width, _ = image.shape
    of_axes, of_turn, of_place, of_edge, of_grey = jax.random.split(key, 5)
    low, high = (share * min(height, width) for share in _AXES)
    half = jax.random.uniform(of_axes, (2,), minval=low, maxval=high)
    turn = jax.random.uniform(of_turn, maxval=2 * jnp.pi)
    room = jnp.array([height, width]) - 2 * half.max()
    centre = half.max() + jax.random.uniform(of_place, (2,)) * room - 0.5
    y, x = jnp.meshgrid(
        jnp.arange(height) - centre[0], jnp.arange(width) - centre[1], indexing="ij"
    )
    along = (jnp.cos(turn) * x + jnp.sin(turn) * y) / half[0]
    across = (jnp.cos(turn) * y - jnp.sin(turn) * x) / half[1]
    rough = jax.random.uniform(of_edge, (_POINTS,), minval=-_ROUGH, maxval=_ROUGH)
    outline = 1 + around(rough, jnp.arctan2(across, along))
    cover = jax.scipy.stats.norm.cdf((outline - jnp.hypot(along, across)) / _SOFT)[..., None]
    return image + cover * (jax.random.uniform(of_grey) - image)


def around(values: Float[Array, " p"], angle: Float[Array, "y x"]) -> Float[Array, "y x"]:
    """Periodic cubic spline through values at equal angles from 0, at any angles (radians)."""
    count = len(values)
    neighbours = np.eye(count, k=1) + np.eye(count, k=1 - count)
    system = (4 * np.eye(count) + neighbours + neighbours.T) / 6  # B-splines at their knots
    weights = jnp.asarray(np.linalg.inv(system), jnp.float32) @ values
    place = angle * (count / (2 * jnp.pi))
    before = jnp.floor(place)
    t = place - before
    bases = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    first = before.astype(jnp.int32) - 1
    parts = [base * weights[(first + k) % count] for k, base in enumerate(bases)]
    return (parts[0] + parts[1] + parts[2] + parts[3]) / 6
