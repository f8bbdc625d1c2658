"""Declared steps between an image file and a method: intensities to [0, 1], then colour, contrast and geometry.

A step is a frozen dataclass with ``apply(image) -> (image, undo)``; ``undo`` brings a map of the step's output back
onto the step's input grid. Intensity steps leave the grid alone, so their ``undo`` is the identity.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

import numpy as np
import skimage.color
import skimage.draw
import skimage.exposure
from jaxtyping import Float
from PIL import Image as Pillow
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from napari_anomaly.core.errors import ImageError, RecipeError
from napari_anomaly.core.normalise import AnySize, Normalise
from napari_anomaly.core.types import Image

Pixels = Float[np.ndarray, "y x c"]
Changed = Float[np.ndarray, "v u d"]
"""The same, on another grid or with other channels."""

Grid = tuple[int, int, Literal[1, 3]]
"""Shape ``(y, x, c)`` of one preprocessed image."""

Undo = Callable[[Pixels], Changed]
"""Takes any ``(y, x, c)`` float32 map on a step's output grid to its input grid."""

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)  # a misspelled knob is an error
_SMALLEST_SIDE = 8  # pixels, as for image files
_LARGEST_SIDE = 8192


def to_unit(image: Image, data_range: tuple[float, float] | None = None) -> Pixels:
    """Bring intensities to [0, 1] without guessing.

    Parameters
    ----------
    image : array, ``(y, x)``, ``(y, x, 1)``, ``(y, x, 3)`` or ``(y, x, 4)``
        Alpha is dropped. Integers are scaled by the range of their dtype; floats must lie in [0, 1].
    data_range : tuple of float, optional
        Intensities that become 0 and 1, instead of the dtype's; values outside are clipped.

    Returns
    -------
    float32 array, ``(y, x, c)`` with c = 1 or 3

    Raises
    ------
    ImageError
        For another shape, sides below 8 pixels, pixels that are not real finite numbers, or floats outside [0, 1]
        without ``data_range``.
    """
    image = np.asarray(image)
    if image.dtype.kind not in "biuf":
        raise ImageError(
            f"found an array of dtype {image.dtype}; expected real numbers. Convert it before inspecting."
        )
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise ImageError(
            f"found an array of shape {image.shape}; expected (y, x), (y, x, 3) or (y, x, 4). "
            "Pass the images of a stack one by one."
        )
    if min(image.shape[:2]) < _SMALLEST_SIDE:
        raise ImageError(
            f"found an image of {image.shape[0]} x {image.shape[1]} pixels; expected at least {_SMALLEST_SIDE} x "
            f"{_SMALLEST_SIDE}. Leave it out."
        )
    image = image[..., :3]
    if not np.isfinite(image).all():
        raise ImageError(
            f"found {int((~np.isfinite(image)).sum())} NaN or infinite pixels; expected finite intensities. "
            "Replace them before inspecting."
        )
    low, high = _range_of(image) if data_range is None else data_range
    wide = np.result_type(image.dtype, np.float32)  # float64 where float32 would round intensities
    scaled = (image.astype(wide) - wide.type(low)) / wide.type(high - low)
    unit: Pixels = np.clip(scaled, 0, 1).astype(np.float32, copy=False)
    return unit


def _range_of(image: Image) -> tuple[float, float]:
    if image.dtype == bool:
        return 0.0, 1.0
    if np.issubdtype(image.dtype, np.integer):
        info = np.iinfo(image.dtype)
        return float(info.min), float(info.max)
    low, high = float(image.min()), float(image.max())
    if low < 0 or high > 1:
        raise ImageError(
            f"found floating-point intensities from {low:.4g} to {high:.4g}; expected [0, 1]. "
            "Give data_range=(low, high): the intensities that mean black and white."
        )
    return 0.0, 1.0


def _same(pixels: Pixels) -> Pixels:
    return pixels


