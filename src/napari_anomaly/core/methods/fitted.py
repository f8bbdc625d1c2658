"""What every fitted method offers to the rest of the house."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float

from napari_anomaly.core.errors import CheckpointError

Images = Float[Array, "n y x c"]


class Pair(NamedTuple):
    """Images and what the method makes of them, on one grid, in the method's normalised intensities.

    Attributes
    ----------
    image, reconstruction : arrays, ``(n, y, x, c)``
    weight : array, ``(n, y, x, c)``, optional
        How much a difference of one unit of normalised intensity counts at each place: see ``residual_map``.
    features : bool
        They are a network's features, not intensities: of any range, compared by plain differences, squared ones for
        ``squared``.
    """

    image: Images
    reconstruction: Images
    weight: Images | None = None
    features: bool = False


class Reach(NamedTuple):
    """How far around a pixel a method looks to reconstruct it, at one of its scales.

    Attributes
    ----------
    scale : int
        The image is shrunk by this factor.
    radius : int
        Pixels of that scale.
    step : int
        Pixels of the image: moved by a multiple of it, the image is reconstructed alike.
    """

    scale: int
    radius: int
    step: int


@runtime_checkable
class Fitted(Protocol):
    """A fitted method: a JAX pytree, so that scoring compiles once for all detectors of one shape."""

    def pairs(self, images: Images) -> tuple[Pair, ...]:
        """Reconstruct ``(n, y, x, c)`` images at each of the method's scales, finest first."""

    def latent_score(self, images: Images) -> Float[Array, " n"] | None:
        """Return the method's own measure of how strange the latents are, higher is stranger; None if it has none."""

    def reach(self) -> tuple[Reach, ...] | None:
        """Say how far around a pixel each of the pairs looks; None if at the whole image."""

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return all that was learned, by name, for the detector file."""


def expect(
    arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int | None, ...]]
) -> Mapping[str, np.ndarray]:
    """Return the named arrays of a detector file after checking their shapes; None stands for any length.

    Raises
    ------
    CheckpointError
        Naming what is missing, superfluous, of another shape or not float32.
    """
    if wrong := sorted(set(arrays) ^ set(shapes)):
        raise CheckpointError(
            f"found arrays {sorted(arrays)}; expected {sorted(shapes)} (differing: {wrong}). The file is damaged or "
            "from another version."
        )
    for name, shape in shapes.items():
        found = arrays[name]
        fits = found.ndim == len(shape) and all(
            want in (None, have) for want, have in zip(shape, found.shape, strict=True)
        )
        if not fits or found.dtype != np.float32 or not np.isfinite(found).all():
            raise CheckpointError(
                f"found {name} with shape {found.shape} and dtype {found.dtype}; expected shape {shape}, finite float32"
            )
    return arrays
