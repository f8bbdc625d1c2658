"""Random changes of training images, inside the compiled step: on the device, from the image's own key."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float, Key

Images = Float[Array, "n y x c"]
Image = Float[Array, "y x c"]


def augmented(images: Images, keys: Key[Array, " n"], knobs: Any) -> Images:
    """Mirror, turn, cut and brighten each image by its own key, as far as the knobs allow.

    Parameters
    ----------
    images : array, ``(n, y, x, c)``
        Normalised.
    keys : array of keys, ``(n,)``
    knobs : Training
        ``flip``, ``rotate`` (degrees), ``crop`` (share of the sides) and ``brightness`` (deviations).
    """
    if not (knobs.flip or knobs.rotate or knobs.crop or knobs.brightness):
        return images
    changed: Array = jax.vmap(partial(_one, knobs=knobs))(images, keys)
    return changed


def _one(image: Image, key: Array, knobs: Any) -> Image:
    flip, turn, cut, bright = jax.random.split(key, 4)
    if knobs.flip:
        image = jnp.where(jax.random.bernoulli(flip), image[:, ::-1], image)
    if knobs.rotate or knobs.crop:
        image = _window(image, turn, cut, knobs)
    if knobs.brightness:
        image = image + jax.random.uniform(bright, (), minval=-1.0) * knobs.brightness
    return image


def _window(image: Image, turn: Array, cut: Array, knobs: Any) -> Image:
    """Turn about the centre and enlarge a window to the whole grid: one bilinear resampling, mirrored borders."""
    angle = jnp.deg2rad(jax.random.uniform(turn, (), minval=-1.0) * knobs.rotate)
    share, *shift = jax.random.uniform(cut, (3,))
    share = share * knobs.crop
    height, width = image.shape[:2]
    centre = jnp.array([height - 1, width - 1]) / 2
    y, x = jnp.meshgrid(
        jnp.arange(height) - centre[0], jnp.arange(width) - centre[1], indexing="ij"
    )
    scale = 1 - share
    turned_y = jnp.cos(angle) * y + jnp.sin(angle) * x
    turned_x = jnp.cos(angle) * x - jnp.sin(angle) * y
    row = centre[0] + scale * turned_y + share * height * (shift[0] - 0.5)
    column = centre[1] + scale * turned_x + share * width * (shift[1] - 0.5)
    plane = partial(map_coordinates, coordinates=[row, column], order=1, mode="reflect")
    resampled: Array = jax.vmap(plane, in_axes=-1, out_axes=-1)(image)
    return resampled
