"""Features of whole images by formula: oriented gradients and intensities."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from napari_anomaly.core.methods.fitted import Images

Features = Float[Array, "n d"]

_ORIENTATIONS = 9
_LIMIT, _TINY = 0.2, 1e-5


def oriented_gradients(images: Images, cell: int) -> Features:
    """Histograms of oriented gradients: 9 orientations, cells of ``cell`` pixels, blocks of 2 x 2 cells, L2-Hys.

    Where there are several channels, each pixel's gradient is that of the channel with the longest.

    References
    ----------
    Dalal and Triggs 2005, doi:10.1109/CVPR.2005.177; as scikit-image's ``hog`` computes it.
    """
    magnitude, angle = _gradient(images)
    turn = jnp.minimum(jnp.floor(angle * (_ORIENTATIONS / 180)), _ORIENTATIONS - 1)
    votes = jax.nn.one_hot(turn.astype(jnp.int32), _ORIENTATIONS) * magnitude[..., None]
    rows, columns = (side // cell for side in images.shape[1:3])
    cut = votes[:, : rows * cell, : columns * cell]
    cells = cut.reshape(len(images), rows, cell, columns, cell, _ORIENTATIONS).mean((2, 4))
    corners = [cells[:, a : rows - 1 + a, b : columns - 1 + b] for a in (0, 1) for b in (0, 1)]
    blocks = _unit(jnp.concatenate(corners, axis=-1))
    return _unit(jnp.minimum(blocks, _LIMIT)).reshape(len(images), -1)


def _gradient(images: Images) -> tuple[Float[Array, "n y x"], Float[Array, "n y x"]]:
    """Magnitude, and direction in degrees in [0, 180), by central differences; 0 across the borders."""
    down = jnp.pad(images[:, 2:] - images[:, :-2], ((0, 0), (1, 1), (0, 0), (0, 0)))
    right = jnp.pad(images[:, :, 2:] - images[:, :, :-2], ((0, 0), (0, 0), (1, 1), (0, 0)))
    magnitude = jnp.hypot(down, right)
    longest = magnitude.argmax(-1, keepdims=True)
    down, right, magnitude = (
        jnp.take_along_axis(one, longest, -1)[..., 0] for one in (down, right, magnitude)
    )
    return magnitude, jnp.rad2deg(jnp.arctan2(down, right)) % 180


def _unit(blocks: Float[Array, "n y x d"]) -> Float[Array, "n y x d"]:
    return blocks / jnp.sqrt((blocks**2).sum(-1, keepdims=True) + _TINY**2)


def intensities(images: Images, low: Array, high: Array, bins: int) -> Features:
    """Share of the pixels in each of ``bins`` equal bins from ``low`` to ``high`` ``(c,)``, channel by channel.

    What lies outside counts to the outermost bins.
    """
    place = jnp.floor((images - low) / (high - low) * bins)
    inside = jnp.clip(place, 0, bins - 1).astype(jnp.int32)
    return jax.nn.one_hot(inside, bins).mean((1, 2)).reshape(len(images), -1)
