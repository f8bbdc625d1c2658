"""Encoder and decoder of a detector by themselves: images to numbers, numbers to images."""

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from napari_anomaly.core.detector import Detector
from napari_anomaly.core.errors import DataError, RecipeError
from napari_anomaly.core.methods.latent import decoded, encoded
from napari_anomaly.core.types import Image


@runtime_checkable
class Coder(Protocol):
    """A fitted method whose encoder and decoder can be used by themselves."""

    def encode(self, images: Any) -> Any:
        """Normalised images ``(n, y, x, c)`` to latents ``(n, latent)``."""

    def decode(self, latent: Any) -> Any:
        """Latents to normalised images."""


def encode(detector: Detector, images: Iterable[Image]) -> Float[np.ndarray, "n latent"]:
    """Encode images as the detector's method sees them.

    Parameters
    ----------
    detector : Detector
        Of a method with a latent to draw from: ``vae-gan`` or ``f-anogan``.
    images : iterable of array, ``(y, x)`` or ``(y, x, c)``
        As :meth:`Detector.inspect` takes them.

    Returns
    -------
    float32 array, ``(n, latent)``

    Raises
    ------
    RecipeError
        If the method has no such encoder.
    DataError
        If there are no images.
    ImageError
        If an image cannot be used.
    """
    coder = _coder(detector)
    preprocess = detector.recipe.preprocess
    mean, std = preprocess.normalise.moments()
    pixels = [(preprocess.apply(image)[0] - mean) / std for image in images]
    if not pixels:
        raise DataError("found no images; expected at least 1 to encode")
    return np.concatenate([np.asarray(encoded(coder, one[None])) for one in pixels])


def decode(
    detector: Detector, latent: Float[np.ndarray, "n latent"]
) -> Float[np.ndarray, "n y x c"]:
    """Draw the image of each latent.

    Parameters
    ----------
    detector : Detector
        Of a method with a latent to draw from: ``vae-gan`` or ``f-anogan``.
    latent : float array, ``(n, latent)``
        From :func:`encode`, between two such, or standard normal numbers.

    Returns
    -------
    float32 array, ``(n, y, x, c)``, in [0, 1], on the grid of the detector's network

    Raises
    ------
    RecipeError
        If the method has no such decoder, or the latents are not of its size.
    """
    coder = _coder(detector)
    size = detector.recipe.method.latent  # type: ignore[union-attr]
    if latent.ndim != 2 or latent.shape[1] != size:
        raise RecipeError(f"found latents of shape {latent.shape}; expected (n, {size})")
    mean, std = detector.recipe.preprocess.normalise.moments()
    images = decoded(coder, latent.astype(np.float32))
    drawn: np.ndarray = np.clip(np.asarray(images) * std + mean, 0, 1)
    return drawn


def _coder(detector: Detector) -> Coder:
    if not isinstance(detector.fitted, Coder):
        raise RecipeError(
            f"found a detector of the method {detector.recipe.method.name!r}, which has no encoder and decoder to use "
            "by themselves; expected vae-gan or f-anogan"
        )
    return detector.fitted
