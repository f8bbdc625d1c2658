"""The patch of normal images that looks most like a crop. Knows no window."""

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from napari_anomaly.core.data.files import read_image
from napari_anomaly.core.data.folders import open_folder
from napari_anomaly.core.errors import DataError, ImageError
from napari_anomaly.core.types import Progress
from napari_anomaly.ui.layers import is_input, slices

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_anomaly.ui.inspected import Inspected

MOST = 100
"""Normal images that are searched, spread evenly over all there are."""

SECONDS = 20.0
"""After which a search ends with the best by then."""

_SIDE = 48  # pixels of a crop; a larger one is searched for in means of blocks
_WIDE = 1024  # pixels of an image, likewise
_LEAST = 8  # pixels of a crop that must be left for it

Normal = tuple[str, Callable[[], np.ndarray]]
"""A normal image: its name, and what reads it."""

Pixels = Float[np.ndarray, "y x c"]
Patch = Float[np.ndarray, "h w c"]


@dataclass(frozen=True, eq=False)
class Nearest:
    """The most similar patch.

    Attributes
    ----------
    name : str
        Of the normal image.
    corner : tuple of int
        ``(y, x)`` of the patch's upper left pixel there.
    patch : array, ``(h, w)`` or ``(h, w, c)``
        Its pixels, of the crop's shape.
    difference : float
        Root mean square of the difference between crop and patch, in intensities.
    searched, known : int
        Normal images that were looked at, and that there are.
    """

    name: str
    corner: tuple[int, int]
    patch: np.ndarray
    difference: float
    searched: int
    known: int


def normals_of(source: "Path | Image", without: str | None = None) -> list[Normal]:
    """List the normal images of a folder or a layer, never those of its test side.

    Parameters
    ----------
    source : Path or napari.layers.Image
        A folder: its ``train/good``, or all images of a plain one. A layer: those of its images that are not said to be
        tests or defects.
    without : str, optional
        Name of the image that is being explained, which would only find itself.

    Raises
    ------
    DataError
        There is none.
    """
    named = _of_folder(source) if isinstance(source, Path) else _of_layer(source)
    found = [one for one in named if one[0] != without]
    if not found:
        where = source if isinstance(source, Path) else source.name
        raise DataError(
            f"{where}: found no normal images; expected a folder of normal images, one with train/good, or a layer of "
            "normal images. Choose another"
        )
    return found


def likely_normals(
    viewer: "ViewerModel", source: "Image | None", inspected: "Inspected | None"
) -> "Path | Image | None":
    """Guess where the normal images of an inspected layer are.

    The inspected folder or that of the layer, if it has a train side; else a layer that holds nothing but a train side.
    A plain folder that was inspected is no guess: nobody said that its images are normal.
    """
    if inspected is not None and inspected.dataset is not None and inspected.dataset.test:
        return inspected.dataset.root
    root = None if source is None else source.metadata.get("path")
    if isinstance(root, str) and (Path(root) / "train" / "good").is_dir():
        return Path(root)
    for proxy in viewer.layers:
        layer: Any = getattr(proxy, "__wrapped__", proxy)
        split = layer.metadata.get("split")
        trains = isinstance(split, list) and set(split) == {"train"}
        if trains and layer is not source and is_input(layer):
            return layer
    return None


def nearest(
    crop: np.ndarray, normals: Sequence[Normal], seconds: float = SECONDS
) -> Generator[Progress, None, Nearest]:
    """Search normal images for the patch with the least squared difference to a crop.

    At most `MOST` images, spread evenly, and no longer than `seconds`. A large crop is first searched for in means of
    blocks, then placed to the pixel in the best image.

    Parameters
    ----------
    crop : array, ``(h, w)`` or ``(h, w, c)``
    normals : sequence of Normal
    seconds : float

    Returns
    -------
    Nearest

    Raises
    ------
    DataError
        No image can be read, is large enough, and has the crop's channels.
    """
    wanted = _as_pixels(crop)
    chosen = np.unique(
        np.linspace(0, len(normals) - 1, min(len(normals), MOST)).round().astype(int)
    )
    end = time.monotonic() + seconds
    best: tuple[float, str, Pixels, tuple[int, int]] | None = None
    searched = 0
    for count, number in enumerate(chosen, 1):
        name, read = normals[number]
        pixels = _fitting(read, wanted.shape)
        if pixels is not None:
            searched += 1
            worst, corner = _search(pixels, wanted)
            if best is None or worst < best[0]:
                best = worst, name, pixels, corner
        yield Progress("searching normal images", count, len(chosen))
        if time.monotonic() > end:
            break
    if best is None:
        raise DataError(
            f"found no normal image of {wanted.shape[0]} x {wanted.shape[1]} pixels or more with {wanted.shape[2]} "
            "channel(s), as the region's crop; give normal images of the same kind"
        )
    _, name, pixels, corner = best
    y, x = _placed(pixels, wanted, corner)
    patch = pixels[y : y + wanted.shape[0], x : x + wanted.shape[1]]
    difference = float(np.sqrt(np.mean((patch - wanted) ** 2)))
    shown = patch[..., 0] if crop.ndim == 2 else patch
    return Nearest(name, (y, x), shown, difference, searched, len(normals))


