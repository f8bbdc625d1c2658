"""What comes out of a file is what was put in, and every bad file says what is wrong with it."""

import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from napari_anomaly.core.data import decode
from napari_anomaly.core.data.files import (
    is_image_name,
    read_image,
    read_mask,
    read_pages,
    write_map,
    write_mask,
    write_png,
)
from napari_anomaly.core.errors import DataWarning, ImageError

GREY8 = (np.arange(12 * 16).reshape(12, 16) % 251).astype(np.uint8)
RGB8 = np.stack([GREY8, GREY8 + 1, 255 - GREY8], axis=-1)
GREY16 = (GREY8.astype(np.uint16) * 257 + 3).astype(np.uint16)
RGB16 = np.stack([GREY16, GREY16 + 1, 65535 - GREY16], axis=-1)
ALPHA8 = np.full((12, 16, 1), 7, np.uint8)
FLOAT = (GREY8 / 7 - 3).astype(np.float32)


def _pillow(path, array, mode=None, **options):
    image = Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(path, **options)


def _png16(path, array):
    path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(array)))


def _tiff(path, array, **options):
    tifffile.imwrite(path, array, **options)


# -- reading ----------------------------------------------------------------------------------

SAME = {
    "grey8.png": (_pillow, GREY8, {}),
    "rgb8.png": (_pillow, RGB8, {}),
    "grey8.bmp": (_pillow, GREY8, {}),
    "rgb8.bmp": (_pillow, RGB8, {}),
    "grey16.png": (_png16, GREY16, {}),
    "rgb16.png": (_png16, RGB16, {}),
    "grey8.tif": (_tiff, GREY8, {}),
    "grey16.tif": (_tiff, GREY16, {"byteorder": ">"}),
    "int16.tif": (_tiff, GREY8.astype(np.int16) - 100, {}),
    "float32.tif": (_tiff, FLOAT, {}),
    "float64.tif": (_tiff, FLOAT.astype(np.float64), {}),
    "rgb16.tif": (_tiff, RGB16, {"photometric": "rgb"}),
    "lzw.tif": (_tiff, GREY16, {"compression": "lzw", "predictor": 2}),
    "zip.tiff": (_tiff, RGB8, {"compression": "zlib", "photometric": "rgb"}),
    "tiles.tif": (_tiff, np.tile(RGB8, (3, 3, 1)), {"tile": (16, 16), "photometric": "rgb"}),
    "big.tif": (_tiff, GREY8, {"bigtiff": True}),
}


@pytest.mark.parametrize("name", SAME)
def test_pixels_and_dtype_survive(tmp_path, name):
    write, array, options = SAME[name]
    write(tmp_path / name, array, **options)
    (page,) = read_pages(tmp_path / name)
    assert page.dtype == array.dtype
    assert page.dtype.isnative
    np.testing.assert_array_equal(page, array)


@pytest.mark.parametrize(
    ("name", "array", "expected"),
    [
        ("rgba.png", np.dstack([RGB8, ALPHA8]), RGB8),
        ("la.png", np.dstack([GREY8, ALPHA8]), GREY8),
    ],
)
def test_alpha_is_dropped(tmp_path, name, array, expected):
    _pillow(tmp_path / name, array)
    np.testing.assert_array_equal(read_image(tmp_path / name), expected)


def test_alpha_of_16_bit_png_and_of_tiff_is_dropped(tmp_path):
    rgba = np.dstack([RGB16, np.full((12, 16, 1), 9, np.uint16)])
    _png16(tmp_path / "a.png", rgba)
    _tiff(tmp_path / "a.tif", rgba, photometric="rgb", extrasamples=["unassalpha"])
    la = rgba[..., :2]
    _tiff(tmp_path / "la.tif", la, photometric="minisblack", extrasamples=["unassalpha"],
          planarconfig="contig")  # fmt: skip
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), RGB16)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), RGB16)
    np.testing.assert_array_equal(read_image(tmp_path / "la.tif"), RGB16[..., 0])


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_a_palette_becomes_rgb(tmp_path, suffix):
    index = Image.fromarray((GREY8 % 3).astype(np.uint8))
    index.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    index.save(tmp_path / f"p.{suffix}")
    table = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]], np.uint8)
    np.testing.assert_array_equal(read_image(tmp_path / f"p.{suffix}"), table[GREY8 % 3])


