"""What the synthetic materials share: random fields, light, blots, the camera."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

Shape = tuple[int, int]


@dataclass(frozen=True)
class Picture:
    """A synthetic image with its ground truth.

    Attributes
    ----------
    image : uint8 array, ``(y, x)`` or ``(y, x, 3)``
    mask : bool array, ``(y, x)``
        True where the defect changed the material; nowhere else does the image differ from the
        one without it.
    kind : str
        ``"good"`` or the kind of defect.
    """

    image: np.ndarray
    mask: Bool[np.ndarray, "y x"]
    kind: str = "good"


def streaks(
    rng: np.random.Generator, shape: Shape, sigma: tuple[float, float]
) -> Float[np.ndarray, "y x"]:
    """Gaussian noise of unit spread, smeared by `sigma` pixels along y and x."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), sigma, mode="wrap", truncate=3)
    return np.asarray(noise / noise.std())


def drift(rng: np.random.Generator, shape: Shape, knots: int = 5) -> Float[np.ndarray, "y x"]:
    """A smooth random field of about unit spread with `knots` free values along each side."""
    grid = rng.standard_normal((knots, knots))
    scale = (shape[0] / knots, shape[1] / knots)
    return np.asarray(ndimage.zoom(grid, scale, order=3, mode="nearest", grid_mode=True))


def lit(
    height: Float[np.ndarray, "y x"], light: tuple[float, float, float], gloss: float
) -> tuple[Float[np.ndarray, "y x"], Float[np.ndarray, "y x"]]:
    """Light a height field (pixels) from the direction `light` ``(y, x, z)``.

    Returns
    -------
    diffuse, highlight : arrays, ``(y, x)``
        Lambert's cosine, and the Blinn-Phong highlight with exponent `gloss`; both in [0, 1].
    """
    slope_y, slope_x = np.gradient(height)
    length = np.sqrt(slope_y**2 + slope_x**2 + 1)
    sun = np.asarray(light) / np.linalg.norm(light)
    half = sun + np.array((0.0, 0.0, 1.0))
    half = half / np.linalg.norm(half)
    diffuse = (-slope_y * sun[0] - slope_x * sun[1] + sun[2]) / length
    highlight = (-slope_y * half[0] - slope_x * half[1] + half[2]) / length
    return np.clip(diffuse, 0, 1), np.clip(highlight, 0, 1) ** gloss


def blot(
    rng: np.random.Generator,
    shape: Shape,
    centre: tuple[float, float],
    radii: tuple[float, float],
    ragged: float = 0.3,
) -> Float[np.ndarray, "y x"]:
    """Depth inside an irregular ellipse: 1 in the middle, 0 on its edge, negative outside."""
    y, x = np.indices(shape)
    turn = rng.uniform(0, np.pi)
    dy, dx = y - centre[0], x - centre[1]
    along = (dx * np.cos(turn) + dy * np.sin(turn)) / radii[1]
    across = (dy * np.cos(turn) - dx * np.sin(turn)) / radii[0]
    bearing = np.arctan2(across, along)
    waves = np.zeros(shape)
    for k in range(2, 7):
        waves += rng.normal(0, ragged / k) * np.cos(k * bearing + rng.uniform(0, 2 * np.pi))
    return np.asarray(1 - np.hypot(along, across) / np.maximum(1 + waves, 0.4))


def step(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Go smoothly from 0 below `low` to 1 above `high`."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def photograph(
    rng: np.random.Generator, scene: np.ndarray, noise: float
) -> UInt8[np.ndarray, "..."]:
    """Turn radiance in [0, 1] into uint8 as a camera does, with noise that grows with the light."""
    dark = rng.standard_normal(scene.shape[:2])  # the same in all colours
    level = noise * np.sqrt(0.3 + np.clip(scene, 0, 1))
    grain = level * (dark[..., None] if scene.ndim == 3 else dark)
    return np.asarray(np.round(np.clip(scene + grain, 0, 1) * 255).astype(np.uint8))
