"""What a person painted is kept beside the images, file by file, until it is saved as masks."""

import io
import os
import re
import warnings
import zlib
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import numpy as np
import platformdirs
import tifffile

from napari_anomaly.core.data.files import write_atomically
from napari_anomaly.core.errors import DataWarning
from napari_anomaly.core.types import Progress
from napari_anomaly.ui.annotating import image_of, write
from napari_anomaly.ui.planes import array_of, counting
from napari_anomaly.ui.strokes import Watch

if TYPE_CHECKING:
    from napari.layers import Image, Labels

FOLDER = ".napari-anomaly"
"""Beside the images; the readers pass over folders that begin with a dot."""


@dataclass(frozen=True)
class Sidecar:
    """Where the labels of a layer's images are kept.

    Attributes
    ----------
    folder : Path
    names : tuple of str
        Of the files, without suffix; one per image.
    masks : tuple of (Path or None)
        The images' masks, where the folder had some.
    shape : (y, x)
    """

    folder: Path
    names: tuple[str, ...]
    masks: tuple[Path | None, ...]
    shape: tuple[int, int]

    def file(self, number: int) -> Path:
        """Name the file of one image: a TIFF of its labels."""
        return self.folder / f"{self.names[number]}.tif"


@dataclass(frozen=True, eq=False)
class Offer:
    """Labels that were kept, but neither saved as masks nor are in the layer.

    Attributes
    ----------
    images : dict of int to array, ``(y, x)``
    time : datetime
        When the last of them was kept.
    """

    images: dict[int, np.ndarray]
    time: datetime


def sidecar_of(source: "Image", chosen: Path | None = None) -> Sidecar:
    """Find the place for the labels of an image layer.

    Images of a folder have it in the folder, others, and those of a folder that cannot be written, in the
    user's data folder.

    Parameters
    ----------
    source : napari.layers.Image
    chosen : Path, optional
        A folder for all of them instead.
    """
    leading = counting(source)
    shape = (*leading, *array_of(source).shape[len(leading) : len(leading) + 2])
    count = int(np.prod(leading))
    names = _column(source.metadata.get("sample"), count)
    masks = _column(source.metadata.get("mask_path"), count)
    folder = _folder(source, shape, chosen)
    return Sidecar(
        folder,
        tuple(_inside(name) or f"{k:05d}" for k, name in enumerate(names)),
        tuple(Path(str(mask)) if mask else None for mask in masks),
        (shape[-2], shape[-1]),
    )


def keep_steps(
    watch: Watch, sidecar: Sidecar, waiting: Iterable[int] = ()
) -> Generator[Progress, None, int]:
    """Keep the images that changed since they were kept last; return how many.

    Parameters
    ----------
    watch : Watch
    sidecar : Sidecar
    waiting : iterable of int
        Images that are passed over: what was kept of them earlier is still on offer.
    """
    numbers = [number for number in watch.touched if number not in set(waiting)]
    count = 0
    for step, number in enumerate(numbers, 1):
        image = image_of(watch.truth, number).copy()
        if watch.changed(number, image):
            write_atomically(sidecar.file(number), _packed(image))
            watch.kept(number, image)
            watch.dirty.add(number)
            count += 1
        yield Progress("keeping labels", step, len(numbers))
    return count


def offer_of(sidecar: Sidecar, truth: "Labels | None") -> Offer | None:
    """Return what was kept and is newer than the masks and other than the layer, if there is any."""
    images: dict[int, np.ndarray] = {}
    for number in range(len(sidecar.names)):
        if (kept := _newer(sidecar, number)) is None:
            continue  # before its mask is looked at, which may have to be read
        now = np.zeros(sidecar.shape) if truth is None else image_of(truth, number)
        if not np.array_equal(kept, now):
            images[number] = kept
    if not images:
        return None
    last = max(sidecar.file(number).stat().st_mtime for number in images)
    return Offer(images, datetime.fromtimestamp(last))


def restore(truth: "Labels", offer: Offer) -> None:
    """Put what was kept into the layer, in one step of its undo."""
    write(truth, offer.images)


def forget(sidecar: Sidecar, numbers: Iterable[int]) -> None:
    """Remove what was kept of some images, and folders that are empty then."""
    for number in numbers:
        file = sidecar.file(number)
        file.unlink(missing_ok=True)
        for folder in file.relative_to(sidecar.folder).parents:
            forget_folder(sidecar.folder / folder)
    if sidecar.folder.parent.name == FOLDER:  # ours; a folder that was chosen stays
        forget_folder(sidecar.folder.parent)


def forget_folder(folder: Path) -> None:
    """Remove a folder if it is empty."""
    try:
        folder.rmdir()
    except OSError:  # not empty, not there, or not ours to remove
        return


def _folder(source: "Image", shape: tuple[int, ...], chosen: Path | None) -> Path:
    root = source.metadata.get("path")
    identity = str(root or source.source.path or f"{source.name} {shape}")
    folder = kept_in(root, identity, chosen)
    return folder / "labels" if folder.name == FOLDER else folder


def kept_in(root: str | None, identity: str, chosen: Path | None) -> Path:
    """Return the folder for what is kept of some images.

    Parameters
    ----------
    root : str or None
        Their own folder, which has it where it can be written and no other was chosen.
    identity : str
        Tells them from others, and names a folder of theirs elsewhere.
    chosen : Path or None
        What that lies in; None: the user's data folder.
    """
    if root and chosen is None and os.access(root, os.W_OK):
        return Path(root) / FOLDER
    stem = re.sub(r"[^\w-]+", "_", Path(identity).stem)[:60]
    parent = chosen or platformdirs.user_data_path("napari-anomaly") / "labels"
    return parent / f"{stem}-{zlib.crc32(identity.encode()):08x}"


def _column(value: object, count: int) -> Sequence[object]:
    column = value if isinstance(value, list) else [value]
    return column if len(column) == count else [None] * count


def _inside(name: object) -> str | None:
    """Return a name that stays below the folder: a layer's metadata may be a stranger's."""
    path = PurePath(str(name or ""))
    return str(path) if name and not path.is_absolute() and ".." not in path.parts else None


def _packed(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, image, photometric="minisblack", compression="zlib")
    return file.getvalue()


def _newer(sidecar: Sidecar, number: int) -> np.ndarray | None:
    """Read what was kept of an image, unless its mask was saved later; a damaged file is named and passed over."""
    file, mask = sidecar.file(number), sidecar.masks[number]
    if not file.is_file():
        return None
    if mask is not None and mask.is_file() and mask.stat().st_mtime >= file.stat().st_mtime:
        return None
    try:
        with tifffile.TiffFile(file) as tif:
            page = tif.pages.first
            if page.shape != sidecar.shape or page.dtype is None or page.dtype.kind not in "iu":
                return None  # looked at before anything is unpacked
            image = np.asarray(page.asarray())
    except Exception as error:  # noqa: BLE001  damaged in whatever way
        warnings.warn(
            f"{file}: {error}; these labels cannot be restored", DataWarning, stacklevel=3
        )
        return None
    return image
