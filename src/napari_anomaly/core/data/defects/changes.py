"""What happens to the surface itself: out of focus, other light, other colour, twisted, displaced, missing."""

import numpy as np
from scipy import ndimage

from napari_anomaly.core.data.defects.marks import added, towards
from napari_anomaly.core.data.defects.masks import blot, box, cloud, disc_depth
from napari_anomaly.core.data.defects.place import Place, Window
from napari_anomaly.core.data.defects.poisson import clone


def blur(place: Place, rng: np.random.Generator) -> Window:
    """Put a patch out of focus."""
    sigma = rng.uniform(1, max(1.2, place.size / 8))
    soft = ndimage.gaussian_filter(place.pixels, (sigma, sigma, 0))
    return _blended(place, soft, _swelling(place, rng))


def brightness(place: Place, rng: np.random.Generator) -> Window:
    """Light a patch more or less, in proportion to its own brightness."""
    sign = towards(place, rng)
    return added(place, sign * _swelling(place, rng)[..., None] * (0.15 + place.pixels))


def colour(place: Place, rng: np.random.Generator) -> Window:
    """Turn the hue of a patch, its mean over the channels kept; without effect on grey images."""
    if place.pixels.shape[2] == 1:
        return place.pixels
    grey = place.pixels.mean(axis=2, keepdims=True)
    tint = rng.normal(0, 1, 3)
    other = np.roll(place.pixels, rng.integers(1, 3), axis=2) - place.pixels
    shift = other + (tint - tint.mean()) * (0.1 + grey)
    return added(place, _swelling(place, rng)[..., None] * shift)


def twist(place: Place, rng: np.random.Generator) -> Window:
    """Turn a patch about its middle, most in the middle and not at all at its edge."""
    depth = disc_depth(place.size, rng)
    angle = rng.choice([-1, 1]) * rng.uniform(0.5, 2.0) * np.clip(2 * depth, 0, 1)
    y, x = np.indices(depth.shape) - len(depth) // 2
    turned = (
        y * np.cos(angle) - x * np.sin(angle) + len(depth) // 2,
        y * np.sin(angle) + x * np.cos(angle) + len(depth) // 2,
    )
    return np.where(depth[..., None] > 0, _sampled(place.pixels, turned), place.pixels)


def shift(place: Place, rng: np.random.Generator) -> Window:
    """Displace a piece along its surface, by a quarter to half of its size."""
    cover = box(place.size, rng) if rng.random() < 0.5 else blot(place.size, rng)
    way, far = rng.uniform(0, 2 * np.pi), max(1.5, place.size * rng.uniform(0.25, 0.5))
    y, x = np.indices(cover.shape)
    at = (place.top + y + far * np.sin(way), place.left + x + far * np.cos(way))
    return _blended(place, _sampled(place.whole.image, at), cover)


def missing(place: Place, rng: np.random.Generator) -> Window:
    """Take a piece of the object away: the background shows, or, where there is none, a smooth bare place."""
    cover = blot(place.size, rng)
    behind = ~place.whole.foreground
    if behind.any():
        near = place.pixels[~place.inside]
        bare = np.median(near if len(near) >= 20 else place.whole.image[behind], axis=0)
    else:
        bare = clone(place.pixels, np.zeros_like(place.pixels), cover > 0)
    grain = place.noise * rng.standard_normal((*cover.shape, 1))
    return _blended(place, bare + grain, cover)


def _swelling(place: Place, rng: np.random.Generator) -> np.ndarray:
    """Draw a cover that rises softly from its edge."""
    if rng.random() < 0.3:
        return cloud(place.size, rng)
    return np.asarray(np.clip(2.5 * disc_depth(place.size, rng), 0, 1))


def _blended(place: Place, above: np.ndarray, cover: np.ndarray) -> Window:
    mixed = place.pixels + cover[..., None] * (above - place.pixels)
    return np.asarray(np.clip(mixed, 0, 1), np.float32)


def _sampled(image: np.ndarray, at: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Read pixels between the grid's, bilinearly; mirrored beyond the border."""
    planes = [
        ndimage.map_coordinates(image[..., k], at, order=1, mode="mirror")
        for k in range(image.shape[2])
    ]
    return np.asarray(np.stack(planes, axis=-1), np.float32)
