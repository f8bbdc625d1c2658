"""A person's ground truth: every operation is one step of undo, and the machine never writes over it."""

from contextlib import suppress
from types import SimpleNamespace

import dask.array
import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.settings import get_settings

from napari_anomaly.core.data.files import read_mask
from napari_anomaly.core.errors import DataError
from napari_anomaly.ui import annotating, autosave, shortcuts
from napari_anomaly.ui.autosave import Sidecar, forget, keep_steps, offer_of, restore, sidecar_of
from napari_anomaly.ui.masks import add_truth
from napari_anomaly.ui.strokes import Watch, numbers_in
from napari_anomaly.ui.writers import MaskExistsError, write_some_masks

SHAPE = (2, 12, 14)


def blobs(seed):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 4, (SHAPE[0], 4, 5)).astype(np.int32)
    return np.kron(coarse, np.ones((1, 3, 3), np.int32))[:, :12, :14]


def operations(image, machine):
    labels = [int(k) for k in np.unique(image) if k]
    yield annotating.accepted(image, machine, {1, 2, 3}, 10)
    yield annotating.erased(image, set(labels[:1]))
    if len(labels) > 1:
        yield annotating.merged(image, set(labels))
    for label in labels:
        with suppress(DataError):
            yield annotating.split(image, label, 10)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 1000))
def test_each_operation_is_one_step_of_undo(seed):
    truth = Labels(blobs(seed))
    before = truth.data.copy()
    for after in operations(before[1], blobs(seed + 1)[1]):
        annotating.write(truth, {1: after})
        changed = truth.data.copy()
        np.testing.assert_array_equal(changed[1], after)
        np.testing.assert_array_equal(changed[0], before[0])
        truth.undo()
        np.testing.assert_array_equal(truth.data, before)
        truth.redo()
        np.testing.assert_array_equal(truth.data, changed)
        truth.undo()


def test_several_images_are_one_step():
    truth = Labels(np.zeros(SHAPE, np.int32))
    after = blobs(3)
    annotating.write(truth, {0: after[0], 1: after[1]})
    np.testing.assert_array_equal(truth.data, after)
    truth.undo()
    assert not truth.data.any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000))
def test_accepting_never_changes_what_a_person_labelled(seed):
    truth, machine = blobs(seed)
    after = annotating.accepted(truth, machine, {1, 2, 3}, 10)
    np.testing.assert_array_equal(after[truth > 0], truth[truth > 0])
    np.testing.assert_array_equal(after > 0, (truth > 0) | (machine > 0))


def test_parts_that_do_not_touch_become_regions():
    image = np.array([[5, 0, 5, 5], [5, 0, 0, 0], [0, 0, 7, 0]], np.int32)
    expected = [[5, 0, 8, 8], [5, 0, 0, 0], [0, 0, 7, 0]]
    np.testing.assert_array_equal(annotating.split(image, 5, 8), expected)


def test_a_dumb_bell_is_cut_at_its_neck_and_a_square_is_not():
    image = np.zeros((9, 19), np.int32)
    image[1:8, 1:8] = image[1:8, 11:18] = image[4, 8:11] = 2
    after = annotating.split(image, 2, 3)
    assert set(np.unique(after[1:8, 1:8])) | set(np.unique(after[1:8, 11:18])) == {2, 3}
    assert after[4, 4] != after[4, 14]
    with pytest.raises(DataError, match="no neck"):
        annotating.split(np.full((7, 7), 1, np.int32), 1, 2)


def test_merging_needs_two():
    image = np.array([[1, 2], [3, 0]], np.int32)
    np.testing.assert_array_equal(annotating.merged(image, {2, 3}), [[1, 2], [2, 0]])
    with pytest.raises(DataError, match=r"found 1 region.*two or more"):
        annotating.merged(image, {2})


def test_a_layer_without_room_for_a_label_says_so():
    with pytest.raises(DataError, match="uint8 has no room for label 256"):
        annotating.write(Labels(np.zeros((2, 2), np.uint8)), {0: np.full((2, 2), 256, np.int32)})