def test_a_palette_with_transparent_entries_reads_without_a_warning(tmp_path):
    index = Image.fromarray((GREY8 % 2).astype(np.uint8))
    index.putpalette([10, 20, 30, 40, 50, 60])
    index.save(tmp_path / "p.png", transparency=b"\x00\x80")
    assert read_image(tmp_path / "p.png")[0, 1].tolist() == [40, 50, 60]


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_one_bit_becomes_0_and_255(tmp_path, suffix):
    bits = GREY8 % 2 == 1
    Image.fromarray(bits).save(tmp_path / f"b.{suffix}")
    read = read_image(tmp_path / f"b.{suffix}")
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, np.where(bits, 255, 0))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_orientation_is_that_of_pillow(tmp_path, suffix, orientation):
    """The reference is PIL.ImageOps.exif_transpose, Pillow 13."""
    from PIL import ImageOps

    path = tmp_path / f"o.{suffix}"
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(RGB8).save(path, exif=exif)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(read_image(path), expected)


def test_orientation_of_a_16_bit_png(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # shown upright after a quarter turn clockwise
    Image.fromarray(GREY16).save(tmp_path / "o.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "o.png"), np.rot90(GREY16, -1))


def test_jpeg_is_read_whatever_it_is_called(tmp_path):
    _pillow(tmp_path / "a.png", RGB8, format="JPEG", quality=95)
    assert read_image(tmp_path / "a.png").shape == RGB8.shape


def test_white_is_zero_is_turned_round(tmp_path):
    _tiff(tmp_path / "w.tif", GREY16, photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "w.tif"), 65535 - GREY16)


def test_planar_rgb(tmp_path):
    planes = np.moveaxis(RGB16, -1, 0)
    _tiff(tmp_path / "p.tif", planes, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_image(tmp_path / "p.tif"), RGB16)


def test_jpeg_inside_tiff_comes_out_as_rgb(tmp_path):
    smooth = np.broadcast_to(np.array([200, 40, 90], np.uint8), (16, 16, 3))
    _tiff(tmp_path / "j.tif", smooth, photometric="rgb", compression="jpeg")
    assert np.abs(read_image(tmp_path / "j.tif").astype(int) - smooth).max() <= 3


STACK = np.stack([GREY16 + k for k in range(5)])
STACKS = {
    "plain": {"photometric": "minisblack", "metadata": None},
    "shaped": {"photometric": "minisblack"},
    "one header": {"photometric": "minisblack", "metadata": {"axes": "ZYX", "truncate": True}},
    "imagej": {"imagej": True, "metadata": {"axes": "ZYX"}},
    "ome": {"ome": True, "metadata": {"axes": "ZYX"}, "photometric": "minisblack"},
    "zip": {"photometric": "minisblack", "compression": "zlib"},
}


@pytest.mark.parametrize("kind", STACKS)
def test_pages_in_order(tmp_path, kind):
    _tiff(tmp_path / "s.tif", STACK, **STACKS[kind])
    pages = read_pages(tmp_path / "s.tif")
    assert len(pages) == 5
    np.testing.assert_array_equal(np.stack(pages), STACK)
    np.testing.assert_array_equal(read_image(tmp_path / "s.tif", 3), STACK[3])


def test_imagej_stack_with_one_header_only(tmp_path):
    """ImageJ writes stacks above 4 GB with a single header; a small one stands in for them."""
    _tiff(tmp_path / "s.tif", STACK, imagej=True, metadata={"axes": "ZYX"})
    with tifffile.TiffFile(tmp_path / "s.tif") as tif:
        first = tif.pages[0]
        where = first.offset + 2 + len(first.tags) * 12
        assert first.is_contiguous
    data = bytearray((tmp_path / "s.tif").read_bytes())
    data[where : where + 4] = bytes(4)  # no second header
    (tmp_path / "s.tif").write_bytes(data)
    np.testing.assert_array_equal(np.stack(read_pages(tmp_path / "s.tif")), STACK)


def test_pages_of_different_size_keep_their_order(tmp_path):
    with tifffile.TiffWriter(tmp_path / "m.tif") as tif:
        for array in (GREY8, GREY8.T, RGB8, GREY8):
            tif.write(array, photometric="rgb" if array.ndim == 3 else "minisblack", metadata=None)
    shapes = [page.shape for page in read_pages(tmp_path / "m.tif")]
    assert shapes == [(12, 16), (16, 12), (12, 16, 3), (12, 16)]


def test_thumbnails_are_no_pages(tmp_path):
    with tifffile.TiffWriter(tmp_path / "t.tif") as tif:
        tif.write(GREY8, photometric="minisblack", metadata=None)
        tif.write(GREY8[::2, ::2], photometric="minisblack", metadata=None, subfiletype=1)
    assert [page.shape for page in read_pages(tmp_path / "t.tif")] == [(12, 16)]


@settings(max_examples=30, deadline=None)
@given(
    array=hnp.arrays(
        st.sampled_from([np.uint8, np.uint16]),
        st.one_of(
            st.tuples(st.integers(1, 9), st.integers(1, 9)),
            st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)),
        ),
    )
)
def test_png_round_trip(tmp_path_factory, array):
    path = tmp_path_factory.mktemp("png") / "a.png"
    write_png(path, array)
    (page,) = read_pages(path)
    assert page.dtype == array.dtype
    np.testing.assert_array_equal(page, array)


