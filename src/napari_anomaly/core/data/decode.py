"""Bytes of an image file -> its pages, with the pixel values that the file holds.

Intensities are never rescaled. What a viewer would do silently is done here openly: a palette
becomes RGB, alpha is dropped, 1-bit pixels become 0/255, MINISWHITE is turned to black = 0, and
the orientation tag is applied.
"""

import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal

import imagecodecs
import numpy as np
import tifffile
from PIL import BmpImagePlugin, ExifTags, Image, JpegImagePlugin, PngImagePlugin

from napari_anomaly.core.errors import ImageError

MAX_PIXELS = 2**28
"""Pixels of one page above which a file is refused before it is decoded (16384 x 16384)."""

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ALPHA = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)
_RGB_MODES = {"1": "L", "P": "RGBA", "PA": "RGBA"}
_KEPT_MODES = ("L", "LA", "RGB", "RGBA", "I;16", "I;16B", "I")


def iter_pages(path: Path, first: int = 0) -> Iterator[np.ndarray]:
    """Yield the pages of an image file one by one.

    Parameters
    ----------
    path : Path
        PNG, JPEG, BMP or TIFF; told apart by their first bytes, not by the suffix.
    first : int
        The page to begin with; those before it are not decoded.

    Yields
    ------
    array, ``(y, x)`` or ``(y, x, 3)``
        A real dtype, the one in the file.

    Raises
    ------
    ImageError
        The file cannot be opened, is no image, is damaged, or holds pixels without a single
        reading.
    """
    try:
        with path.open("rb") as file:
            for array, orientation in _decode(file, first):
                yield _upright(_real(array), orientation)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except PermissionError as error:
        raise ImageError(
            f"{path}: no permission to read it; allow reading or take the file out of the folder"
        ) from error
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such file; check the path") from error
    except Exception as error:  # decoders answer damaged bytes with every kind of exception
        raise ImageError(
            f"{path}: damaged, truncated or no image ({_reason(error)}); expected a whole "
            "PNG, JPEG, BMP or TIFF; copy it again from its source or remove it"
        ) from error


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0][:200]


def _decode(file: IO[bytes], first: int) -> Iterator[tuple[np.ndarray, int]]:
    start = file.read(26)
    file.seek(0)
    if not start:
        raise ImageError("empty file (0 bytes); copy it again from its source or remove it")
    if start[:4] in _TIFF_STARTS:
        yield from _tiff(file, first)
    elif first:
        return
    elif start[:8] == b"\x89PNG\r\n\x1a\n":
        yield _png(file, bits=start[24] if len(start) > 24 else 0)
    elif start[:2] == b"\xff\xd8":
        yield _pillow(JpegImagePlugin.JpegImageFile(file))
    elif start[:2] == b"BM":
        yield _pillow(BmpImagePlugin.BmpImageFile(file))
    else:
        raise ImageError(
            f"not an image that can be read here (starts with {start[:8]!r}); "
            "expected PNG, JPEG, BMP or TIFF; convert it or remove it"
        )


# Pillow's plugins are called directly: Image.open warns about, or refuses, sizes that line cameras
# make.


def _png(file: IO[bytes], bits: int) -> tuple[np.ndarray, int]:
    image = PngImagePlugin.PngImageFile(file)
    if bits != 16:
        return _pillow(image)
    _check_size(*image.size)
    file.seek(0)
    array = np.asarray(imagecodecs.png_decode(file.read()))  # Pillow cuts 16-bit RGB to 8 bits
    file.seek(0)
    orientation = PngImagePlugin.PngImageFile(file).getexif().get(ExifTags.Base.Orientation, 1)
    return _without_alpha(array), orientation


def _pillow(image: Image.Image) -> tuple[np.ndarray, int]:
    _check_size(*image.size)
    if image.mode in _RGB_MODES:
        converted = image.convert(_RGB_MODES[image.mode])
    elif image.mode in _KEPT_MODES:
        converted = image
    else:
        raise ImageError(
            f"colours stored as {image.mode}; expected grey, RGB or a palette; save it as RGB"
        )
    array = np.asarray(converted)
    return _without_alpha(array), image.getexif().get(ExifTags.Base.Orientation, 1)


def _without_alpha(array: np.ndarray) -> np.ndarray:
    if array.ndim == 3 and array.shape[2] in (2, 4):
        array = array[..., : array.shape[2] - 1]
    return array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array


def _tiff(file: IO[bytes], first: int) -> Iterator[tuple[np.ndarray, int]]:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    with tifffile.TiffFile(file) as tif:
        if tif.is_imagej or tif.is_shaped:
            series = tif.series[0]
            if series.size > len(tif.pages) * tif.pages[0].size:
                yield from islice(_one_header(series, tif.pages[0], size), first, None)
                return
        for page in tif.pages:
            frame: Any = page.keyframe
            if frame.is_reduced or frame.is_mask:
                continue
            if first < (planes := frame.shaped[1]):
                _check_page(page, size)
                yield from islice(_planes(page.asarray(squeeze=False), frame), first, None)
            first = max(0, first - planes)
        _check_chain(tif, size)


