"""Normal images as a person gives them: a dataset, a folder, one stack, or arrays."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from napari_anomaly.core.data.folders import Dataset, open_folder, read_samples
from napari_anomaly.core.errors import DataError
from napari_anomaly.core.types import Image, Sample

Data = Dataset | str | PathLike[str] | Sequence[Image] | np.ndarray
"""Normal images: a dataset, a folder, or arrays ``(y, x)`` or ``(y, x, c)``."""

Reader = Callable[[Iterable[Sample]], Iterator[tuple[Sample, Image]]]


def source(data: Data) -> tuple[tuple[Sample, ...], Reader]:
    """Return the samples, and a function from some of them to pairs of sample and image.

    Of a dataset only ``data.train`` is taken. A single file of several pages is taken page by page: there is no other
    way to hold some out.

    Raises
    ------
    DataError
        For an array that is not a stack of images, and what :func:`open_folder` raises.
    """
    if isinstance(data, (str, PathLike)):
        data = open_folder(data)
    if isinstance(data, Dataset):
        if len(data.train) != 1:
            return data.train, read_samples
        return _arrays(
            [image for _, image in read_samples(data.train)], f"{data.train[0].name}, page"
        )
    if isinstance(data, np.ndarray) and data.ndim < 3:
        raise DataError(
            f"found one array of shape {data.shape}; expected several images: (n, y, x[, c])"
        )
    return _arrays(data, "image")


def name_of(data: Data) -> str:
    """Return the folder's name, or ``arrays``."""
    if isinstance(data, (str, PathLike)):
        return Path(data).resolve().name
    return data.root.name if isinstance(data, Dataset) else "arrays"


def _arrays(arrays: Iterable[Image], word: str) -> tuple[tuple[Sample, ...], Reader]:
    images = {str(k): image for k, image in enumerate(arrays)}
    samples = tuple(Sample(Path(key), f"{word} {key}") for key in images)

    def read(some: Iterable[Sample]) -> Iterator[tuple[Sample, Image]]:
        return ((one, np.asarray(images[str(one.path)])) for one in some)

    return samples, read