# -- bad files --------------------------------------------------------------------------------


def _png_header(width, height, depth=8):
    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    head = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def _encoded(array, kind, **options):
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind, **options)
    return file.getvalue()


def _tiff_bytes(array, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


def _with(value):
    array = FLOAT.copy()
    array[2, 3:5] = value
    return _tiff_bytes(array)


NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
BAD = {
    "zero bytes": (b"", ["empty file (0 bytes)", "copy it again"]),
    "text": (b"hello, this is no image", ["not an image", "hello", "PNG, JPEG, BMP or TIFF"]),
    "gif": (b"GIF89a" + bytes(40), ["not an image", "convert it"]),
    "cut png": (_encoded(NOISE, "PNG")[:-4000], ["truncated", "copy it again"]),
    "cut jpeg": (_encoded(NOISE, "JPEG")[:-500], ["truncated", "copy it again"]),
    "cut bmp": (_encoded(NOISE, "BMP")[:-500], ["truncated", "copy it again"]),
    "cut 16-bit png": (imagecodecs.png_encode(NOISE * np.uint16(200))[:-4000], ["truncated"]),
    "cut tiff": (_tiff_bytes(NOISE, photometric="rgb")[:-10], ["truncated: ", "bytes"]),
    "cut lzw tiff": (
        _tiff_bytes(NOISE, photometric="rgb", compression="lzw")[:-10],
        ["truncated: ", "bytes"],
    ),
    "cut stack": (
        _tiff_bytes(NOISE, photometric="minisblack", metadata=None)[:300],
        ["truncated: "],
    ),
    "png header only": (_encoded(NOISE, "PNG")[:20], ["damaged, truncated or no image"]),
    "tiff header only": (b"II*\0", ["damaged, truncated or no image"]),
    "nan": (_with(np.nan), ["2 of 192 values are NaN or inf", "finite", "remove"]),
    "inf": (_with(-np.inf), ["2 of 192 values are NaN or inf"]),
    "1 x 1": (_encoded(GREY8[:1, :1], "PNG"), ["1 x 1 pixels", "at least 8 x 8"]),
    "7 x 16": (_encoded(GREY8[:7], "PNG"), ["7 x 16 pixels", "at least 8 x 8"]),
    "bomb": (_png_header(60000, 60000), ["60000 x 60000 pixels", "at most 268435456"]),
    "16-bit bomb": (_png_header(60000, 60000, 16), ["60000 x 60000 pixels", "at most"]),
    "cmyk": (
        _encoded(np.dstack([RGB8, ALPHA8]), "PNG"),  # replaced below: Pillow needs a mode for it
        ["CMYK", "save it as RGB"],
    ),
    "complex": (_tiff_bytes(FLOAT.astype(np.complex64)), ["complex64", "magnitude"]),
    "two channels": (
        _tiff_bytes(RGB8[..., :2], photometric="minisblack", planarconfig="contig"),
        ["2 channel(s)", "MINISBLACK", "grey or RGB"],
    ),
    "five channels": (
        _tiff_bytes(
            np.dstack([RGB8, RGB8[..., :2]]), photometric="minisblack", planarconfig="contig"
        ),
        ["5 channel(s)", "grey or RGB"],
    ),
    "white-is-zero float": (_tiff_bytes(FLOAT, photometric="miniswhite"), ["white-is-zero"]),
}
_CMYK = io.BytesIO()
Image.fromarray(RGB8).convert("CMYK").save(_CMYK, "JPEG")
BAD["cmyk"] = (_CMYK.getvalue(), BAD["cmyk"][1])


@pytest.mark.parametrize("case", BAD)
def test_bad_files_say_what_is_wrong(tmp_path, case):
    data, words = BAD[case]
    path = tmp_path / "part 7.png"
    path.write_bytes(data)
    with pytest.raises(ImageError) as raised:
        read_image(path)
    text = str(raised.value)
    assert text.startswith(str(path))
    for word in words:
        assert word in text


def test_a_tiff_bomb_is_refused_by_its_header(tmp_path):
    _tiff(tmp_path / "b.tif", GREY8, metadata=None)
    with tifffile.TiffFile(tmp_path / "b.tif", mode="r+b") as tif:
        tif.pages[0].tags["ImageWidth"].overwrite(60000)
        tif.pages[0].tags["ImageLength"].overwrite(60000)
    with pytest.raises(ImageError, match="60000 x 60000 pixels; expected at most 268435456"):
        read_image(tmp_path / "b.tif")


def test_a_stack_whose_next_header_is_missing_is_not_silently_shorter(tmp_path):
    _tiff(tmp_path / "s.tif", STACK, photometric="minisblack", compression="zlib", metadata=None)
    with tifffile.TiffFile(tmp_path / "s.tif") as tif:
        cut = tif.pages[4].offset
    data = (tmp_path / "s.tif").read_bytes()[:cut]
    (tmp_path / "s.tif").write_bytes(data)
    with pytest.raises(ImageError, match="truncated"):
        read_pages(tmp_path / "s.tif")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_bytes_never_raise_anything_else(tmp_path_factory, data):
    whole = data.draw(
        st.sampled_from(
            [
                _encoded(RGB8, "PNG"),
                _encoded(RGB8, "JPEG"),
                _encoded(RGB8, "BMP"),
                _tiff_bytes(GREY16),
                _tiff_bytes(STACK, photometric="minisblack", compression="lzw"),
                bytes(imagecodecs.png_encode(RGB16)),
            ]
        )
    )
    broken = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("fuzz") / "f.png"
    path.write_bytes(broken)
    try:
        pages = read_pages(path)
    except ImageError as error:
        assert str(path) in str(error)
    else:
        assert all(page.dtype.kind in "iuf" for page in pages)


WHOLE = {
    "png": _encoded(NOISE, "PNG"),
    "16-bit png": bytes(imagecodecs.png_encode(NOISE * np.uint16(257))),
    "jpeg": _encoded(NOISE, "JPEG"),
    "bmp": _encoded(NOISE, "BMP"),
    "stack": _tiff_bytes(NOISE, photometric="minisblack"),
    "zip stack": _tiff_bytes(NOISE, photometric="minisblack", compression="zlib", metadata=None),
    "imagej": _tiff_bytes(NOISE, imagej=True, metadata={"axes": "ZYX"}),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_cut_file_is_refused_or_complete(tmp_path, kind):
    """No prefix of a file may read as an image with made-up pixels."""
    whole, path = WHOLE[kind], tmp_path / "cut"
    path.write_bytes(whole)
    expected = read_pages(path)
    refused = 0
    lengths = np.unique(np.linspace(1, len(whole) - 1, 60).astype(int))
    for length in lengths:
        path.write_bytes(whole[:length])
        try:
            pages = read_pages(path)
        except ImageError:
            refused += 1
        else:
            np.testing.assert_array_equal(np.stack(pages), np.stack(expected))
    assert refused >= len(lengths) // 2  # a stack's headers may lie behind all its pixels


def test_a_page_too_far(tmp_path):
    _tiff(tmp_path / "s.tif", STACK, photometric="minisblack")
    with pytest.raises(ImageError, match=r"has 5 page\(s\); expected page 5 \(counted from 0\)"):
        read_image(tmp_path / "s.tif", 5)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ImageError, match=r"gone\.png: no such file; check the path"):
        read_image(tmp_path / "gone.png")


def test_a_file_without_permission(tmp_path, monkeypatch):
    _pillow(tmp_path / "secret.png", GREY8)

    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImageError, match=r"secret\.png: no permission to read it; allow reading"):
        read_image(tmp_path / "secret.png")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all files")