def _resample(pixels: Pixels, shape: tuple[int, int]) -> Changed:
    """Bilinear, pixel centres aligned, area-weighted where it shrinks."""
    if pixels.shape[:2] == shape:
        return pixels
    height, width = shape
    planes = [
        np.asarray(
            Pillow.fromarray(np.ascontiguousarray(pixels[..., k], np.float32)).resize(
                (width, height), Pillow.Resampling.BILINEAR
            )
        )
        for k in range(pixels.shape[2])
    ]
    return np.stack(planes, axis=-1)


@dataclass(frozen=True, config=_STRICT)
class Colour:
    """Number of channels the method sees. ``keep`` becomes grey or RGB by what the training images hold."""

    step: Literal["colour"] = "colour"
    to: Literal["keep", "grey", "rgb"] = Field(
        default="keep", description="keep, grey (luminance) or rgb"
    )

    def settled(self, images: Sequence[AnySize]) -> "Colour":
        """Turn ``keep`` into grey or RGB: RGB if any of the images has unequal channels."""
        if self.to != "keep":
            return self
        colourful = any((image != image[..., :1]).any() for image in images)
        return Colour(to="rgb" if colourful else "grey")

    def apply(self, image: Pixels) -> tuple[Changed, Undo]:
        """Convert; ``(y, x, 1 | 3)`` to ``(y, x, 1 | 3)``."""
        if self.to == "grey" and image.shape[2] == 3:
            return skimage.color.rgb2gray(image).astype(np.float32)[..., None], _same
        if self.to == "rgb" and image.shape[2] == 1:
            return np.repeat(image, 3, axis=2), _same
        return image, _same


@dataclass(frozen=True, config=_STRICT)
class FalseColour:
    """Grey intensities through a named matplotlib colormap to RGB, as heat-map cameras show them."""

    step: Literal["false colour"] = "false colour"
    colormap: str = Field(default="inferno", description="name of a matplotlib colormap")

    @model_validator(mode="after")
    def _known(self) -> "FalseColour":
        import matplotlib

        if self.colormap not in matplotlib.colormaps:
            raise ValueError(
                f"no colormap {self.colormap!r}; expected a name matplotlib knows, 'inferno' say"
            )
        return self

    def apply(self, image: Pixels) -> tuple[Changed, Undo]:
        """Colour the luminance; ``(y, x, c)`` to ``(y, x, 3)``."""
        import matplotlib

        grey, _ = Colour(to="grey").apply(image)
        return matplotlib.colormaps[self.colormap](grey[..., 0])[..., :3].astype(np.float32), _same


@dataclass(frozen=True, config=_STRICT)
class ChannelOrder:
    """Swap red and blue, for images written as BGR."""

    step: Literal["channel order"] = "channel order"

    def apply(self, image: Pixels) -> tuple[Changed, Undo]:
        """Reverse the channels."""
        return np.ascontiguousarray(image[..., ::-1]), _same


@dataclass(frozen=True, config=_STRICT)
class Equalise:
    """Histogram equalisation of each channel: over the whole image, or contrast-limited in tiles (CLAHE).

    References
    ----------
    Zuiderveld 1994, Contrast limited adaptive histogram equalization, Graphics Gems IV.
    """

    step: Literal["equalise"] = "equalise"
    kind: Literal["global", "clahe"] = Field(
        default="global", description="global or clahe (in tiles)"
    )
    clip: float = Field(default=0.01, gt=0, le=1, description="clahe only: contrast limit, 0 to 1")

    def apply(self, image: Pixels) -> tuple[Changed, Undo]:
        """Equalise each channel on its own."""
        if self.kind == "global":
            one: Callable[[np.ndarray], np.ndarray] = skimage.exposure.equalize_hist
        else:
            one = partial(skimage.exposure.equalize_adapthist, clip_limit=self.clip)
        planes = [one(image[..., k]) for k in range(image.shape[2])]
        return np.stack(planes, axis=-1).astype(np.float32), _same


_Side = Annotated[int, Field(ge=_SMALLEST_SIDE, le=_LARGEST_SIDE)]
_STEP = 32  # pixels: networks of up to five levels halve such a grid


