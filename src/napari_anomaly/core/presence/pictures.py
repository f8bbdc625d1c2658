"""Two sets of pictures -> one array with labels, names and parts, ready for a classifier."""

import hashlib
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from os import PathLike
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import ValidationError

from napari_anomaly.core.data.folders import Dataset, open_folder
from napari_anomaly.core.data.normals import Data, Reader, source
from napari_anomaly.core.data.reading import named
from napari_anomaly.core.data.split import group_keys
from napari_anomaly.core.errors import DataError, DataWarning, RecipeError
from napari_anomaly.core.preprocess import Colour, Crop, Pixels, Preprocessing, Resize
from napari_anomaly.core.presence.folds import FEWEST
from napari_anomaly.core.types import Image, Progress, Sample

Pictures = Data | Mapping[str, Image]
"""A folder, a dataset, arrays ``(y, x)`` or ``(y, x, c)``, or such arrays by name."""

Region = Sequence[int] | Crop | None
"""``(y0, x0, y1, x1)`` in pixels of the image, half open; a drawn region; or None: the whole image."""

_SIDE = 64  # pixels of the grid that a region is brought to
_SMALLEST = 8  # pixels of a region's sides
_LOOKS = 16  # images looked at to settle colour and grid


@dataclass(frozen=True, eq=False)
class Labelled:
    """Pictures of a region, and what is known of each.

    Attributes
    ----------
    pixels : float32 array, ``(n, y, x, c)``
        In [0, 1].
    present : bool array, ``(n,)``
    parts : int array, ``(n,)``
        The same number for pictures of one part.
    names : tuple of str
    preprocess : Preprocessing
        How the pixels came about.
    """

    pixels: Float[np.ndarray, "n y x c"]
    present: Bool[np.ndarray, " n"]
    parts: Int[np.ndarray, " n"]
    names: tuple[str, ...]
    preprocess: Preprocessing


@dataclass(frozen=True)
class _Seen:
    """One picture after preprocessing."""

    pixels: Pixels
    digest: bytes


def read_pictures(
    good: Pictures,
    defect: Pictures,
    *,
    region: Region,
    data_range: tuple[float, float] | None,
    group: str | None,
) -> Generator[Progress, None, Labelled]:
    r"""Read both sets and bring the region of each picture onto one grid of at most 64 x 64 pixels.

    An unreadable file is skipped with a warning, and so is a picture that was there before, pixel for pixel: it would
    be trained on and held out at once.

    Parameters
    ----------
    good, defect
        Pictures that show what is looked for, and pictures where it is missing.
    group : str, optional
        Regular expression, searched in the names; pictures with the same first group (the whole match if there is none)
        are of one part, in whichever set they are. Without it every file is a part of its own.

    Raises
    ------
    DataError, ImageError
        A folder cannot be used, a picture is in both sets, or the region is not inside all of them.
    RecipeError
        An impossible region or data range.
    """
    sides = [_opened(good, "present"), _opened(_without_normals(defect), "absent")]
    steps = _settled(_steps(region, data_range), sides)
    seen: dict[bytes, tuple[bool, str]] = {}
    kept: list[tuple[Sample, bool, Pixels]] = []
    count = sum(len(samples) for samples, _ in sides)
    for present, (samples, read) in zip((True, False), sides, strict=True):
        with closing(read(samples, lambda sample, image: _prepared(steps, sample, image))) as pages:
            for sample, one in pages:
                if not _again(seen, one.digest, present, sample.name):
                    kept.append((sample, present, one.pixels))
                yield Progress("reading", len(seen), max(count, len(seen)))
    grid = steps.common_grid({pixels.shape for _, _, pixels in kept})
    labels = np.array([side for _, side, _ in kept])
    return Labelled(
        np.stack([pixels for _, _, pixels in kept]),
        labels,
        _parts([sample for sample, _, _ in kept], labels, group),
        tuple(sample.name for sample, _, _ in kept),
        replace(steps, grid=grid),
    )


