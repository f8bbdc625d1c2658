"""Images of samples come in order, whoever decodes them; what cannot be read is named and skipped."""

import re
import threading

import numpy as np
import pytest
import tifffile

from napari_anomaly.core.data import decode, reading
from napari_anomaly.core.data.files import read_image, read_pages, write_png
from napari_anomaly.core.data.folders import open_folder
from napari_anomaly.core.data.reading import pages_of, read_samples, read_through
from napari_anomaly.core.errors import DataError, DataWarning, ImageError

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


# -- pages, and work in threads ---------------------------------------------------------------


def written(path, pages, **how):
    tifffile.imwrite(path, pages, **how)
    return path


@pytest.mark.parametrize(
    ("shape", "how"),
    [
        ((5, 12, 16), {"photometric": "minisblack"}),
        ((5, 12, 16, 3), {"photometric": "rgb"}),
        ((5, 3, 12, 16), {"photometric": "rgb", "planarconfig": "separate"}),
        ((5, 12, 16), {"photometric": "minisblack", "volumetric": True, "tile": (1, 16, 16)}),
        ((5, 12, 16), {"photometric": "minisblack", "imagej": True}),
        ((5, 12, 16), {"photometric": "minisblack", "truncate": True}),
    ],
)
def test_one_page_is_what_reading_all_gives(tmp_path, shape, how):
    values = np.arange(np.prod(shape)).reshape(shape).astype(np.uint8)
    path = written(tmp_path / "s.tif", values, **how)

    pages = read_pages(path)

    assert len(pages) == 5
    for k, page in enumerate(pages):
        np.testing.assert_array_equal(read_image(path, k), page, strict=True)
    with pytest.raises(ImageError, match=r"s\.tif: has 5 page\(s\); expected page 5 "):
        read_image(path, 5)


def test_pages_before_the_wanted_one_are_not_decoded(tmp_path, monkeypatch):
    path = written(tmp_path / "s.tif", np.stack([GREY] * 9), photometric="minisblack")
    decoded = []
    planes = decode._planes
    monkeypatch.setattr(decode, "_planes", lambda *page: decoded.append(1) or planes(*page))

    read_image(path, 7)

    assert len(decoded) == 1


def samples_of(folder):
    return open_folder(folder).samples


def test_results_of_work_come_in_the_order_of_the_samples(tmp_path):
    for k in range(8):
        write_png(tmp_path / f"{k}.png", GREY + np.uint8(k))
    write_png(tmp_path / "8.png", GREY)
    _stack(tmp_path / "7b.tif", *[GREY] * 7)

    read = list(
        read_through(samples_of(tmp_path), pages_of, lambda sample, image: (sample, image[0, 0]))
    )

    assert [one.name for one, _ in read] == [
        *(f"{k}.png" for k in range(8)),
        "7b.tif",
        *(f"7b.tif[{k}]" for k in range(1, 7)),
        "8.png",
    ]
    assert all(sample is inner for sample, (inner, _) in read)
    assert [value for _, (_, value) in read] == [*range(8), *[0] * 7, 0]


def test_what_the_work_raises_is_no_unreadable_image(tmp_path):
    _images(tmp_path, "0.png", "1.png")

    def work(sample, image):
        raise ImageError(f"{sample.name} does not fit")

    with pytest.raises(ImageError, match=r"^0\.png does not fit"):
        list(read_through(samples_of(tmp_path), pages_of, work))


def test_of_a_long_stack_few_pages_are_worked_on_ahead(tmp_path):
    _stack(tmp_path / "s.tif", *[GREY] * 30)
    done = []

    reader = read_through(samples_of(tmp_path), pages_of, lambda *_: done.append(1))
    next(reader)
    ahead = len(done)
    rest = len(list(reader))

    assert ahead == 4
    assert rest == 29


def test_large_images_are_worked_on_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_LARGE", GREY.nbytes - 1)
    _images(tmp_path, *(f"{k}.png" for k in range(12)))
    at_work, most, lock = [], [], threading.Lock()

    def work(sample, image):
        with lock:
            at_work.append(sample)
            most.append(len(at_work))
        threading.Event().wait(0.01)  # time for another thread to come
        with lock:
            at_work.remove(sample)

    list(read_through(samples_of(tmp_path), pages_of, work, threads=4))

    assert max(most) == 1
