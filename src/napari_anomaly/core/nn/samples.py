"""What a generator draws while it is trained: as a picture, and how varied it is."""

import warnings
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from napari_anomaly.core.errors import DataWarning

Images = Float[Array, "n y x c"]

SAMPLES = 16
"""Drawn for the picture and for the warning."""

_COLUMNS = 4
_LEAST = 0.1


def mosaic(images: Images) -> Float[Array, "v u c"]:
    """Lay ``16`` images in [-1, 1] out in four rows, as one picture in [0, 1]."""
    n, height, width, channels = images.shape
    rows = images.reshape(n // _COLUMNS, _COLUMNS, height, width, channels).swapaxes(1, 2)
    return jnp.clip(
        rows.reshape(n // _COLUMNS * height, _COLUMNS * width, channels) / 2 + 0.5, 0, 1
    )


def diversity(images: Any) -> float:
    """Mean distance of two of the images: root of the mean squared difference of their values."""
    flat = np.asarray(images, np.float64).reshape(len(images), -1)
    if len(flat) < 2:
        return 0.0
    first, second = np.triu_indices(len(flat), 1)
    return float(np.sqrt(((flat[first] - flat[second]) ** 2).mean(1)).mean())


def warn_of_collapse(drawn: Any, training: Any) -> None:
    """Warn if the images drawn are more alike than a tenth of what training images differ by."""
    ours, theirs = diversity(drawn), diversity(training)
    if ours < _LEAST * theirs:
        warnings.warn(
            f"the generator has collapsed: two of its images differ by {ours:.2g} on average, two training images by "
            f"{theirs:.2g} (root mean square, of 2). Maps will show where images differ from that one picture. Train "
            "longer, with a lower learning rate, or on more images.",
            DataWarning,
            stacklevel=2,
        )
