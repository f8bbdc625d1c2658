"""The folder's numbers follow the brush, undo and thresholds; what is unknown is left out."""

from dataclasses import replace
from gc import collect
from weakref import ref

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_anomaly.core.errors import DataError
from napari_anomaly.core.types import Inspection
from napari_anomaly.ui.annotating import new_truth
from napari_anomaly.ui.counting import FolderCount, counted_with
from napari_anomaly.ui.difference import add_difference_to_viewer
from napari_anomaly.ui.family import family_of
from napari_anomaly.ui.layers import add_to_viewer
from napari_anomaly.ui.strokes import numbers_in
from napari_anomaly.ui.tally import in_words

KINDS = ["hole", "hole", "good", "stain"]


def found(score):
    zeros = np.zeros((8, 8), np.float32)
    labels = zeros.astype(np.int32)
    labels[1:3, 1:5] = 1
    return Inspection(zeros, zeros, score, 1.0, "pass", 1.0, 1.0, labels, ())


ABOUT = {
    "path": "folder",
    "sample": list("abcd"),
    "defect": KINDS,
    "mask_path": ["m"] + [None] * 3,
}


def stack(viewer, truth=None):
    about = ABOUT
    source = viewer.add_image(np.zeros((4, 8, 8)), metadata=about)
    add_to_viewer(viewer, [found(k) for k in (3.0, 2.0, 1.0, 0.5)], source=source)
    regions = family_of(viewer, source).regions
    regions.data = np.stack([found(0).labels] * 4)
    data = np.zeros((4, 8, 8), np.int32) if truth is None else truth
    viewer.add_labels(data, metadata=about)  # as masks of the folder are opened
    return family_of(viewer, source)


def counted(viewer, family):
    count = FolderCount(viewer, counted_with(viewer, family))
    count.work(9)
    return count


@pytest.fixture
def viewer():
    return ViewerModel()


def test_only_images_of_known_truth_count(viewer):
    family = stack(viewer)
    count = counted(viewer, family)
    known = [count.overlap(k) is not None for k in range(4)]
    assert known == [True, False, True, False]  # has a mask; nothing painted; good; nothing painted
    assert (count.unknown, count.totals.false_alarm_images) == (2, 2)
    assert (
        count.auroc == 2 / 3
    )  # score 1 of the good one; 3, 2, .5 of those its folder calls defective
    family.truth.data_setitem((np.array([1]), np.array([1]), np.array([1])), 5)
    count.work(9)
    assert (count.unknown, count.totals.regions) == (1, 1)
    assert "1 of unknown truth left out" in in_words(count)


def test_images_that_were_trained_on_are_not_known_to_be_good(viewer):
    about = {"path": "folder", "sample": list("ab"), "defect": ["good"] * 2}
    source = viewer.add_image(np.zeros((2, 8, 8)), metadata=about | {"split": ["train", "test"]})
    add_to_viewer(viewer, [found(1.0)] * 2, source=source)
    count = counted(viewer, family_of(viewer, source))
    assert (count.unknown, count.totals.good) == (1, 1)


def test_random_strokes_undo_and_redo_leave_what_a_new_count_finds(viewer):
    family, rng = stack(viewer), np.random.default_rng(0)
    count = counted(viewer, family)
    for _ in range(40):
        viewer.dims.set_point(0, rng.integers(4))
        what = rng.integers(4)
        if what == 0:
            family.truth.undo()
        elif what == 1:
            family.truth.redo()
        else:
            family.truth.paint((*rng.integers(0, (4, 8, 8)),), int(rng.integers(3)))
        count.work(9)
        assert count.totals == counted(viewer, family).totals
    assert count.totals.regions > 0


def test_a_count_that_nobody_holds_listens_no_more(viewer):
    count = ref(counted(viewer, stack(viewer)))
    collect()
    assert count() is None


def test_a_stroke_makes_its_image_wait_and_no_other_and_the_one_on_screen_is_first(viewer):
    family = stack(viewer)
    count = counted(viewer, family)
    told = []
    count.stirred.connect(lambda: told.append(count.waiting))
    family.truth.paint((3, 4, 4), 1)
    assert told == [1]
    viewer.dims.set_point(0, 2)
    count.recount()
    assert count.work(0) == [2]
    family.regions.data = np.zeros((4, 8, 8), np.int32)
    count.work(9)
    assert count.totals.pixels.false_alarms == 0


def test_a_box_and_single_pixels_say_which_images_they_touch():
    pixels = ((np.array([1, 1]), np.array([0, 2]), np.array([4, 4]), np.array([4, 5])), None, None)
    assert numbers_in([pixels], (2, 3, 8, 8)) == {3, 5}