def crop_of(region: Region) -> Crop | None:
    """Check a region of interest.

    Raises
    ------
    RecipeError
        Not four numbers in order, or less than 8 pixels a side.
    """
    if region is None or isinstance(region, Crop):
        return region
    try:
        y0, x0, y1, x1 = map(int, region)
        if min(y1 - y0, x1 - x0) < _SMALLEST:
            raise ValueError(f"expected y1 and x1 at least {_SMALLEST} pixels beyond y0 and x0")
        return Crop(box=(y0, x0, y1, x1))
    except (TypeError, ValueError, ValidationError) as error:
        why = (
            "expected 0 <= y0 < y1 and 0 <= x0 < x1"
            if isinstance(error, ValidationError)
            else error
        )
        raise RecipeError(
            f"found the region {region!r}; expected y0 x0 y1 x1 in pixels, counted from its upper left corner ({why})"
        ) from error


def _steps(region: Region, data_range: tuple[float, float] | None) -> Preprocessing:
    crop = crop_of(region)
    cut = () if crop is None else (crop,)
    try:
        steps = (*cut, Colour(), Resize(size=(_SIDE, _SIDE)))
        return Preprocessing(steps=steps, data_range=data_range)
    except ValidationError as error:
        raise RecipeError(
            f"found data_range {data_range}; expected two numbers, low < high"
        ) from error


def _opened(pictures: Pictures, which: str) -> tuple[tuple[Sample, ...], Reader]:
    samples, read = _by_name(pictures) if isinstance(pictures, Mapping) else source(pictures)
    if not samples:
        raise DataError(f"found no image where it is {which}; expected at least {FEWEST}. Add some")
    return samples, read


def _by_name(images: Mapping[str, Image]) -> tuple[tuple[Sample, ...], Reader]:
    samples = tuple(Sample(Path(name), name) for name in images)

    def again(sample: Sample) -> Image:
        return np.asarray(images[sample.name])

    def pages(sample: Sample) -> Iterator[tuple[Sample, Image]]:
        yield sample, again(sample)

    return samples, Reader(pages, again)


def _without_normals(defect: Pictures) -> Pictures:
    """Refuse a whole MVTec folder, whose training images are the good ones."""
    data = open_folder(defect) if isinstance(defect, (str, PathLike)) else defect
    if isinstance(data, Dataset) and any(
        sample.name.startswith("train/good/") for sample in data.samples
    ):
        kinds = ", ".join(str(data.root / "test" / kind) for kind in data.defects) or "none"
        raise DataError(
            f"{data.root}: holds good images in train/good; expected a folder of images where it is missing. Choose "
            f"one kind of defect: {kinds}"
        )
    return data


def _settled(
    steps: Preprocessing, sides: Sequence[tuple[Sequence[Sample], Reader]]
) -> Preprocessing:
    """Decide grey or colour, and the grid, by some of both sets: no intensities are learned."""
    some = [read.readable(samples[:: max(1, len(samples) // _LOOKS)]) for samples, read in sides]
    try:
        return steps.settle(chain.from_iterable(some))
    finally:
        for images in some:
            images.close()


def _prepared(steps: Preprocessing, sample: Sample, image: Image) -> _Seen:
    digest = hashlib.sha256(f"{image.shape} {image.dtype}".encode())
    digest.update(np.ascontiguousarray(image).data)
    return _Seen(named(sample, lambda: steps.apply(image)[0]), digest.digest())


def _again(seen: dict[bytes, tuple[bool, str]], digest: bytes, present: bool, name: str) -> bool:
    """Note a picture; tell whether it was there before."""
    side, first = seen.setdefault(digest, (present, name))
    if side != present:
        raise DataError(
            f"{name} of the second set is the same picture as {first} of the first; expected each in one of them. "
            "Remove it where it does not belong"
        )
    if first == name:
        return False
    warnings.warn(f"{name}: the same picture as {first} (skipped)", DataWarning, stacklevel=2)
    return True


def _parts(
    samples: Sequence[Sample], present: Bool[np.ndarray, " n"], group: str | None
) -> Int[np.ndarray, " n"]:
    keys = group_keys(samples, group)
    if group is None:  # 000.png of one folder is not 000.png of the other
        keys = [f"{side} {key}" for side, key in zip(present, keys, strict=True)]
    return np.unique(keys, return_inverse=True)[1]
