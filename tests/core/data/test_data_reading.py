"""Images of samples come in order, whoever decodes them; what cannot be read is named and skipped."""

import re

import numpy as np
import pytest
import tifffile

from napari_anomaly.core.data.files import write_png
from napari_anomaly.core.data.folders import open_folder
from napari_anomaly.core.data.reading import read_samples
from napari_anomaly.core.errors import DataError, DataWarning

GREY = (np.arange(12 * 16).reshape(12, 16) % 251).astype(np.uint8)


def _images(root, *names):
    for name in names:
        write_png(root / name, GREY)
    return root


def test_a_damaged_image_among_sound_ones_is_skipped_by_name(tmp_path):
    _images(tmp_path, "0.png", "1.png", "2.png")
    (tmp_path / "1.png").write_bytes((tmp_path / "0.png").read_bytes()[:50])
    with pytest.warns(DataWarning, match=rf"{re.escape(str(tmp_path / '1.png'))}: .*\(skipped\)"):
        read = list(read_samples(open_folder(tmp_path).samples))
    assert [sample.name for sample, _ in read] == ["0.png", "2.png"]
    np.testing.assert_array_equal(read[1][1], GREY)


def test_none_readable_is_an_error(tmp_path):
    for name in ("0.png", "1.png"):
        (tmp_path / name).write_bytes(b"no image at all")
    with (
        pytest.warns(DataWarning, match="skipped"),
        pytest.raises(DataError, match=r"none of 2 image\(s\) could be read; .*1\.png: not an im"),
    ):
        list(read_samples(open_folder(tmp_path).samples))


def test_no_samples_at_all():
    with pytest.raises(DataError, match=r"none of 0 image\(s\)"):
        list(read_samples([]))


def _stack(path, *pages):
    tifffile.imwrite(path, np.stack(pages), photometric="minisblack")


def test_pages_are_samples(tmp_path):
    _stack(tmp_path / "s.tif", GREY, GREY + 1, GREY + 2)
    samples = open_folder(tmp_path).samples
    read = list(read_samples(samples))
    assert [(s.name, s.page) for s, _ in read] == [("s.tif", 0), ("s.tif[1]", 1), ("s.tif[2]", 2)]
    np.testing.assert_array_equal(read[2][1], GREY + 2)
    again = list(read_samples([sample for sample, _ in read[1:]]))
    assert [sample.name for sample, _ in again] == ["s.tif[1]", "s.tif[2]"]
    np.testing.assert_array_equal(again[0][1], GREY + 1)


def test_a_bad_page_is_skipped_alone(tmp_path):
    sick = GREY.astype(np.float32)
    sick[0, 0] = np.nan
    _stack(tmp_path / "s.tif", GREY.astype(np.float32), sick, GREY.astype(np.float32))
    with pytest.warns(DataWarning, match=r"s\.tif page 1: 1 of 192 values are NaN or inf"):
        read = list(read_samples(open_folder(tmp_path).samples))
    assert [sample.name for sample, _ in read] == ["s.tif", "s.tif[2]"]


def test_reading_is_lazy(tmp_path):
    _images(tmp_path, "0.png", "1.png")
    (tmp_path / "1.png").write_bytes(b"broken")
    reader = read_samples(open_folder(tmp_path).samples)
    sample, _ = next(reader)
    assert sample.name == "0.png"
