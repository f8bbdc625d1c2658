"""Images larger than memory: every kind of file gives the same rectangle; every error says what to do."""

import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_anomaly.core.data import large
from napari_anomaly.core.data.large import npy_file, opened
from napari_anomaly.core.errors import DataError, ImageError

GREY = np.random.default_rng(0).integers(0, 255, (90, 110), np.uint16)
COLOUR = np.random.default_rng(1).integers(0, 255, (90, 110, 3), np.uint8)
WHERE = np.s_[17:60, 5:101]


def npy(path, image):
    np.save(path / "a.npy", image)
    return path / "a.npy"


def mapped(path, image):
    return np.load(npy(path, image), mmap_mode="r")


def part_of_a_mapped_file(path, image):
    wider = np.concatenate([np.zeros_like(image), image])
    return np.load(npy(path, wider), mmap_mode="r")[len(image) :]


def plain_tiff(path, image):
    tifffile.imwrite(path / "a.tif", image, rowsperstrip=7)
    return path / "a.tif"


def tiled_tiff(path, image):
    pytest.importorskip("zarr")
    tifffile.imwrite(path / "a.tiff", image, tile=(32, 48), compression="zlib")
    return str(path / "a.tiff")


def zarr_array(path, image):
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(
        path / "a.zarr", shape=image.shape, chunks=(32,) * 2 + image.shape[2:], dtype=image.dtype
    )
    array[:] = image
    return array


def zarr_folder(path, image):
    zarr_array(path, image)
    return path / "a.zarr"


SOURCES = [
    npy,
    mapped,
    part_of_a_mapped_file,
    plain_tiff,
    tiled_tiff,
    zarr_array,
    zarr_folder,
    lambda path, image: image,
]


@pytest.mark.parametrize("image", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("source", SOURCES)
def test_a_rectangle_is_that_of_the_array(source, image, tmp_path):
    with opened(source(tmp_path, image)) as one:
        assert one.shape == (90, 110)
        found = one.read(WHERE)

    assert type(found) is np.ndarray
    assert found.dtype == image.dtype
    np.testing.assert_array_equal(found, image[WHERE])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident pages are told by /proc")
@pytest.mark.parametrize("source", [npy, mapped])
def test_pages_of_a_mapped_file_are_let_go(source, tmp_path):
    """64 MB are read through; they would all be resident."""
    image = np.ones((8192, 8192), np.uint8)
    given = source(tmp_path, image)
    del image

    with opened(given) as one:
        before = resident()
        for top in range(0, 8192, 512):
            one.read(np.s_[top : top + 512, :8192])
        assert resident() - before < 16


def resident():
    """Megabytes."""
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * 4096 / 1e6


def nothing(path):
    return path / "none.npy"


def text(path):
    (path / "a.npy").write_text("no numbers")
    return path / "a.npy"


def objects(path):
    np.save(path / "a.npy", np.array([[{}]], dtype=object))
    return path / "a.npy"


def cut_short(path):
    whole = npy(path, GREY)
    whole.write_bytes(whole.read_bytes()[:500])
    return whole


def picture(path):
    (path / "a.png").touch()
    return path / "a.png"


def stack(path):
    np.save(path / "a.npy", np.zeros((5, 90, 110), np.uint8))
    return path / "a.npy"


def pages(path):
    with tifffile.TiffWriter(path / "a.tif") as file:
        file.write(GREY)
        file.write(GREY[:50])
    return path / "a.tif"


def white_is_zero(path):
    tifffile.imwrite(path / "a.tif", GREY, photometric="miniswhite")
    return path / "a.tif"


def turned(path):
    tifffile.imwrite(path / "a.tif", GREY, extratags=[(274, 3, 1, 6, True)])
    return path / "a.tif"


def no_tiff(path):
    (path / "a.tif").write_bytes(b"II*\0" + bytes(40))
    return path / "a.tif"


def group(path):
    zarr = pytest.importorskip("zarr")
    zarr.open_group(path / "a.zarr", mode="w").create_array("scale0", shape=(9, 9), dtype="u1")
    return path / "a.zarr"


def empty_folder(path):
    pytest.importorskip("zarr")
    (path / "a.zarr").mkdir()
    return path / "a.zarr"


BAD = [
    (nothing, "none.npy: no such file or folder; check the path"),
    (text, "damaged or no .npy file of numbers .* write it again with numpy.save"),
    (objects, "damaged or no .npy file of numbers"),
    (cut_short, "damaged or no .npy file of numbers"),
    (picture, r"expected .npy, .zarr, .tif or .tiff. Convert it to .npy"),
    (stack, r"found the shape \(5, 90, 110\); .* Give one image, channels last"),
    (pages, r"found 2 image\(s\), the first stored as MINISBLACK; expected one"),
    (white_is_zero, "stored as MINISWHITE; expected one, grey"),
    (turned, "to be shown turned"),
    (no_tiff, "damaged or no TIFF"),
    (group, "found a zarr group with scale0 inside; expected an array"),
    (empty_folder, "no zarr array that can be read"),
]


@pytest.mark.parametrize(("make", "words"), BAD)
def test_what_cannot_be_read_is_told(make, words, tmp_path):
    with pytest.raises(ImageError, match=words), opened(make(tmp_path)):
        pass


def test_a_tiff_compressed_as_one_piece_is_not_read_as_a_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(large, "_LARGEST_CHUNK", 5000)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, compression="zlib", rowsperstrip=90)
    with (
        pytest.raises(ImageError, match="in pieces of 90 x 110 pixels; expected at most 5000"),
        opened(path),
    ):
        pass


def test_without_zarr_its_files_ask_for_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    (tmp_path / "a.zarr").mkdir()
    with (
        pytest.raises(ImageError, match=r"needs the package zarr .* \(pip install zarr\)"),
        opened(tmp_path / "a.zarr"),
    ):
        pass


def test_a_file_written_by_rectangles(tmp_path):
    values = np.random.default_rng(0).normal(size=(7, 9)).astype(np.float32)
    path = tmp_path / "new" / "map.npy"

    with npy_file(path, (7, 9)) as write:
        for rows in (slice(0, 4), slice(4, 7)):
            for columns in (slice(0, 5), slice(5, 9)):
                write((rows, columns), values[rows, columns])
        assert not path.exists()

    np.testing.assert_array_equal(np.load(path), values)
    assert [one.name for one in path.parent.iterdir()] == ["map.npy"]


def test_a_file_that_is_not_finished_leaves_what_was_there(tmp_path):
    path = tmp_path / "map.npy"
    path.write_text("old")

    with pytest.raises(KeyboardInterrupt), npy_file(path, (2, 2)) as write:
        write(np.s_[0:2, 0:2], np.zeros((2, 2), np.float32))
        raise KeyboardInterrupt

    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["map.npy"]


def test_no_room_is_told_before_anything_is_written(tmp_path):
    with (
        pytest.raises(DataError, match=r"the map needs 4e\+06 GB, found .* GB free; make room"),
        npy_file(tmp_path / "map.npy", (10**8, 10**7)),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