def test_single_images_of_a_folder_count_together_without_a_layer_for_good_ones(viewer):
    for name, kind in (("a", "good"), ("b", "hole")):
        about = {"path": "folder", "sample": name, "defect": kind, "mask_path": None}
        source = viewer.add_image(np.zeros((8, 8)), metadata=about)
        add_to_viewer(viewer, found(1.0), source=source)
    viewer.add_labels(np.ones((8, 8), np.int32), metadata=about)
    count = counted(viewer, family_of(viewer, source))
    assert [image.name for image in count.images] == ["a", "b"]
    assert (count.totals.images, count.totals.good, count.totals.regions) == (2, 1, 1)


def again(viewer, family, numbers, result):
    """Inspect some images of a stack another time, in a layer of their own."""
    own = {k: v if k == "path" else [v[n] for n in numbers] for k, v in ABOUT.items()}
    source = viewer.add_image(family.source.data[numbers], metadata=own)
    add_to_viewer(viewer, [result] * len(numbers), source=source)
    return family_of(viewer, source)


def test_an_image_that_was_inspected_twice_counts_once(viewer):
    family = stack(viewer)
    later = again(viewer, family, [2, 1], found(9.0))
    count = counted(viewer, family)
    assert [(image.name, image.regions) for image in count.images] == [
        (name, family.regions) for name in "abcd"
    ]
    viewer.layers.selection.active = later.regions
    viewer.dims.set_point(0, 0)
    count = counted(viewer, later)
    assert [(image.name, image.score) for image in count.images] == [
        *(("a", 3.0), ("d", 0.5), ("c", 9.0), ("b", 9.0)),
    ]
    assert count.shown == 2
    family.truth.data_setitem((np.array([3]), np.array([1]), np.array([1])), 5)
    assert 1 in count.work(9)
    family.truth.data_setitem((np.array([2]), np.array([1]), np.array([1])), 5)
    assert not {2, 3} & set(count.work(9))  # the later inspection of it counts


def test_another_detector_s_images_are_not_summed_with_these(viewer):
    family = stack(viewer)
    other = again(viewer, family, [0, 2], replace(found(9.0), threshold=7.0))
    assert [image.name for image in counted(viewer, family).images] == list("abcd")
    assert [image.name for image in counted(viewer, other).images] == ["a", "c"]


def test_a_mask_that_is_not_open_is_unknown_not_empty(viewer):
    about = {"path": "folder", "sample": "a", "defect": "hole", "mask_path": "m"}
    source = viewer.add_image(np.zeros((8, 8)), metadata=about)
    add_to_viewer(viewer, found(1.0), source=source)
    count = counted(viewer, family_of(viewer, source))
    assert (count.unknown, count.totals.images) == (1, 0)


def test_a_truth_begun_empty_says_nothing_of_the_folders_mask(viewer):
    about = {"path": "folder", "sample": "a", "defect": "hole", "mask_path": "m"}
    source = viewer.add_image(np.zeros((8, 8)), metadata=about)
    add_to_viewer(viewer, found(1.0), source=source)
    truth = new_truth(viewer, source)
    assert counted(viewer, family_of(viewer, source)).unknown == 1
    truth.data[2, 2] = 1  # a person says where it is
    assert counted(viewer, family_of(viewer, source)).unknown == 0


def test_truth_of_another_shape_is_an_error(viewer):
    family = stack(viewer, np.zeros((3, 8, 8), np.int32))
    with pytest.raises(DataError, match=r"found shape \(3, 8, 8\); expected \(4, 8, 8\)"):
        counted(viewer, family)


def test_the_layer_of_differences_follows_without_a_copy_and_leaves_the_person_s_as_it_was(viewer):
    family = stack(viewer)
    viewer.layers.selection.active = family.truth
    family.regions.data[0] = 0
    family.regions.data[0, 1, 1:3] = 1
    before = family.truth.contour, family.truth.opacity, family.truth.visible
    difference, outline = add_difference_to_viewer(viewer, family)
    family.truth.data_setitem((np.array([0, 0]), np.array([1, 1]), np.array([2, 3])), 6)
    assert difference.data[0][1].tolist() == [0, 2, 1, 3, 0, 0, 0, 0]
    assert outline.data[0][1].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    assert (family.truth.contour, family.truth.opacity, family.truth.visible) == before
    assert viewer.layers.selection.active is family.truth
    assert not difference.editable
    assert family_of(viewer, difference).truth is family.truth