def test_a_file_without_permission_on_the_disk(tmp_path):
    _pillow(tmp_path / "secret.png", GREY8)
    (tmp_path / "secret.png").chmod(0)
    with pytest.raises(ImageError, match="no permission to read it"):
        read_image(tmp_path / "secret.png")


def test_a_link_to_itself(tmp_path):
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    with pytest.raises(ImageError, match=r"loop\.png: .*symbolic link"):
        read_image(tmp_path / "loop.png")


def test_a_folder_called_png(tmp_path):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ImageError, match=r"folder\.png"):
        read_image(tmp_path / "folder.png")


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("a.png", True),
        ("a.PNG", True),
        ("a.b.jpeg", True),
        ("a.TIFF", True),
        ("._a.png", False),
        (".a.png", False),
        ("Thumbs.db", False),
        ("a.txt", False),
        ("png", False),
    ],
)
def test_which_names_are_images(name, taken):
    assert is_image_name(name) is taken


# -- masks ------------------------------------------------------------------------------------

DISC = np.hypot(*(np.indices((12, 16)) - np.array([6, 8]).reshape(2, 1, 1))) < 4


@pytest.mark.parametrize(
    "values",
    [
        DISC.astype(np.uint8) * 255,
        DISC.astype(np.uint8),
        DISC.astype(np.uint8) * 128,
        DISC.astype(np.uint16) * 65535,
        np.dstack([DISC.astype(np.uint8) * 255] * 3),
        np.dstack([DISC.astype(np.uint8) * 128, *[np.zeros((12, 16), np.uint8)] * 2]),
    ],
    ids=["255", "1", "128", "65535", "grey as rgb", "dark red"],
)
def test_masks_of_two_values(tmp_path, values):
    write_png(tmp_path / "m.png", values)
    mask = read_mask(tmp_path / "m.png", (12, 16))
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, DISC)


