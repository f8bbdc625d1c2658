"""Normal images as a person gives them: a dataset, a folder, one stack, or arrays."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TypeVar

import numpy as np

from napari_anomaly.core.data.files import read_image
from napari_anomaly.core.data.folders import Dataset, open_folder
from napari_anomaly.core.data.reading import (
    Pages,
    page_of,
    pages_among,
    read_samples,
    read_through,
    work_through,
)
from napari_anomaly.core.errors import DataError, ImageError
from napari_anomaly.core.types import Image, Sample

Result = TypeVar("Result")

Data = Dataset | str | PathLike[str] | Sequence[Image] | np.ndarray
"""Normal images: a dataset, a folder, or arrays ``(y, x)`` or ``(y, x, c)``."""


@dataclass(frozen=True)
class Reader:
    """Reads samples of some data.

    Attributes
    ----------
    pages : callable
        From a sample to its pages and their images: a file may hold several.
    again : callable
        From one of those pages to its image.
    """

    pages: Pages
    again: Callable[[Sample], Image]

    def __call__(
        self, samples: Iterable[Sample], work: Callable[[Sample, Image], Result]
    ) -> Generator[tuple[Sample, Result], None, None]:
        """Yield pages and what ``work`` makes of their images, in order; threads read and work ahead."""
        return read_through(samples, self.pages, work)

    def readable(self, samples: Iterable[Sample]) -> Generator[Image, None, None]:
        """Yield the images of those pages that can be read, without a word about the others."""
        with closing(work_through(samples, self.pages, lambda _, image: image)) as pages:
            for _, image in pages:
                if not isinstance(image, ImageError):
                    yield image


def source(data: Data) -> tuple[tuple[Sample, ...], Reader]:
    """Return the samples, and what reads them.

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
            return data.train, Reader(pages_among(data.train), _from_file)
        pages = tuple(
            replace(page, name=f"{data.train[0].name}, page {page.page}")
            for page, _ in read_samples(data.train)
        )
        return pages, Reader(page_of, _from_file)
    if isinstance(data, np.ndarray) and data.ndim < 3:
        raise DataError(
            f"found one array of shape {data.shape}; expected several images: (n, y, x[, c])"
        )
    return _arrays(data)


def name_of(data: Data) -> str:
    """Return the folder's name, or ``arrays``."""
    if isinstance(data, (str, PathLike)):
        return Path(data).resolve().name
    return data.root.name if isinstance(data, Dataset) else "arrays"


def _from_file(sample: Sample) -> Image:
    return read_image(sample.path, sample.page)


def _arrays(arrays: Iterable[Image]) -> tuple[tuple[Sample, ...], Reader]:
    images = {str(k): image for k, image in enumerate(arrays)}
    samples = tuple(Sample(Path(key), f"image {key}") for key in images)

    def again(sample: Sample) -> Image:
        return np.asarray(images[str(sample.path)])

    def pages(sample: Sample) -> Iterator[tuple[Sample, Image]]:
        yield sample, again(sample)

    return samples, Reader(pages, again)