@dataclass(frozen=True, config=_STRICT)
class Resize:
    """To a fixed grid: stretched, or with the aspect kept and the rest filled with the edge's pixels.

    Training images that are smaller make the grid smaller, to the next multiple of 32: enlarged images cost time and
    show no more.
    """

    step: Literal["resize"] = "resize"
    size: tuple[_Side, _Side] = Field(default=(256, 256), description="height and width in pixels")
    keep_aspect: bool = Field(
        default=False, description="keep the aspect and pad, instead of stretching"
    )
    enlarge: bool = Field(default=False, description="bring smaller images up to the size as well")

    def settled(self, images: Sequence[AnySize]) -> "Resize":
        """Make the grid no larger than the images, unless that is wanted."""
        if self.enlarge or not images:
            return self
        largest = np.max([image.shape[:2] for image in images], axis=0)
        height, width = -(-largest // _STEP) * _STEP
        size = (min(self.size[0], int(height)), min(self.size[1], int(width)))
        return replace(self, size=size)

    def apply(self, image: Pixels) -> tuple[Changed, Undo]:
        """Resample bilinearly; area-weighted where it shrinks."""
        before = image.shape[:2]
        top, left, height, width = self._placed(before)
        small = _resample(image, (height, width))
        bottom, right = self.size[0] - top - height, self.size[1] - left - width
        padded = np.pad(small, ((top, bottom), (left, right), (0, 0)), mode="edge")

        def undo(pixels: Pixels) -> Changed:
            return _resample(pixels[top : top + height, left : left + width], before)

        return padded, undo

    def _placed(self, before: tuple[int, int]) -> tuple[int, int, int, int]:
        if not self.keep_aspect:
            return 0, 0, *self.size
        scale = min(self.size[0] / before[0], self.size[1] / before[1])
        height, width = (max(1, round(side * scale)) for side in before)
        return (self.size[0] - height) // 2, (self.size[1] - width) // 2, height, width


@dataclass(frozen=True, config=_STRICT)
class Crop:
    """To a region of interest: a rectangle or a polygon, in pixels of the step's input.

    Outside, a map is 0. Around a polygon, pixels take the mean of those inside: black would be the strongest edge.
    """

    step: Literal["crop"] = "crop"
    box: tuple[int, int, int, int] | None = Field(
        default=None, description="y0, x0, y1, x1 in pixels, half open"
    )
    polygon: tuple[tuple[float, float], ...] | None = Field(
        default=None, description="corners as (y, x) in pixels"
    )

    @model_validator(mode="after")
    def _possible(self) -> "Crop":
        if (self.box is None) == (self.polygon is None):
            raise ValueError("give either a box (y0, x0, y1, x1) or a polygon of (y, x) corners")
        if self.polygon is not None and len(self.polygon) < 3:
            raise ValueError(f"found a polygon of {len(self.polygon)} corners; expected at least 3")
        if self.box is not None and not (
            0 <= self.box[0] < self.box[2] and 0 <= self.box[1] < self.box[3]
        ):
            raise ValueError(f"found the box {self.box}; expected 0 <= y0 < y1 and 0 <= x0 < x1")
        return self

    def apply(self, image: Pixels) -> tuple[Changed, Undo]:
        """Cut out; the undo puts a map back into a field of zeros."""
        shape = image.shape[:2]
        inside = self._inside(shape)
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        keep = inside[window][..., None]
        mean = image[inside].mean(0, dtype=np.float64).astype(np.float32)

        def undo(pixels: Pixels) -> Changed:
            whole = np.zeros((*shape, pixels.shape[2]), np.float32)
            whole[window] = pixels * keep
            return whole

        return np.where(keep, image[window], mean), undo

    def _inside(self, shape: tuple[int, int]) -> np.ndarray:
        if self.box is not None:
            y0, x0, y1, x1 = self.box
            inside = np.zeros(shape, bool)
            inside[y0:y1, x0:x1] = True
            fits = y1 <= shape[0] and x1 <= shape[1]
        else:
            corners = np.asarray(self.polygon)
            inside = skimage.draw.polygon2mask(shape, corners)
            fits = bool((corners.max(0) <= shape).all() and (corners.min(0) >= 0).all())
        if not fits or not inside.any():
            raise ImageError(
                f"the region of interest {self.box or self.polygon} does not lie inside an image of {shape[0]} x "
                f"{shape[1]} pixels; expected all images to hold it. Correct the region or leave the image out."
            )
        return inside


Step = Annotated[
    Colour | FalseColour | ChannelOrder | Equalise | Resize | Crop, Field(discriminator="step")
]


@dataclass(frozen=True, config=_STRICT)
class Preprocessing:
    """Steps in order, then the normalisation.

    Attributes
    ----------
    steps : tuple of Colour, FalseColour, ChannelOrder, Equalise, Resize, Crop
        All images must leave them with one shape: end with a ``Resize`` unless they already have.
    data_range : tuple of float or None
        Intensities that mean 0 and 1; None takes the dtype's range (see :func:`to_unit`).
    grid, field : tuple of int or None
        Learned: ``(y, x, c)`` that all training images ended with; ``(y, x)`` they began with, None if they differ.
    """

    steps: tuple[Step, ...] = (Colour(), Resize())
    normalise: Normalise = Normalise()
    data_range: tuple[float, float] | None = Field(
        default=None,
        description="intensities that mean black and white, (0, 4095) say; none: by the image's type",
    )
    grid: tuple[_Side, _Side, Literal[1, 3]] | None = None
    field: tuple[int, int] | None = None

    @model_validator(mode="after")
    def _possible(self) -> "Preprocessing":
        if self.data_range is not None and not self.data_range[0] < self.data_range[1]:
            raise ValueError(
                f"found data_range {self.data_range}; expected (low, high), low < high"
            )
        return self

    def apply(self, image: Image) -> tuple[Changed, Undo]:
        """Run the steps on one image (not the normalisation).

        Returns
        -------
        float32 array, ``(y, x, c)`` in [0, 1], and the undo onto the image's own grid
        """
        pixels = to_unit(image, self.data_range)
        undos: list[Undo] = []
        for step in self.steps:
            pixels, undo = step.apply(pixels)
            undos.append(undo)
        if self.grid not in (None, pixels.shape):
            raise ImageError(
                f"found an image of shape {np.shape(image)}, which preprocessing brings to {pixels.shape}; expected "
                f"{self.grid}, as the training images. Fit with a Resize step, and a Colour step for grey and colour."
            )

        def undo_all(result: Pixels) -> Changed:
            for one in reversed(undos):
                result = one(result)
            return result

        return pixels, undo_all

    def settle(self, images: Iterable[Image]) -> "Preprocessing":
        """Decide colour and grid by some of the training images; what cannot be used among them is passed over."""
        looked: list[AnySize] = []
        for image in images:
            with suppress(ImageError):
                looked.append(to_unit(image, self.data_range))
        steps: list[Step] = []
        for step in self.steps:
            settled = step.settled(looked) if isinstance(step, (Colour, Resize)) else step
            before, looked = looked, []
            for pixels in before:
                with suppress(ImageError):
                    looked.append(settled.apply(pixels)[0])
            steps.append(settled)
        return replace(self, steps=tuple(steps))

    def common_grid(self, shapes: Collection[tuple[int, int, Literal[1, 3]]]) -> Grid:
        """Return the shape ``(y, x, c)`` that all preprocessed training images ended with."""
        found = sorted(set(shapes))
        if len(found) > 1:
            raise RecipeError(
                f"found images of {len(found)} shapes after preprocessing, {found[0]} and {found[1]} among them; "
                "expected one. Add a Resize step, and a Colour step where some are grey and some in colour."
            )
        height, width, channels = found[0]
        if min(height, width) < _SMALLEST_SIDE or max(height, width) > _LARGEST_SIDE:
            raise RecipeError(
                f"found images of {height} x {width} pixels after preprocessing; expected sides of {_SMALLEST_SIDE} "
                f"to {_LARGEST_SIDE}. Add a Resize step, or crop a region of another size."
            )
        return height, width, channels
