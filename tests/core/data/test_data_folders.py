"""Folders become datasets by their listing alone; what is wrong with them is said by name."""

import builtins
import io
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from napari_anomaly.core.data.files import write_mask, write_png
from napari_anomaly.core.data.folders import (
    categories,
    mask_of,
    natural_key,
    open_folder,
)
from napari_anomaly.core.data.reading import read_samples
from napari_anomaly.core.errors import DataError, DataWarning
from napari_anomaly.core.types import Sample

GREY = (np.arange(12 * 16).reshape(12, 16) % 251).astype(np.uint8)
SPOT = np.zeros((12, 16), bool)
SPOT[3:6, 4:9] = True


def _images(root, *names):
    for name in names:
        write_png(root / name, GREY)
    return root


def _stack(path, *pages):
    tifffile.imwrite(path, np.stack(pages), photometric="minisblack")


def _masks(root, *names):
    for name in names:
        write_mask(root / name, SPOT)
    return root


def _mvtec(root):
    _images(root, "train/good/0.png", "train/good/1.png", "test/good/0.png", "test/hole/0.png")
    return _masks(root, "ground_truth/hole/0_mask.png")


def _quietly(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return open_folder(path)


# -- layouts ----------------------------------------------------------------------------------


def test_the_mvtec_layout(tmp_path):
    data = _quietly(_mvtec(tmp_path))
    assert data.samples == (
        Sample(tmp_path / "train/good/0.png", "train/good/0.png"),
        Sample(tmp_path / "train/good/1.png", "train/good/1.png"),
        Sample(tmp_path / "test/good/0.png", "test/good/0.png", "test", "good"),
        Sample(
            tmp_path / "test/hole/0.png",
            "test/hole/0.png",
            "test",
            "hole",
            tmp_path / "ground_truth/hole/0_mask.png",
        ),
    )
    assert data.train == data.samples[:2]
    assert data.test == data.samples[2:]
    assert (data.defects, data.has_masks, data.problems) == (("hole",), True, ())


def test_a_plain_folder_is_normal_at_any_depth(tmp_path):
    data = _quietly(_images(tmp_path, "b.png", "deep/er/a.png"))
    assert [(s.name, s.split, s.defect) for s in data.samples] == [
        ("b.png", "train", "good"),
        ("deep/er/a.png", "train", "good"),
    ]
    assert (data.test, data.defects, data.has_masks) == ((), (), False)


def test_the_order_is_natural_and_not_that_of_the_disk(tmp_path, monkeypatch):
    _images(tmp_path, "10.png", "9.png", "1.png", "B2.png", "a11.png", "a3.png")
    expected = ["1.png", "9.png", "10.png", "a3.png", "a11.png", "B2.png"]
    assert [sample.name for sample in _quietly(tmp_path).samples] == expected
    scandir = os.scandir

    class Backwards:
        def __init__(self, path):
            self.entries = sorted(scandir(path), key=lambda entry: entry.name, reverse=True)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            return None

        def __iter__(self):
            return iter(self.entries)

    monkeypatch.setattr(os, "scandir", Backwards)
    assert [sample.name for sample in _quietly(tmp_path).samples] == expected


@given(st.lists(st.integers(0, 10**6), min_size=1, unique=True))
def test_numbers_in_names_sort_as_numbers(numbers):
    names = sorted((f"cam/part{n}.png" for n in numbers), key=natural_key)
    assert names == [f"cam/part{n}.png" for n in sorted(numbers)]


@pytest.mark.parametrize(
    "mask", ["7_mask.png", "7.png", "7_mask.tif", "7.bmp", "7_mask.PNG", "7_mask.jpeg"]
)
def test_where_a_mask_may_lie(tmp_path, mask):
    _images(tmp_path, "train/good/0.png", "test/hole/7.jpg", f"ground_truth/hole/{mask}")
    data = _quietly(tmp_path)
    assert data.samples[-1].mask_path == tmp_path / "ground_truth/hole" / mask


def test_one_of_two_masks_is_used_and_the_choice_is_told(tmp_path):
    _masks(_mvtec(tmp_path), "ground_truth/hole/0.png")
    with pytest.warns(DataWarning, match=r"test/hole/0\.png: 2 masks; .*0_mask\.png is used"):
        data = open_folder(tmp_path)
    assert data.samples[-1].mask_path == tmp_path / "ground_truth/hole/0_mask.png"


def test_masks_of_good_images_are_neither_needed_nor_a_problem(tmp_path):
    _masks(_mvtec(tmp_path), "ground_truth/good/0_mask.png")
    assert all(sample.mask_path is None for sample in _quietly(tmp_path).test[:1])


def test_a_dataset_without_any_masks_has_no_problem(tmp_path):
    _images(tmp_path, "train/good/0.png", "test/good/0.png", "test/hole/0.png")
    data = _quietly(tmp_path)
    assert (data.has_masks, data.defects, data.problems) == (False, ("hole",), ())


@pytest.mark.parametrize(
    "junk", ["._0.png", ".hidden.png", "Thumbs.db", "notes.txt", ".DS_Store", "__MACOSX/0.png"]
)
def test_junk_is_passed_over_in_silence(tmp_path, junk):
    _images(tmp_path, "0.png")
    (tmp_path / junk).parent.mkdir(exist_ok=True)
    (tmp_path / junk).write_bytes(b"junk")
    assert [sample.name for sample in _quietly(tmp_path).samples] == ["0.png"]


def test_opening_a_folder_opens_no_file(tmp_path, monkeypatch):
    _mvtec(tmp_path)
    (tmp_path / "train/good/broken.png").write_bytes(b"no image")

    def refuse(*args, **kwargs):
        raise AssertionError(f"opened {args}")

    for place, name in (
        (builtins, "open"),
        (io, "open"),
        (os, "open"),
        (Path, "open"),
        (Path, "read_bytes"),
        (Image, "open"),
        (tifffile, "TiffFile"),
    ):
        monkeypatch.setattr(place, name, refuse)
    assert len(open_folder(tmp_path).samples) == 5


# -- refused ----------------------------------------------------------------------------------


def _empty(root):
    pass


def _no_image(root):
    (root / "a.txt").write_text("a")
    (root / "b.txt").write_text("b")
    (root / "c.csv").write_text("c")


def _empty_train(root):
    (root / "train/good").mkdir(parents=True)
    _images(root, "test/good/0.png")


def _several(root):
    _mvtec(root / "bottle")
    _mvtec(root / "cable")
    (root / "readme.txt").write_text("a")


def _no_train(root):
    _images(root, "test/hole/0.png", "ground_truth/hole/0_mask.png")


def _flat_train(root):
    _images(root, "train/0.png", "test/hole/0.png")


REFUSED = {
    "empty": (_empty, ["no image found (the folder is empty)", ".png", "choose another folder"]),
    "no image": (_no_image, ["no image found (2 .txt, 1 .csv)", "expected files ending in .bmp"]),
    "empty train": (_empty_train, ["train/good: no image found (the folder is empty)"]),
    "several": (_several, ["holds 2 dataset(s) (bottle, cable)", "open one of them", "/bottle"]),
    "no train": (_no_train, ["has test/ but no train/good/", "add that folder"]),
    "flat train": (_flat_train, ["has test/ but no train/good/"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_folders_that_are_refused(tmp_path, case):
    make, words = REFUSED[case]
    make(tmp_path)
    with pytest.raises(DataError) as raised:
        open_folder(tmp_path)
    assert str(raised.value).startswith(str(tmp_path))
    for word in words:
        assert word in str(raised.value).replace(os.sep, "/")


def test_a_missing_folder_and_a_file(tmp_path):
    with pytest.raises(DataError, match="gone: no such folder; check the path"):
        open_folder(tmp_path / "gone")
    _images(tmp_path, "0.png")
    with pytest.raises(DataError, match=r"0\.png: a file; expected the folder that holds"):
        open_folder(tmp_path / "0.png")


def test_categories(tmp_path):
    _several(tmp_path)
    (tmp_path / "itself").symlink_to("itself")
    assert categories(tmp_path) == [tmp_path / "bottle", tmp_path / "cable"]
    assert categories(tmp_path / "bottle") == []


# -- left out with a warning ------------------------------------------------------------------


def _lonely_mask(root):
    _masks(root, "ground_truth/hole/9_mask.png")


def _lonely_image(root):
    _images(root, "test/hole/1.png")


def _loose_test(root):
    _images(root, "test/5.png")


def _other_train(root):
    _images(root, "train/bad/5.png")


def _loop(root):
    (root / "train/good/again").symlink_to(root / "train/good", target_is_directory=True)


def _loop_up(root):
    (root / "train/good/up").symlink_to("../..", target_is_directory=True)


def _loop_to_itself(root):
    (root / "train/good/x.png").symlink_to("x.png")


def _broken_link(root):
    (root / "train/good/x.png").symlink_to("gone.png")


LEFT_OUT = {
    "mask without image": (_lonely_mask, r"9_mask\.png: mask without image \(no test/hole/9\.\*\)"),
    "image without mask": (_lonely_image, r"hole/1\.png: defect image without mask"),
    "loose test image": (_loose_test, r"test/5\.png: not in a folder test/<defect>/; left out"),
    "other train folder": (_other_train, r"train/bad: left out; only train/good/ is learnt from"),
    "loop": (_loop, r"good/again: a link back to .*good \(a loop\); left out"),
    "loop up": (_loop_up, r"good/up: a link back to .* \(a loop\); left out"),
    "loop to itself": (_loop_to_itself, r"good/x\.png: .*symbolic links?.*; left out"),
    "broken link": (_broken_link, r"good/x\.png: not a file or a broken link; left out"),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_what_is_left_out_is_told_once(tmp_path, case):
    make, pattern = LEFT_OUT[case]
    make(_mvtec(tmp_path))
    with pytest.warns(DataWarning, match=pattern) as caught:
        data = open_folder(tmp_path)
    assert [str(warning.message) for warning in caught] == list(data.problems)
    assert len(data.problems) == 1
    assert [sample.name for sample in data.train] == ["train/good/0.png", "train/good/1.png"]


def test_a_link_to_itself_in_a_plain_folder_is_left_out(tmp_path):
    _images(tmp_path, "0.png", "1.png")
    (tmp_path / "itself").symlink_to("itself", target_is_directory=True)
    with pytest.warns(DataWarning, match=r"itself: .*symbolic links?.*; left out"):
        data = open_folder(tmp_path)
    assert len(data.train) == 2


def test_a_link_to_another_place_is_followed_once(tmp_path):
    away = _images(tmp_path / "away", "a.png", "b.png")
    (away / "back").symlink_to(tmp_path / "here", target_is_directory=True)
    here = _images(tmp_path / "here", "c.png")
    (here / "one").symlink_to(away, target_is_directory=True)
    (here / "two").symlink_to(away, target_is_directory=True)
    with pytest.warns(DataWarning, match="a link back to"):
        data = open_folder(here)
    assert [sample.name for sample in data.samples] == ["c.png", "one/a.png", "one/b.png"]
    assert len(data.problems) == 2


def test_a_folder_that_cannot_be_listed_is_left_out(tmp_path, monkeypatch):
    _images(tmp_path, "0.png", "locked/1.png")
    scandir = os.scandir

    def guarded(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.warns(DataWarning, match=r"locked: cannot be listed \(Permission denied\)"):
        data = open_folder(tmp_path)
    assert [sample.name for sample in data.samples] == ["0.png"]


def test_a_root_that_cannot_be_listed_is_refused(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"cannot be listed \(Permission denied\); allow reading"):
        open_folder(tmp_path)


def test_a_train_folder_without_permission_is_not_taken_for_a_missing_one(tmp_path, monkeypatch):
    _mvtec(tmp_path)
    is_dir = Path.is_dir

    def guarded(self):
        if self.parts[-2:] == ("train", "good"):
            raise PermissionError(13, "Permission denied", str(self))
        return is_dir(self)

    monkeypatch.setattr(Path, "is_dir", guarded)
    with pytest.raises(DataError, match=r"train.good: cannot be listed \(Permission denied\)"):
        open_folder(tmp_path)


def test_many_problems_make_few_warnings(tmp_path):
    _mvtec(tmp_path)
    _images(tmp_path, *(f"test/hole/x{k}.png" for k in range(30)))
    with pytest.warns(DataWarning) as caught:
        data = open_folder(tmp_path)
    assert len(data.problems) == 30
    assert len(caught) == 11
    assert str(caught[-1].message).endswith("20 more problems; see Dataset.problems")


# -- ground truth -----------------------------------------------------------------------------


def test_the_truth_of_good_of_a_defect_and_of_the_unknown(tmp_path):
    data = open_folder(_mvtec(tmp_path))
    good, hole = data.test
    assert not mask_of(good, (12, 16, 3)).any()
    np.testing.assert_array_equal(mask_of(hole, (12, 16)), SPOT)
    assert mask_of(Sample(hole.path, hole.name, "test", "hole"), (12, 16)) is None


def test_an_all_zero_mask_of_a_defect_is_told(tmp_path):
    write_mask(_mvtec(tmp_path) / "ground_truth/hole/0_mask.png", np.zeros((12, 16)))
    hole = open_folder(tmp_path).test[-1]
    with pytest.warns(DataWarning, match=r"0_mask\.png: all zero although test/hole/0\.png shows"):
        assert not mask_of(hole, (12, 16)).any()


def test_a_mask_of_another_size_is_an_error(tmp_path):
    hole = open_folder(_mvtec(tmp_path)).test[-1]
    with pytest.raises(DataError, match=r"0_mask\.png: mask of 12 x 16 pixels; expected .* 24 x 8"):
        mask_of(hole, (24, 8))


def test_the_mask_of_a_page(tmp_path):
    _images(tmp_path, "train/good/0.png")
    (tmp_path / "test/hole").mkdir(parents=True)
    (tmp_path / "ground_truth/hole").mkdir(parents=True)
    _stack(tmp_path / "test/hole/s.tif", GREY, GREY)
    _stack(tmp_path / "ground_truth/hole/s_mask.tif", SPOT * np.uint8(255), ~SPOT * np.uint8(255))
    second, image = list(read_samples(open_folder(tmp_path).test))[1]
    np.testing.assert_array_equal(mask_of(second, image.shape), ~SPOT)
