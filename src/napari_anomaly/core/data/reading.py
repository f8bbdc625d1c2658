"""Samples -> their images, read by threads; a file that cannot be read is named and skipped."""

import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from itertools import chain, islice
from threading import Lock
from typing import TypeVar

from napari_anomaly.core.data.files import check_pixels, iter_pages, read_image
from napari_anomaly.core.errors import DataError, DataWarning, ImageError
from napari_anomaly.core.threads import in_order
from napari_anomaly.core.types import Image, Sample

Result = TypeVar("Result")

Pages = Callable[[Sample], Iterator[tuple[Sample, Image | ImageError]]]
"""From a sample to its pages, or the error that says why one cannot be used."""

_PAGES = 4  # of one file that are read ahead; the others of a long stack when it is their turn
_LARGE = 2**26  # bytes of a decoded image; work on such ones, which copies them, is done one by one
_one_large = Lock()


def read_samples(samples: Iterable[Sample]) -> Iterator[tuple[Sample, Image]]:
    """Read images one after the other, the next while one is in use.

    A file that cannot be read is skipped with a warning. A file of several pages yields one sample per page,
    page k > 0 with ``[k]`` after its name, unless `samples` name pages of it already: then exactly those are read.

    Yields
    ------
    sample : Sample
    image : array, ``(y, x)`` or ``(y, x, 3)``

    Raises
    ------
    DataError
        None of them could be read.

    Warns
    -----
    DataWarning
        For each file or page that is skipped.
    """
    wanted = list(samples)
    return read_through(wanted, pages_among(wanted), lambda _, image: image, threads=1)


def read_through(
    samples: Iterable[Sample],
    pages: Pages,
    work: Callable[[Sample, Image], Result],
    *,
    threads: int | None = None,
) -> Generator[tuple[Sample, Result], None, None]:
    """Read images and do some work on each, in threads and ahead; the results in order.

    Raises and warns as :func:`read_samples`; what ``work`` raises ends the reading.
    """
    wanted = list(samples)
    count, last = 0, ""
    with closing(work_through(wanted, pages, work, threads=threads)) as results:
        for page, result in results:
            if isinstance(result, ImageError):
                last = str(result)
                warnings.warn(f"{last} (skipped)", DataWarning, stacklevel=2)
            else:
                count += 1
                yield page, result
    if not count:
        raise DataError(
            f"none of {len(wanted)} image(s) could be read; expected at least one"
            + (f"; the last one: {last}" if last else "; choose a folder with images")
        )


def work_through(
    samples: Iterable[Sample],
    pages: Pages,
    work: Callable[[Sample, Image], Result],
    *,
    threads: int | None = None,
) -> Generator[tuple[Sample, Result | ImageError], None, None]:
    """Yield results as :func:`read_through` does, but an unreadable page's error in its place, without a word."""

    def worked(sample: Sample, image: Image | ImageError) -> tuple[Sample, Result | ImageError]:
        if isinstance(image, ImageError):
            return sample, image
        with _one_large if image.nbytes > _LARGE else nullcontext():
            return sample, work(sample, image)

    def begun(sample: Sample) -> Iterator[tuple[Sample, Result | ImageError]]:
        following = (worked(*page) for page in pages(sample))
        return chain(list(islice(following, _PAGES)), following)

    with closing(in_order(begun, samples, threads=threads)) as files:
        yield from chain.from_iterable(files)


def named(sample: Sample, work: Callable[[], Result]) -> Result:
    """Do the work; an image's error tells the image's name."""
    try:
        return work()
    except ImageError as error:
        raise ImageError(f"{sample.name}: {error}") from error


def pages_among(samples: Sequence[Sample]) -> Pages:
    """Return how each of the samples is read: as the one page it names, or the whole file where none names a page."""
    by_page = {sample.path for sample in samples if sample.page}
    return lambda sample: (page_of if sample.path in by_page else pages_of)(sample)


def page_of(sample: Sample) -> Iterator[tuple[Sample, Image | ImageError]]:
    """Yield the one page that a sample names, or the error that says why it cannot be used."""
    try:
        yield sample, read_image(sample.path, sample.page)
    except ImageError as error:
        yield sample, error


def pages_of(sample: Sample) -> Iterator[tuple[Sample, Image | ImageError]]:
    """Yield each page of a sample's file, or the error that says why it cannot be used.

    Page k > 0 has ``[k]`` after its name.
    """
    try:
        for page, image in enumerate(iter_pages(sample.path)):
            part = replace(sample, page=page, name=f"{sample.name}[{page}]") if page else sample
            try:
                checked: Image | ImageError = check_pixels(image, sample.path, page)
            except ImageError as error:
                checked = error
            yield part, checked
    except ImageError as error:
        yield sample, error
