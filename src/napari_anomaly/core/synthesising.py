"""Normal images -> images with planted defects and their exact masks, one by one or as a folder to measure with."""

import secrets
import shutil
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_anomaly.core.data.defects.place import Pixels
from napari_anomaly.core.data.defects.planting import (
    Planted,
    Planting,
    Stock,
    kinds_for,
    plant,
    stock_of,
)
from napari_anomaly.core.data.files import write_mask, write_png
from napari_anomaly.core.data.normals import Data, Reader, source
from napari_anomaly.core.data.reading import named
from napari_anomaly.core.errors import DataError
from napari_anomaly.core.preprocess import to_unit
from napari_anomaly.core.threads import in_order
from napari_anomaly.core.types import Image, Progress, Sample

Range = tuple[float, float] | None

_DONORS = 32  # normal images that pieces are cut out of
_DONATED = 2**28  # bytes of them, about, in memory


def synthesise(
    data: Data,
    count: int = 60,
    *,
    seed: int = 0,
    planting: Planting | None = None,
    data_range: Range = None,
) -> Generator[Planted, None, None]:
    """Plant defects into normal images, one into each; kinds take turns.

    Threads work ahead; what comes out depends on the images, the seed and the settings alone.

    Parameters
    ----------
    data : Dataset, path or arrays
        Normal images; of a dataset those to train with. Drawn in random order, again when they run out.
    count : int
        Images to make.
    seed : int
    planting : Planting, optional
        Kinds, sizes, contrast, and whether to keep off the background.
    data_range : tuple of float, optional
        Intensities that mean black and white; default: the range of the pixels' type, 0 to 1 for floats.

    Yields
    ------
    Planted
        Image, mask and kind.

    Raises
    ------
    DataError
        No image can be read, or nothing that was tried could be told from the noise.

    Examples
    --------
    >>> import napari_anomaly as na
    >>> images = [planted.image for planted in na.synthesise("bottle/train/good", 20, seed=1)]  # doctest: +SKIP
    """
    planting = Planting() if planting is None else planting
    normals = _normals(data, max(count, _DONORS), seed, data_range)
    stock = normals.stock()

    def one(number: int) -> Planted:
        page = normals.pages[number % len(normals.pages)]
        return _in_turn(normals.unit(page), page, number, seed, stock, planting)

    with closing(in_order(one, range(count))) as planted:
        yield from planted


def synthesise_into(
    folder: Path,
    data: Data,
    count: int = 60,
    *,
    seed: int = 0,
    planting: Planting | None = None,
    held_out: float = 0.25,
    data_range: Range = None,
) -> Generator[Progress, None, Counter[str]]:
    """Write a dataset in the MVTec layout whose defects are planted.

    A share of the normal images is held out: they become ``test/good``, and defects are planted into them. The others
    become ``train/good``, and pieces are cut out of those. PNG of 8 bits, or of 16 where the images have more than 8.

    Parameters
    ----------
    folder : Path
        A new or empty one; it appears when it is complete.
    data, count, seed, planting, data_range
        As in `synthesise`.
    held_out : float
        Share in (0, 1); at least one image, and not all.

    Yields
    ------
    Progress

    Returns
    -------
    Counter
        How many images have each kind of defect.

    Raises
    ------
    DataError
        The folder is not empty, there are fewer than two normal images, and as `synthesise`.
    """
    check_free(folder)
    planting = Planting() if planting is None else planting
    yield Progress("reading", 0, 1)
    normals = _normals(data, None, seed, data_range)
    train, test = _parted(normals.pages, held_out)
    stock = replace(normals, pages=train).stock()
    part = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    kinds: Counter[str] = Counter()

    def written(job: tuple[int, Sample, str]) -> str:
        number, page, place = job
        image = normals.read.again(page)
        if place:
            _write(part / place / f"{number:03d}.png", normals.unit(page), image)
            return ""
        planted = _in_turn(normals.unit(page), page, number, seed, stock, planting)
        _write(part / "test" / planted.kind / f"{number:03d}.png", planted.image, image)
        write_mask(part / "ground_truth" / planted.kind / f"{number:03d}_mask.png", planted.mask)
        return planted.kind

    jobs = [(k, page, "train/good") for k, page in enumerate(train)]
    jobs += [(k, page, "test/good") for k, page in enumerate(test)]
    jobs += [(k, test[k % len(test)], "") for k in range(count)]
    try:
        with closing(in_order(written, jobs)) as done:
            for step, kind in enumerate(done, start=1):
                kinds[kind] += 1
                yield Progress("planting", step, len(jobs))
        _appear(part, folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    del kinds[""]
    return kinds


def check_free(folder: Path) -> None:
    """Refuse a folder that holds something."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: exists and is not empty; expected a new or an empty folder")


@dataclass(frozen=True)
class _Normals:
    """Pages that can be read, in random order, and how."""

    pages: Sequence[Sample]
    read: Reader
    data_range: Range

    def unit(self, page: Sample) -> Pixels:
        return named(page, lambda: to_unit(self.read.again(page), self.data_range))

    def stock(self) -> Stock:
        """Look at some of the images: as many as are of use, and as memory allows."""
        images: list[Pixels] = []
        for page in self.pages[:_DONORS]:
            images.append(self.unit(page))
            if sum(image.nbytes for image in images) > _DONATED:
                break
        return stock_of(images)


def _normals(data: Data, most: int | None, seed: int, data_range: Range) -> _Normals:
    """Shuffle the images and find out which can be read; a file that cannot is named in a warning."""
    samples, read = source(data)
    order = np.random.default_rng((seed, 0)).permutation(len(samples))[:most]
    chosen = [samples[k] for k in order]
    pages = [page for page, _ in read(chosen, lambda _, image: image.shape)]
    return _Normals(pages, read, data_range)


def _parted(pages: Sequence[Sample], held_out: float) -> tuple[Sequence[Sample], Sequence[Sample]]:
    if not 0 < held_out < 1:
        raise DataError(
            f"found {held_out} of the images to hold out; expected a share between 0 and 1"
        )
    if len(pages) < 2:
        raise DataError(
            "found 1 normal image; expected at least 2: some to train with, others to plant defects into"
        )
    cut = min(max(round(held_out * len(pages)), 1), len(pages) - 1)
    return pages[cut:], pages[:cut]


def _in_turn(
    image: Pixels, page: Sample, number: int, seed: int, stock: Stock, planting: Planting
) -> Planted:
    """Plant the kind whose turn it is; another one where that cannot be told from the noise."""
    rng = np.random.default_rng((seed, 1, number))
    kinds = kinds_for(image, planting)
    turn = replace(planting, kinds=(kinds[number % len(kinds)],))
    foreground = stock.object_of(image) if planting.on_object else None
    try:
        return plant(image, rng, stock, turn, foreground)
    except DataError as error:
        try:
            return plant(image, rng, stock, planting, foreground)
        except DataError:
            raise DataError(f"{page.name}: {error}") from error


def _write(path: Path, pixels: Pixels, like: Image) -> None:
    """Write [0, 1] as integers, in as many bits as the image it came from."""
    white, kind = (255, np.uint8) if like.dtype.itemsize == 1 else (65535, np.uint16)
    levels = np.round(pixels.astype(np.float64) * white).astype(kind)
    write_png(path, levels[..., 0] if levels.shape[2] == 1 else levels, level=3)


def _appear(part: Path, folder: Path) -> None:
    """Give a finished folder its name."""
    check_free(folder)
    if folder.is_dir():
        folder.rmdir()  # empty; elsewhere than on POSIX nothing is renamed onto it
    part.rename(folder)