def test_masks_of_one_value_and_of_floats(tmp_path):
    write_png(tmp_path / "none.png", np.zeros((12, 16), np.uint8))
    write_png(tmp_path / "all.png", np.full((12, 16), 255, np.uint8))
    _tiff(tmp_path / "f.tif", DISC.astype(np.float32))
    assert not read_mask(tmp_path / "none.png", (12, 16)).any()
    assert read_mask(tmp_path / "all.png", (12, 16)).all()
    np.testing.assert_array_equal(read_mask(tmp_path / "f.tif", (12, 16)), DISC)


@pytest.mark.parametrize(
    ("values", "half"),
    [
        (np.array([0, 1, 127, 128, 254, 255], np.uint8), "255"),
        (np.array([0, 1, 32767, 32768, 65000, 65535], np.uint16), "65535"),
        (np.array([0, 0.1, 0.499, 0.5, 0.8, 1], np.float32), "1"),
    ],
    ids=["uint8", "uint16", "float32"],
)
def test_antialiased_masks_are_cut_at_half_and_reported(tmp_path, values, half):
    path = tmp_path / "m.tif"
    _tiff(path, np.tile(values, (8, 1)))
    with pytest.warns(DataWarning, match=rf"m\.tif: mask with 6 values .* half of {half}"):
        mask = read_mask(path, (8, 6))
    np.testing.assert_array_equal(mask[0], [False, False, False, True, True, True])


