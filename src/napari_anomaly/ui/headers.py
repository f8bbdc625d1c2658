"""Size and dtype of image files from their first bytes: a folder of thousands opens at once."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from PIL import ExifTags, Image

from napari_anomaly.core.data.files import read_pages

_PNG_COLOURS = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}
_SIDEWAYS = range(5, 9)
_PLAIN = (
    tifffile.PHOTOMETRIC.MINISBLACK,
    tifffile.PHOTOMETRIC.MINISWHITE,
    tifffile.PHOTOMETRIC.RGB,
)


@dataclass(frozen=True)
class Header:
    """Shape, ``(y, x)`` or ``(y, x, 3)``, and dtype of one page as ``read_image`` will give it."""

    shape: tuple[int, ...]
    dtype: np.dtype


def headers(path: Path) -> list[Header]:
    """Return one header per page; unusual files are decoded to find out.

    Raises
    ------
    ImageError
        The file had to be decoded and cannot be.
    """
    try:
        found = _quick(path)
    except Exception:  # noqa: BLE001  damaged in whatever way: reading it says how
        found = None
    if found is not None:
        return [found]
    return [Header(page.shape, page.dtype) for page in read_pages(path)]


def _quick(path: Path) -> Header | None:
    with path.open("rb") as file:
        start = file.read(26)
    if start.startswith(b"\x89PNG"):
        width, height, bits, colour = struct.unpack(">IIBB", start[16:26])
        return _header(height, width, _PNG_COLOURS[colour], np.uint16 if bits == 16 else np.uint8)
    if start[:2] in (b"II", b"MM"):
        return _tiff(path)
    with Image.open(path) as image:
        if image.mode not in ("1", "L", "RGB", "P"):
            return None
        width, height = image.size
        if image.getexif().get(ExifTags.Base.Orientation, 1) in _SIDEWAYS:
            width, height = height, width
        return _header(height, width, 3 if image.mode in ("RGB", "P") else 1, np.uint8)


def _tiff(path: Path) -> Header | None:
    with tifffile.TiffFile(path) as tif:
        page = tif.pages.first
        contiguous = page.planarconfig == tifffile.PLANARCONFIG.CONTIG
        upright = "Orientation" not in page.tags or page.tags["Orientation"].value == 1
        one = len(tif.pages) == 1 and not tif.is_imagej and not tif.is_shaped
        if not (one and contiguous and upright and page.photometric in _PLAIN and page.dtype):
            return None
        colours = 3 if page.photometric == tifffile.PHOTOMETRIC.RGB else 1
        dtype = np.uint8 if page.dtype == bool else page.dtype
        return _header(page.imagelength, page.imagewidth, colours, dtype)


def _header(height: int, width: int, colours: int, dtype: type | np.dtype) -> Header:
    return Header((height, width, 3) if colours == 3 else (height, width), np.dtype(dtype))
