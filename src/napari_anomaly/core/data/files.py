"""One image or mask file -> array, and back."""

import io
import os
import secrets
import warnings
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from jaxtyping import Bool, Float

from napari_anomaly.core.data.decode import MAX_PIXELS, iter_pages
from napari_anomaly.core.errors import DataWarning, ImageError

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "MIN_SIDE",
    "check_pixels",
    "is_image_name",
    "iter_pages",
    "read_image",
    "read_mask",
    "read_pages",
    "write_atomically",
    "write_map",
    "write_mask",
    "write_png",
]

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff")
"""Endings (in any case) of the files that are taken for images."""

MIN_SIDE = 8
"""Pixels below which a side of an image is too short to hold a texture."""


def is_image_name(name: str) -> bool:
    """Tell whether a file of this name is taken for an image; hidden and ``._`` files are not."""
    return not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES)


def read_pages(path: str | os.PathLike[str]) -> list[np.ndarray]:
    """Read every page of an image file.

    Returns
    -------
    list of array, each ``(y, x)`` or ``(y, x, 3)``
        Pixel values and dtype as in the file; 1-bit becomes uint8 0/255, a palette RGB;
        alpha is dropped.

    Raises
    ------
    ImageError
        The file cannot be read; the message names it and says why.
    """
    return list(iter_pages(Path(path)))


def read_image(path: str | os.PathLike[str], page: int = 0) -> np.ndarray:
    """Read one page of an image file and refuse pixels that cannot be worked with.

    Returns
    -------
    array, ``(y, x)`` or ``(y, x, 3)``
        As `read_pages` gives it; finite, each side at least `MIN_SIDE`.

    Raises
    ------
    ImageError
        The file cannot be read, has no such page, is too small or too large, or holds NaN or inf.
    """
    path = Path(path)
    return check_pixels(_one_page(path, page), path, page)


def _one_page(path: Path, page: int) -> np.ndarray:
    for array in iter_pages(path, page):
        return array
    before = sum(1 for _ in iter_pages(path))
    raise ImageError(
        f"{path}: has {before} page(s); expected page {page} (counted from 0); check the file"
    )


def check_pixels(image: np.ndarray, path: Path, page: int = 0) -> np.ndarray:
    """Return `image` unchanged, or raise ImageError if it is too small or not finite."""
    where = f"{path} page {page}" if page else str(path)
    if min(image.shape[:2]) < MIN_SIDE:
        raise ImageError(
            f"{where}: {image.shape[0]} x {image.shape[1]} pixels; expected at least "
            f"{MIN_SIDE} x {MIN_SIDE}; remove it"
        )
    bad = image.size - int(np.count_nonzero(np.isfinite(image))) if image.dtype.kind == "f" else 0
    if bad:
        raise ImageError(
            f"{where}: {bad} of {image.size} values are NaN or inf; expected finite values; "
            "fill them in or remove the image"
        )
    return image


def read_mask(
    path: str | os.PathLike[str], shape: tuple[int, int], page: int = 0
) -> Bool[np.ndarray, "y x"]:
    """Read a ground-truth mask.

    Two values, one of them 0 (0/255, 0/1, ...), are background and defect. More values are taken
    for antialiased edges, cut at half of the full scale (of the dtype; 1 for floats) and reported.

    Parameters
    ----------
    path : path
    shape : (y, x)
        Size of the image the mask belongs to.
    page : int
        Page of the image; the mask must have it too.

    Returns
    -------
    bool array, ``(y, x)``
        True on the defect.

    Raises
    ------
    ImageError
        Unreadable, another size than the image, coloured, or values that fit neither reading.

    Warns
    -----
    DataWarning
        The mask was antialiased.
    """
    path = Path(path)
    values = _grey(_one_page(path, page), path)
    if values.shape != tuple(shape[:2]):
        raise ImageError(
            f"{path}: mask of {values.shape[0]} x {values.shape[1]} pixels; expected the image's "
            f"{shape[0]} x {shape[1]}; export it at the image's own size"
        )
    levels = np.unique(values)
    if not np.isfinite(levels).all() or levels[0] < 0:
        raise ImageError(
            f"{path}: mask with negative, NaN or inf values; expected 0/255 or 0/1; export it again"
        )
    if levels.size <= 2 and (levels.size == 1 or levels[0] == 0):
        return values > 0
    return _cut(values, levels, path)


def _grey(mask: np.ndarray, path: Path) -> np.ndarray:
    """Reduce a mask with channels that can be read in one way: grey, or black and one colour."""
    if mask.ndim == 2:
        return mask
    if (mask == mask[..., :1]).all():
        return mask[..., 0]
    colours = np.unique(mask.reshape(-1, mask.shape[2]), axis=0)
    if len(colours) <= 2 and (len(colours) == 1 or not colours[0].any()):
        return np.asarray(mask.max(axis=2))
    raise ImageError(
        f"{path}: a mask with {len(colours)} colours; expected grey 0/255 or 0/1, "
        "or black and one colour; export it as such"
    )


def _cut(values: np.ndarray, levels: np.ndarray, path: Path) -> np.ndarray:
    full = 1.0 if values.dtype.kind == "f" else float(np.iinfo(values.dtype).max)
    if not full / 2 <= levels[-1] <= full:
        raise ImageError(
            f"{path}: mask with {levels.size} values from {levels[0]} to {levels[-1]} "
            f"({values.dtype}); expected 0/255 or 0/1, or grey edges up to {full:g}; "
            "if these are labels, save them as 0/255"
        )
    warnings.warn(
        f"{path}: mask with {levels.size} values (antialiased or compressed); cut at half of "
        f"{full:g}; save it as 0/255 to be exact",
        DataWarning,
        stacklevel=3,
    )
    return np.asarray(values >= full / 2)


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a whole file or nothing; the folder is made if needed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_png(path: str | os.PathLike[str], image: np.ndarray, *, level: int = 9) -> None:
    """Write a uint8 or uint16 image, ``(y, x)`` or ``(y, x, 3)``, as PNG; a lower level takes less time."""
    if image.dtype not in (np.uint8, np.uint16):
        raise ImageError(
            f"{path}: pixels of dtype {image.dtype}; PNG expects uint8 or uint16; convert it"
        )
    pixels = np.ascontiguousarray(image)
    filtered = imagecodecs.PNG.STRATEGY.FILTERED  # a tenth smaller for photographs
    write_atomically(path, bytes(imagecodecs.png_encode(pixels, level=level, strategy=filtered)))


def write_mask(path: str | os.PathLike[str], mask: np.ndarray) -> None:
    """Write a mask, ``(y, x)``, as uint8 PNG: 255 where it is not zero."""
    if mask.ndim != 2:
        raise ImageError(f"{path}: mask of shape {mask.shape}; expected (y, x)")
    write_png(path, (np.asarray(mask) != 0).astype(np.uint8) * np.uint8(255))


def write_map(path: str | os.PathLike[str], anomaly_map: Float[np.ndarray, "y x"]) -> None:
    """Write an anomaly map as float32 TIFF."""
    file = io.BytesIO()
    tifffile.imwrite(
        file, np.asarray(anomaly_map, np.float32), photometric="minisblack", compression="zlib"
    )
    write_atomically(path, file.getvalue())