def _one_header(series: Any, page: Any, size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yield the planes of a stack that one header describes (ImageJ above 4 GB, ``truncate``)."""
    _check_size(page.imagewidth, page.imagelength)
    if page.dataoffsets[0] + series.nbytes > size:
        raise ImageError(_cut_short(size, page.dataoffsets[0] + series.nbytes))
    for block in series.asarray().reshape(-1, *page.shaped):
        yield from _planes(block, page)


def _check_page(page: Any, size: int) -> None:
    _check_size(page.keyframe.imagewidth, page.keyframe.imagelength * page.keyframe.imagedepth)
    # tifffile fills what is missing with zeros, so a cut file has to be noticed here
    pieces = zip(page.dataoffsets, page.databytecounts, strict=False)
    end = max((offset + count for offset, count in pieces), default=0)
    if end > size:
        raise ImageError(_cut_short(size, end))


def _check_chain(tif: Any, size: int) -> None:
    """Refuse a file whose next page would begin behind its end; tifffile only logs that."""
    last, form, handle = tif.pages[-1], tif.tiff, tif.filehandle
    order: Literal["little", "big"] = "little" if form.byteorder == "<" else "big"
    handle.seek(last.offset)
    count = int.from_bytes(handle.read(form.tagnosize), order)
    handle.seek(last.offset + form.tagnosize + count * form.tagsize)
    following = int.from_bytes(handle.read(form.offsetsize), order)
    if following >= size:
        raise ImageError(_cut_short(size, following))


def _cut_short(size: int, end: int) -> str:
    return (
        f"truncated: {size} bytes, but its header speaks of {end} or more; "
        "copy it again from its source or remove it"
    )


def _planes(block: np.ndarray, page: Any) -> Iterator[tuple[np.ndarray, int]]:
    """Cut tifffile's ``(separate samples, z, y, x, samples)`` into images."""
    planar = block.shape[0] > 1
    stack = np.moveaxis(block, 0, -1)[..., 0, :] if planar else block[0]  # (z, y, x, c)
    tag = page.tags.get("Orientation")
    for plane in stack:
        yield _colours(plane, page), int(tag.value) if tag else 1


def _colours(plane: np.ndarray, page: Any) -> np.ndarray:
    """Turn one ``(y, x, c)`` TIFF plane into grey or RGB."""
    kind, samples = page.photometric.name, plane.shape[-1]
    alpha = any(extra in _ALPHA for extra in page.extrasamples)
    if kind == "PALETTE" and samples - alpha == 1 and page.colormap is not None:
        return _palette(plane[..., 0], page.colormap)
    if kind == "MINISWHITE" and samples - alpha == 1:
        return _inverted(plane[..., 0], page.bitspersample)
    if kind == "RGB" and samples >= 3:
        return plane[..., :3]
    if kind == "MINISBLACK" and samples - alpha in (1, 3):
        return plane[..., 0] if samples - alpha == 1 else plane[..., :3]
    if kind == "YCBCR" and page.compression.name == "JPEG" and samples == 3:
        return plane  # the JPEG decoder has made it RGB
    raise ImageError(
        f"{samples} channel(s) stored as {kind}; expected grey or RGB, with or without "
        "alpha; save it as one of these"
    )


def _palette(plane: np.ndarray, colours: np.ndarray) -> np.ndarray:
    # the standard's entries have 16 bits; some writers leave 8-bit values there
    entries = colours if colours.max() < 256 else colours >> 8
    return np.moveaxis(entries.astype(np.uint8)[:, plane], 0, -1)


def _inverted(plane: np.ndarray, bits: int) -> np.ndarray:
    if plane.dtype == np.bool_:
        return ~plane
    if plane.dtype.kind != "u":
        raise ImageError(
            f"white-is-zero pixels of dtype {plane.dtype}; expected unsigned integers; "
            "save it as black-is-zero"
        )
    return np.asarray(plane.dtype.type(2**bits - 1) - plane)


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{height} x {width} pixels; expected at most {MAX_PIXELS} in all; "
            "crop it or make it smaller"
        )


def _real(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind not in "iuf":
        raise ImageError(
            f"pixels of dtype {array.dtype}; expected integers or floats; "
            "save its magnitude or real part"
        )
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF/TIFF orientation: 1 is upright, 5 to 8 exchange y and x."""
    if orientation in (5, 6, 7, 8):
        array = np.swapaxes(array, 0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)