def test_a_new_truth_lies_on_its_image_and_is_found_again():
    viewer = ViewerModel()
    source = viewer.add_image(np.zeros(SHAPE), scale=(1, 2, 3), translate=(0, 5, 6), name="part")
    truth = annotating.new_truth(viewer, source)
    assert annotating.truth_of(viewer, source) is truth
    np.testing.assert_array_equal(truth.extent.world, source.extent.world)
    annotating.write(truth, {1: np.full(SHAPE[1:], 4, np.int32)})
    assert annotating.label_at(truth, (1, 5 + 2 * 3, 6 + 3 * 7)) == 4
    assert annotating.label_at(truth, (0, 11, 27)) == annotating.label_at(truth, (1, -9, 0)) == 0


def test_an_image_of_channels_has_one_truth():
    viewer = ViewerModel()
    pixels = np.zeros((4, 3, 8, 9), np.uint8)
    source = viewer.add_image(
        pixels, axis_labels=("z", "c", "y", "x"), scale=(2, 1, 1, 1), translate=(0, 5, 0, 0)
    )
    truth = annotating.new_truth(viewer, source)
    assert truth.data.shape == (4, 1, 8, 9)
    assert sidecar_of(source).names == ("00000", "00001", "00002", "00003")
    annotating.write(truth, {2: np.full((8, 9), 7, np.int32)})
    for channel in (5, 6, 7):
        assert annotating.label_at(truth, (4, channel, 3, 3)) == 7
        assert annotating.label_at(truth, (2, channel, 3, 3)) == 0


def test_strokes_operations_and_undo_after_saving_make_an_image_dirty():
    viewer = ViewerModel()
    truth = viewer.add_labels(np.zeros(SHAPE, np.int32))
    watch = Watch(truth)
    truth.paint((1, 5, 5), 3)
    assert truth.metadata["dirty"] == {1}
    annotating.write(truth, {0: np.ones(SHAPE[1:], np.int32)})
    assert truth.metadata["dirty"] == {0, 1}
    watch.saved([0, 1])
    watch.look()
    assert truth.metadata["dirty"] == set()
    truth.undo()
    watch.look()
    assert truth.metadata["dirty"] == {0}


def test_strokes_before_anybody_watches_are_noted():
    viewer = ViewerModel()
    source = viewer.add_image(np.zeros(SHAPE))
    (truth,) = add_truth(viewer, source, [None, np.ones(SHAPE[1:], bool)])
    truth.paint((1, 5, 5), 3)
    watch = Watch(truth)
    assert watch.dirty == {1}
    assert watch.touched == (1,)


def test_undo_is_noticed_by_the_next_who_watches():
    truth = Labels(np.zeros(SHAPE, np.int32))
    watch = Watch(truth)
    truth.paint((1, 5, 5), 3)
    watch.saved([1])
    del watch
    truth.undo()
    assert Watch(truth).dirty == {1}


def test_a_step_tells_its_images_whatever_it_holds():
    arrays = (np.array([0, 1]), np.array([2, 2]), np.array([3, 3]))
    slices = (slice(1, 3), slice(0, 9), slice(0, 9))
    assert numbers_in([(arrays, 0, 1), (slices, None, 0, 1)], (4, 9, 9)) == {0, 1, 2}
    assert numbers_in([((arrays[1], arrays[2]), 0, 1)], (9, 9)) == {0}


@pytest.fixture
def annotated(tmp_path):
    """A folder's stack of two defects with an empty ground truth that is watched."""
    names = ["test/hole/000.png", "test/hole/001.png"]
    about = {"path": str(tmp_path), "sample": names, "defect": ["hole"] * 2}
    viewer = ViewerModel()
    source = viewer.add_image(np.zeros(SHAPE), metadata=about)
    truth = annotating.new_truth(viewer, source)
    return source, truth, Watch(truth)


def test_what_was_kept_comes_back_after_a_crash_and_goes_when_saved(annotated, tmp_path):
    source, truth, watch = annotated
    sidecar = sidecar_of(source)
    annotating.write(truth, {1: blobs(5)[1] * 70_000})
    assert list(keep_steps(watch, sidecar))[-1].total == 1
    kept = tmp_path / ".napari-anomaly/labels/test/hole/001.png.tif"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [kept]
    assert offer_of(sidecar, truth) is None

    after_crash = annotating.new_truth(ViewerModel(), source)
    offer = offer_of(sidecar, after_crash)
    assert set(offer.images) == {1}
    restore(after_crash, offer)
    np.testing.assert_array_equal(after_crash.data, truth.data)
    after_crash.undo()
    assert not after_crash.data.any()

    forget(sidecar, [0, 1])
    assert not (tmp_path / ".napari-anomaly").exists()


