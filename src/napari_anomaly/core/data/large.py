"""Images larger than memory, read by rectangles, and maps written so.

A mapped file's pages stay in a process's memory once they were touched: files are mapped anew for every rectangle, and
an array that the user mapped is told to let its pages go.
"""

import mmap
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import tifffile
from jaxtyping import Float

from napari_anomaly.core.errors import DataError, ImageError

Rectangle = tuple[slice, slice]
"""Rows and columns."""

Tile = Float[np.ndarray, "y x"]

_CHANNELS = (1, 3, 4)
_LARGEST_CHUNK = 2**26  # pixels of a TIFF's smallest readable piece
_CONVERT = "Convert it to .npy, to .zarr, or to a tiled or uncompressed TIFF"


@runtime_checkable
class Sliceable(Protocol):
    """An array on disk or in memory: of zarr, dask, NumPy, ..."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(y, x)`` or ``(y, x, c)``."""

    def __getitem__(self, key: Any, /) -> Any:
        """Return a rectangle, or what NumPy turns into one."""


@dataclass(frozen=True)
class Large:
    """An image that is read by rectangles.

    Attributes
    ----------
    name : str
        For messages.
    shape : tuple of int
        ``(y, x)``
    read : callable
        Returns the pixels of a rectangle, ``(y, x)`` or ``(y, x, c)``, as a copy.
    """

    name: str
    shape: tuple[int, int]
    read: Callable[[Rectangle], np.ndarray]


@contextmanager
def opened(image: "Sliceable | str | PathLike[str]") -> Iterator[Large]:
    """Open an array, or a file by its suffix: ``.npy``, ``.zarr`` (a folder), ``.tif``, ``.tiff``.

    Raises
    ------
    ImageError
        For what is no image, or cannot be read by rectangles; the message says what to do.
    """
    if not isinstance(image, (str, PathLike)):
        yield _large("the image", image, partial(_rectangle, image))
        return
    path = Path(image)
    if not path.exists():
        raise ImageError(f"{path}: no such file or folder; check the path")
    try:
        kind = _KINDS[path.suffix.lower()]
    except KeyError:
        raise ImageError(
            f"{path}: cannot be read by rectangles; expected .npy, .zarr, .tif or .tiff. {_CONVERT}"
        ) from None
    with kind(path) as large:
        yield large


def _large(name: str, array: Any, read: Callable[[Rectangle], np.ndarray]) -> Large:
    shape = tuple(getattr(array, "shape", ()))
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in _CHANNELS):
        raise ImageError(
            f"{name}: found the shape {shape}; expected (y, x), (y, x, 3) or (y, x, 4). Give one image, channels last."
        )
    return Large(name, (int(shape[0]), int(shape[1])), read)


def _rectangle(array: Any, where: Rectangle) -> np.ndarray:
    """Copy a rectangle; the pages of a mapped file are let go."""
    pixels = np.array(array[where])
    if isinstance(array, np.memmap) and array.mode != "c":  # a copy on write would lose its changes
        owner: Any = array
        while isinstance(owner, np.ndarray):
            owner = owner.base
        if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            owner.madvise(mmap.MADV_DONTNEED)
    return pixels


@contextmanager
def _npy(path: Path) -> Iterator[Large]:
    def mapped() -> np.ndarray:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        return array

    try:
        array = mapped()
    except (ValueError, OSError, EOFError) as error:
        raise ImageError(
            f"{path}: damaged or no .npy file of numbers ({error}); write it again with numpy.save"
        ) from error
    yield _large(str(path), array, lambda where: np.array(mapped()[where]))


@contextmanager
def _zarr(path: Path) -> Iterator[Large]:
    zarr = _imported(path)
    try:
        found = zarr.open(str(path), mode="r")
    except Exception as error:  # stores of every version fail in their own ways
        raise ImageError(
            f"{path}: no zarr array that can be read ({error}); check the path"
        ) from error
    if not isinstance(found, zarr.Array):
        inside = ", ".join(sorted(found.keys())) or "nothing"
        raise ImageError(
            f"{path}: found a zarr group with {inside} inside; expected an array. Give the path of one of them."
        )
    yield _large(str(path), found, partial(_rectangle, found))


@contextmanager
def _tiff(path: Path) -> Iterator[Large]:
    try:
        with tifffile.TiffFile(path) as tif:
            series, page = tif.series[0], tif.pages.first
            _check_tiff(path, tif, page)
            mapped = series.dataoffset is not None
    except (tifffile.TiffFileError, OSError, IndexError) as error:
        raise ImageError(f"{path}: damaged or no TIFF ({error}); copy it again") from error
    if mapped:
        yield _large(
            str(path), series, lambda where: np.array(tifffile.memmap(path, mode="r")[where])
        )
        return
    if np.prod(page.chunks[:2]) > _LARGEST_CHUNK:
        raise ImageError(
            f"{path}: compressed in pieces of {page.chunks[0]} x {page.chunks[1]} pixels; expected at most "
            f"{_LARGEST_CHUNK} in all, or it is read as a whole. {_CONVERT}"
        )
    zarr = _imported(path)
    with tifffile.imread(path, aszarr=True, series=0, level=0) as store:
        array = zarr.open_array(store, mode="r")
        yield _large(str(path), array, partial(_rectangle, array))


def _check_tiff(path: Path, tif: Any, page: Any) -> None:
    if len(tif.series) > 1 or page.photometric.name not in ("MINISBLACK", "RGB"):
        raise ImageError(
            f"{path}: found {len(tif.series)} image(s), the first stored as {page.photometric.name}; expected one, "
            f"grey (black is zero) or RGB. {_CONVERT}"
        )
    turned = page.tags.get("Orientation")
    if turned is not None and turned.value != 1:
        raise ImageError(
            f"{path}: to be shown turned (orientation {turned.value}); expected upright. {_CONVERT}"
        )


def _imported(path: Path) -> Any:
    try:
        import zarr
    except ImportError:
        raise ImageError(
            f"{path}: needs the package zarr to be read by rectangles. Install it (pip install zarr), or convert the "
            "image to .npy"
        ) from None
    return zarr


_KINDS = {".npy": _npy, ".zarr": _zarr, ".tif": _tiff, ".tiff": _tiff}


@contextmanager
def npy_file(path: Path, shape: tuple[int, int]) -> Iterator[Callable[[Rectangle, Tile], None]]:
    """Write a float32 ``.npy`` by rectangles; after the block it is there as a whole, or as it was before.

    By offsets and not through a mapped file: a full disk is an error then, not the end of the process.

    Raises
    ------
    DataError
        If there is no room for it on the disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    needed, free = 4 * shape[0] * shape[1], shutil.disk_usage(path.parent).free
    if needed > free:
        raise DataError(
            f"{path}: the map needs {needed / 1e9:.3g} GB, found {free / 1e9:.3g} GB free; make room or choose "
            "another place"
        )
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        with part.open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            start = file.tell()

            def write(where: Rectangle, tile: Tile) -> None:
                for row, line in enumerate(tile.astype("<f4"), start=where[0].start):
                    file.seek(start + 4 * (row * shape[1] + where[1].start))
                    file.write(line.tobytes())

            yield write
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
