"""Images opened one by one from a list, put away again unless a person painted in them, and what they painted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_anomaly.core.data.files import write_mask, write_png
from napari_anomaly.core.data.folders import Dataset
from napari_anomaly.core.errors import DataError, DataWarning, ImageError
from napari_anomaly.core.types import Inspection, Sample
from napari_anomaly.ui.counting import FolderCount, counted_with
from napari_anomaly.ui.family import TRUTH, belonging, family_of
from napari_anomaly.ui.inspected import Inspected
from napari_anomaly.ui.inspecting import inspect_folder, show_stack
from napari_anomaly.ui.opening import bring, looking_at, put_away, show_looked, shown
from napari_anomaly.ui.painted import painted_in, unsaved_in


class Mean:
    """Scores an image by its mean; refuses dark ones."""

    calibration = None

    def inspect(self, image):
        if image.mean() < 10:
            raise ImageError("too dark")
        zeros = np.zeros(image.shape, np.float32)
        labels = zeros.astype(np.int32)
        return Inspection(zeros, zeros, image.mean(), 0.5, "pass", 1.0, 1.0, labels, ())


def finished(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@pytest.fixture
def folder(tmp_path):
    for name, grey in (("a", 50), ("b", 5), ("c", 90)):
        write_png(tmp_path / "test" / "good" / f"{name}.png", np.full((12, 16), grey, np.uint8))
    write_png(tmp_path / "train" / "good" / "n.png", np.full((12, 16), 40, np.uint8))
    return tmp_path


@pytest.fixture
def viewer():
    return ViewerModel()


NEEDED = 2 * 12 * 16 * (1 + 4 + 4 + 4)  # bytes: two images with reconstruction, map and labels


def test_images_without_a_score_come_last_with_the_reason(folder):
    found = finished(inspect_folder(Mean(), folder, most=NEEDED))
    listed = found.inspected
    assert listed.names == (
        "test/good/a.png",
        "test/good/c.png",
        "test/good/b.png",
        "train/good/n.png",
    )
    assert listed.scores.tolist()[:2] == [50, 90]
    assert np.isnan(listed.scores[2:]).all()
    assert listed.reasons == ("", "", "too dark", "")
    assert (len(found.images), len(found.results)) == (2, 2)
    assert found.metadata["sample"] == list(listed.names[:2])


def test_a_large_folder_keeps_scores_only(folder):
    found = finished(inspect_folder(Mean(), folder, most=NEEDED - 1))
    assert (found.images, found.results, found.metadata) == ((), (), {})
    assert found.inspected.scores.tolist()[:2] == [50, 90]


def test_a_folder_of_which_nothing_can_be_used(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((12, 16), np.uint8))
    with pytest.raises(DataError, match=r"none of its images can be inspected .* too dark"):
        finished(inspect_folder(Mean(), tmp_path))


@pytest.fixture
def inspected(folder):
    return finished(inspect_folder(Mean(), folder, most=0)).inspected


def opened(viewer, inspected, number):
    return show_looked(viewer, inspected, number, finished(looking_at(Mean(), inspected, number)))


def test_an_image_is_opened_and_put_away(viewer, inspected):
    other = viewer.add_image(np.zeros((12, 16)), name="mine")
    opened(viewer, inspected, 1)
    assert len(viewer.layers) == 5
    assert viewer.layers[1].metadata["sample"] == "test/good/c.png"
    assert viewer.layers[1].data.max() == 90
    assert shown(viewer, inspected, 0) is None
    opened(viewer, inspected, 3)  # a training image
    assert [layer.name for layer in viewer.layers][:2] == ["mine", "train/good/n.png"]
    assert len(viewer.layers) == 5
    put_away(viewer)
    assert list(viewer.layers) == [other]
    with pytest.raises(ImageError, match=r"test/good/b.png: too dark"):
        opened(viewer, inspected, 2)


def test_what_a_person_painted_in_is_kept_and_found_again(viewer, inspected):
    source, _, _, regions = opened(viewer, inspected, 0)
    regions.paint((3, 3), 1)
    opened(viewer, inspected, 1)
    assert source in viewer.layers
    assert not source.visible
    assert not bring(viewer, inspected, 3)
    assert bring(viewer, inspected, 0)
    assert source.visible
    assert regions.visible
    assert len(viewer.layers) == 4


@pytest.mark.parametrize(
    ("metadata", "kept"), [({}, True), ({"dirty": {0}}, True), ({"dirty": set()}, False)]
)
def test_only_ground_truth_known_to_be_saved_goes(viewer, inspected, metadata, kept):
    source, *_ = opened(viewer, inspected, 0)
    about = belonging(source, TRUTH) | metadata
    truth = viewer.add_labels(np.zeros((12, 16), np.uint8), metadata=about)
    put_away(viewer)
    assert (truth in viewer.layers) is kept
    assert (source in viewer.layers) is kept


def test_masks_opened_by_other_means_stay(viewer, inspected):
    source, *_ = opened(viewer, inspected, 0)
    about = {key: source.metadata[key] for key in ("path", "sample")}
    masks = viewer.add_labels(np.zeros((12, 16), np.uint8), metadata=about)
    put_away(viewer)
    assert list(viewer.layers) == [masks]


def test_paint_is_found_in_stacks_and_single_images(viewer, folder):
    found = finished(inspect_folder(Mean(), folder, most=NEEDED))
    source, *_ = show_stack(viewer, found, "stack")
    inspected = replace(found.inspected, layer=str(source.unique_id))
    about = belonging(source, TRUTH) | {"dirty": {0}}
    truth = viewer.add_labels(np.zeros((2, 12, 16), np.uint8), metadata=about)
    truth.data[1, 3, 3] = 1
    assert painted_in(viewer, inspected).tolist() == [False, True, False, False]
    assert unsaved_in(viewer, inspected).tolist() == [True, False, False, False]
    single, *_ = opened(viewer, inspected, 3)
    viewer.add_labels(
        np.ones((12, 16), np.uint8), metadata=belonging(single, TRUTH) | {"dirty": {0}}
    )
    assert painted_in(viewer, inspected).tolist() == [False, True, False, True]
    assert unsaved_in(viewer, inspected).tolist() == [True, False, False, True]
    assert bring(viewer, inspected, 1)
    assert viewer.dims.point[0] == 1


def test_an_image_is_remembered_by_its_file():
    sample = Sample(Path("x.tif"), "x.tif[2]", page=2)
    inspected = Inspected((sample.name,), np.zeros(1), (sample,), Dataset(Path(), (sample,)))
    assert inspected.key(0) == "x.tif[2]"


def test_images_of_two_layers_are_two_though_their_names_are_one():
    one, other = (Inspected(("good/0.png",), np.zeros(1), layer=layer) for layer in "ab")
    assert one.key(0) != other.key(0)


@pytest.fixture
def masked(folder):
    """A folder with a defect, whose mask has two parts."""
    mask = np.zeros((12, 16), bool)
    mask[2:4, 2:4] = mask[8, 8:12] = True
    write_png(folder / "test" / "hole" / "d.png", np.full((12, 16), 70, np.uint8))
    write_mask(folder / "ground_truth" / "hole" / "d_mask.png", mask)
    return folder, mask


def test_a_mask_is_the_ground_truth_of_the_image_that_is_opened(viewer, masked):
    folder, mask = masked
    inspected = finished(inspect_folder(Mean(), folder, most=0)).inspected
    number = inspected.names.index("test/hole/d.png")
    source, *_, truth = opened(viewer, inspected, number)
    family = family_of(viewer, source)
    assert family.truth is truth
    np.testing.assert_array_equal(truth.data > 0, mask)
    assert np.unique(truth.data).tolist() == [0, 1, 2]
    count = FolderCount(viewer, counted_with(viewer, family))
    count.work(60)
    assert (count.totals.regions, count.totals.escapes, count.unknown) == (2, 2, 0)
    opened(viewer, inspected, 0)
    assert truth not in viewer.layers  # it is in its file
    *_, truth = opened(viewer, inspected, number)
    truth.paint((6, 6), 3)
    opened(viewer, inspected, 0)
    assert truth in viewer.layers
    assert unsaved_in(viewer, inspected)[number]


def test_masks_are_the_ground_truth_of_a_stack_once(viewer, masked):
    folder, mask = masked
    found = finished(inspect_folder(Mean(), folder))
    number = found.inspected.names.index("test/hole/d.png")
    source, *_, truth = show_stack(viewer, found, "stack")
    assert family_of(viewer, source).truth is truth
    np.testing.assert_array_equal(truth.data[number] > 0, mask)
    assert truth.data.astype(bool).sum() == mask.sum()
    assert truth.metadata["dirty"] == set()
    labels = [layer for layer in viewer.layers if "ground truth" in layer.name]
    show_stack(viewer, found, "again")
    assert [layer for layer in viewer.layers if "ground truth" in layer.name] != labels
    assert len(viewer.layers) == 2 * 5


def test_a_mask_that_cannot_be_used_is_named_and_left_out(viewer, masked):
    folder, _ = masked
    write_mask(folder / "ground_truth" / "hole" / "d_mask.png", np.ones((5, 5), bool))
    with pytest.warns(DataWarning, match=r"d_mask\.png.*shown without ground truth"):
        found = finished(inspect_folder(Mean(), folder))
    assert found.masks == (None,) * 3
    assert not any("truth" in layer.name for layer in show_stack(viewer, found, "stack"))