def test_only_what_changed_is_kept_and_what_is_on_offer_is_not_overwritten(annotated):
    source, truth, watch = annotated
    sidecar = sidecar_of(source)
    annotating.write(truth, dict(enumerate(blobs(6))))
    list(keep_steps(watch, sidecar, waiting=[0]))
    assert [sidecar.file(k).exists() for k in (0, 1)] == [False, True]
    sidecar.file(1).unlink()
    list(keep_steps(watch, sidecar))
    assert [sidecar.file(k).exists() for k in (0, 1)] == [True, False]


def test_a_mask_saved_later_and_a_damaged_file_are_not_offered(annotated, tmp_path):
    source, truth, _ = annotated
    masks = [str(tmp_path / "a.png"), None]
    source.metadata["mask_path"] = masks
    sidecar = sidecar_of(source)
    for number in (0, 1):
        sidecar.file(number).parent.mkdir(parents=True, exist_ok=True)
        sidecar.file(number).write_bytes(b"no tiff")
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"001\.png\.tif.*cannot be restored") as told:
        assert offer_of(sidecar, truth) is None
    assert len(told) == 1


def test_masks_are_not_read_where_nothing_was_kept(tmp_path):
    def unreadable(block_id):
        raise AssertionError("read")

    chunks, meta = ((1, 1), (12,), (14,)), np.empty((0, 0, 0), np.uint8)
    lazy = dask.array.map_blocks(unreadable, chunks=chunks, dtype=np.uint8, meta=meta)
    truth = SimpleNamespace(data=lazy, ndim=3)
    assert offer_of(Sidecar(tmp_path, ("a", "b"), (None, None), SHAPE[1:]), truth) is None


def test_images_without_a_folder_are_kept_in_the_users_data_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(autosave.platformdirs, "user_data_path", lambda name: tmp_path / name)
    viewer = ViewerModel()
    one, other = (viewer.add_image(np.zeros((9, size)), name="one") for size in (8, 9))
    assert sidecar_of(one).folder.parent == tmp_path / "napari-anomaly/labels"
    assert sidecar_of(one).folder != sidecar_of(other).folder


def test_masks_of_some_images_are_written_as_0_and_255_and_replaced_only_when_asked(
    annotated, tmp_path
):
    _, truth, _ = annotated
    annotating.write(truth, dict(enumerate(blobs(7))))
    layer = truth.as_layer_data_tuple()
    file = tmp_path / "ground_truth/hole/001_mask.png"
    assert write_some_masks(tmp_path, layer, [1]) == [str(file)]
    np.testing.assert_array_equal(read_mask(file, SHAPE[1:]), truth.data[1] > 0)
    np.testing.assert_array_equal(np.asarray(PIL.Image.open(file)), 255 * (truth.data[1] > 0))
    before = file.read_bytes()
    annotating.write(truth, {1: np.zeros(SHAPE[1:], np.int32)})
    with pytest.raises(MaskExistsError, match="nothing was written"):
        write_some_masks(tmp_path, layer, [1])
    assert file.read_bytes() == before
    write_some_masks(tmp_path, layer, [1], overwrite=True)
    assert not read_mask(file, SHAPE[1:]).any()


@pytest.mark.parametrize("name", ["../../outside", "/outside", "a/../../b"])
def test_a_name_that_leads_out_of_the_sidecar_is_not_followed(tmp_path, name):
    layer = Image(np.zeros((1, 4, 5)), metadata={"path": str(tmp_path), "sample": [name]})
    assert sidecar_of(layer).file(0) == tmp_path / ".napari-anomaly" / "labels" / "00000.tif"


def test_no_key_of_ours_is_one_of_naparis():
    def plain(key):
        return frozenset(str(key).replace("Ctrl+", "Control+").split("+"))

    taken = {plain(k) for keys in get_settings().shortcuts.shortcuts.values() for k in keys}
    taken |= {plain(key) for owner in (Labels, ViewerModel) for key in owner.class_keymap}
    assert plain("Shift+V") in taken
    ours = [plain(one.key) for one in shortcuts.SHORTCUTS]
    every = [*ours, *(plain(one.key) for one in shortcuts.TABLE)]
    assert len(set(every)) == len(every) == 15
    assert not taken & set(ours)