def _of_folder(folder: "Path") -> list[Normal]:
    return [
        (sample.name, partial(read_image, sample.path, sample.page))
        for sample in open_folder(folder).train
    ]


def _of_layer(layer: "Image") -> list[Normal]:
    images = slices(layer)
    names, split, defect = (layer.metadata.get(key) for key in ("sample", "split", "defect"))
    return [
        (names[k] if isinstance(names, list) else f"{layer.name} [{k}]", partial(np.asarray, image))
        for k, image in enumerate(images)
        if not isinstance(split, list) or split[k] == "train"
        if not isinstance(defect, list) or defect[k] in (None, "good")
    ]


def _as_pixels(image: np.ndarray) -> Pixels:
    pixels = np.asarray(image, np.float64)
    return pixels[..., None] if pixels.ndim == 2 else pixels[..., :3]


def _fitting(read: Callable[[], np.ndarray], shape: tuple[int, ...]) -> Pixels | None:
    try:
        pixels = _as_pixels(read())
    except ImageError:
        return None
    fits = pixels.shape[2] == shape[2] and all(np.array(pixels.shape[:2]) >= shape[:2])
    return pixels if fits else None


def _search(pixels: Pixels, wanted: Patch) -> tuple[float, tuple[int, int]]:
    """Return the least mean squared difference of blocks, and where."""
    step = _step(pixels, wanted)
    small = _means(wanted, step)
    squares = _squared_differences(_means(pixels, step), small)
    y, x = np.unravel_index(np.argmin(squares), squares.shape)
    return float(squares[y, x]) / small.size, (int(y) * step, int(x) * step)


def _step(pixels: Pixels, wanted: Patch) -> int:
    """Return the side of the blocks: 1 unless crop or image is large."""
    need = max(np.ceil(max(wanted.shape[:2]) / _SIDE), np.ceil(max(pixels.shape[:2]) / _WIDE))
    return int(max(1, min(need, min(wanted.shape[:2]) // _LEAST)))


def _means(pixels: Pixels, step: int) -> Patch:
    height, width = (side // step for side in pixels.shape[:2])
    blocks = pixels[: height * step, : width * step].reshape(height, step, width, step, -1)
    means: Patch = blocks.mean((1, 3))
    return means


def _placed(pixels: Pixels, wanted: Patch, corner: tuple[int, int]) -> tuple[int, int]:
    """Move a patch that blocks found to the pixel that fits best."""
    step = _step(pixels, wanted)
    if step == 1:
        return corner
    top, left = (max(place - step, 0) for place in corner)
    height, width = wanted.shape[:2]
    around = pixels[top : corner[0] + height + step, left : corner[1] + width + step]
    squares = _squared_differences(around, wanted)
    y, x = np.unravel_index(np.argmin(squares), squares.shape)
    return top + int(y), left + int(x)


def _squared_differences(pixels: Pixels, patch: Patch) -> Float[np.ndarray, "v u"]:
    """Sum of squared differences at every place where the patch lies inside: ``sum i^2 - 2 sum i p + sum p^2``."""
    from scipy.signal import oaconvolve

    middle = patch.mean((0, 1))  # taken off, or the large terms would cancel to rounding errors
    pixels, patch = pixels - middle, patch - middle
    cross = oaconvolve(pixels, patch[::-1, ::-1, ::-1], mode="valid", axes=(0, 1, 2))[..., 0]
    window = np.ones((*patch.shape[:2], 1))
    energy = oaconvolve((pixels**2).sum(2, keepdims=True), window, mode="valid", axes=(0, 1))[
        ..., 0
    ]
    squares: np.ndarray = np.maximum(energy - 2 * cross + (patch**2).sum(), 0)
    return squares