BAD_MASKS = {
    "other size": (np.zeros((6, 16), np.uint8), ["mask of 6 x 16", "the image's 12 x 16"]),
    "turned": (np.zeros((16, 12), np.uint8), ["mask of 16 x 12", "the image's 12 x 16"]),
    "labels": (np.arange(192, dtype=np.uint8).reshape(12, 16) % 4, ["4 values from 0 to 3"]),
    "large floats": (GREY8.astype(np.float32), ["from 0.0 to 191.0 (float32)"]),
    "nan": (np.where(DISC, np.nan, 1).astype(np.float32), ["negative, NaN or inf"]),
    "negative": (DISC.astype(np.int16) * -1, ["negative, NaN or inf"]),
    "colours": (RGB8, ["colours; expected grey 0/255"]),
}


@pytest.mark.parametrize("case", BAD_MASKS)
def test_bad_masks_say_what_is_wrong(tmp_path, case):
    values, words = BAD_MASKS[case]
    path = tmp_path / "m.tif"
    _tiff(path, values, photometric="rgb" if values.ndim == 3 else "minisblack")
    with pytest.raises(ImageError) as raised:
        read_mask(path, (12, 16))
    assert str(raised.value).startswith(str(path))
    for word in words:
        assert word in str(raised.value)


def test_page_k_of_an_image_has_page_k_of_its_mask(tmp_path):
    _tiff(tmp_path / "m.tif", np.stack([DISC, ~DISC]).astype(np.uint8), photometric="minisblack")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.tif", (12, 16), page=1), ~DISC)
    with pytest.raises(ImageError, match=r"has 2 page\(s\); expected page 2"):
        read_mask(tmp_path / "m.tif", (12, 16), page=2)


# -- writing ----------------------------------------------------------------------------------


def test_masks_and_maps_come_back(tmp_path):
    write_mask(tmp_path / "new" / "m.png", DISC)
    write_map(tmp_path / "new" / "a.tif", FLOAT)
    with Image.open(tmp_path / "new" / "m.png") as image:
        np.testing.assert_array_equal(np.asarray(image), np.where(DISC, 255, 0))
    np.testing.assert_array_equal(read_image(tmp_path / "new" / "a.tif"), FLOAT)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.tif", "m.png"]


def test_labels_are_written_as_one_mask(tmp_path):
    write_mask(tmp_path / "m.png", DISC.astype(np.int32) * 300)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", (12, 16)), DISC)


def test_an_interrupted_write_leaves_the_old_file_and_no_scraps(tmp_path, monkeypatch):
    write_mask(tmp_path / "m.png", DISC)

    def fail(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write_mask(tmp_path / "m.png", ~DISC)
    assert [path.name for path in tmp_path.iterdir()] == ["m.png"]
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", (12, 16)), DISC)


def test_what_png_cannot_hold_is_refused(tmp_path):
    with pytest.raises(ImageError, match="dtype float32; PNG expects uint8 or uint16"):
        write_png(tmp_path / "a.png", FLOAT)
    with pytest.raises(ImageError, match=r"mask of shape \(2, 3, 4\); expected \(y, x\)"):
        write_mask(tmp_path / "a.png", np.zeros((2, 3, 4)))


def test_reading_warns_of_nothing(tmp_path):
    """A size above Pillow's own limit for warnings is read in silence."""
    assert decode.MAX_PIXELS > Image.MAX_IMAGE_PIXELS
    wide = np.zeros((100, Image.MAX_IMAGE_PIXELS // 100 + 8), np.uint8)
    Image.fromarray(wide).save(tmp_path / "line.png", compress_level=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(tmp_path / "line.png").shape == wide.shape
