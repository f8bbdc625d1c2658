"""Results of a stack appear as they come, whatever holds it and whatever its axes are."""

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from napari.components import ViewerModel

import napari_anomaly as na
from napari_anomaly.core.errors import DataWarning, ImageError
from napari_anomaly.core.progress import finished
from napari_anomaly.ui import filling
from napari_anomaly.ui.family import family_of, number_shown
from napari_anomaly.ui.layers import Sheets, add_sheets, slices
from napari_anomaly.ui.numbering import DIGESTS, digest
from napari_anomaly.ui.painted import numbers_of
from napari_anomaly.ui.recutting import families_of, is_stale, judge_anew, recut_all, show_all
from napari_anomaly.ui.streaming import Stream, nearest_first


def pattern(rng, shape=(40, 48)):
    y, x = np.indices(shape)
    return np.uint8(120 + 60 * np.sin(y * 0.7) * np.sin(x * 0.7) + rng.normal(0, 4, shape))


@pytest.fixture(scope="module")
def normals():
    rng = np.random.default_rng(0)
    return np.stack([pattern(rng) for _ in range(20)])


@pytest.fixture(scope="module")
def detector(normals):
    return na.fit(list(normals), "linear")


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def parts(normals):
    stack = normals[:5].copy()
    stack[1, 10:18, 20:28] = 255
    stack[3, 20:25, 5:10] = 0
    return stack


def run(stream, viewer):
    for _ in stream.steps():
        stream.show(viewer)
    return stream.show(viewer)


def test_the_image_on_screen_comes_first_and_then_its_neighbours():
    assert nearest_first(6, 2) == [2, 1, 3, 0, 4, 5]


def test_layers_come_with_the_first_result_and_fill(viewer, detector, parts):
    layer = viewer.add_image(parts, name="parts", scale=(1, 0.5, 0.5))
    stream = Stream(detector, layer, start=3)
    assert stream.show(viewer) == []
    steps = stream.steps()
    next(steps)
    _, anomaly_map, regions = stream.show(viewer)
    assert anomaly_map.data[3].any()
    assert not anomaly_map.data[:3].any()
    assert anomaly_map.metadata["verdict"] == [None, None, None, "fail", None]
    assert regions.features["image"].tolist()[1:] == [3] * (len(regions.features) - 1)

    list(steps)
    assert stream.show(viewer) == [viewer.layers[k] for k in (1, 2, 3)]
    expected = [detector.inspect(image) for image in parts]
    np.testing.assert_array_equal(anomaly_map.data, [one.anomaly_map for one in expected])
    assert regions.metadata["score"] == [one.score for one in expected]
    assert stream.inspected.scores.tolist() == [one.score for one in expected]
    # row k is label k over the whole layer, and the label lies in the image that its row names
    assert regions.features["index"].tolist() == list(range(len(regions.features)))
    for label, image, area in regions.features[["index", "image", "area"]].to_numpy()[1:]:
        where = np.argwhere(regions.data == label)
        assert len(where) == area
        assert set(where[:, 0]) == {image}


def test_contrast_that_a_person_sets_meanwhile_stays(viewer, detector, parts):
    stream = Stream(detector, viewer.add_image(parts))
    steps = stream.steps()
    next(steps)
    _, anomaly_map, _ = stream.show(viewer)
    anomaly_map.contrast_limits = (0, 1)
    list(steps)
    stream.show(viewer)
    assert anomaly_map.contrast_limits == [0, 1]


def test_what_was_done_stays_when_it_is_closed(viewer, detector, parts):
    stream = Stream(detector, viewer.add_image(parts))
    steps = stream.steps()
    next(steps)
    next(steps)
    steps.close()
    assert len(stream.show(viewer)) == 3
    assert np.isnan(stream.inspected.scores).tolist() == [False, False, True, True, True]
    assert stream.in_words() == "1 of 2 images fail, 3 not inspected"


def test_what_a_person_paints_meanwhile_stays(viewer, detector, parts):
    stream = Stream(detector, viewer.add_image(parts))
    steps = stream.steps()
    next(steps)
    regions = stream.show(viewer)[-1]
    regions.data_setitem((np.array([1]), np.array([12]), np.array([22])), 99)
    list(steps)
    stream.show(viewer)
    assert regions.data[1, 12, 22] == 99
    regions.undo()
    assert regions.data[1, 12, 22] == 0


def test_thresholds_cut_it_anew_once_it_is_done_and_not_while_it_fills(viewer, detector, parts):
    stream = Stream(detector, viewer.add_image(parts))
    steps = stream.steps()
    next(steps)
    regions = stream.show(viewer)[-1]
    assert families_of(viewer, detector) == []
    regions.data_setitem((np.array([1]), np.array([0]), np.array([0])), 99)
    next(steps)
    next(steps)
    steps.close()
    stream.show(viewer)
    kept = regions.data.copy()
    assert regions.metadata[DIGESTS][0] == digest(kept[0])
    (family,) = families_of(viewer, detector)
    judge_anew(family, detector.calibration)
    assert regions.metadata["verdict"][3:] == [None, None]
    (cuts,) = finished(recut_all([family], detector))
    assert show_all(family, cuts, detector.calibration) == [1]  # painted in
    np.testing.assert_array_equal(regions.data > 0, kept > 0)
    assert numbers_of(stream.inspected, stream.source) == [0, 1, 2, 3, 4]


def test_a_threshold_that_moves_meanwhile_holds_for_what_was_found_and_what_comes(
    viewer, detector, parts
):
    stream = Stream(detector, viewer.add_image(parts))
    steps = stream.steps()
    next(steps)
    next(steps)
    regions = stream.show(viewer)[-1]
    regions.data_setitem((np.array([0]), np.array([0]), np.array([0])), 99)
    kept = regions.data[0].copy()
    moved = detector.calibrate(false_alarm=0.5)
    assert moved.calibration.map_threshold < detector.calibration.map_threshold
    stream.follow(moved)
    stream.follow(na.fit(list(parts[[0, 2, 4]].repeat(3, 0)), "linear"))  # another's scores
    said = [step.stage for step in steps]
    assert said.count("cutting regions") == 2
    assert stream.show(viewer)[-1] is regions
    expected = [moved.inspect(image) for image in parts]
    np.testing.assert_array_equal(regions.data[0], kept)  # painted in
    for found, one in list(zip(regions.data, expected, strict=True))[1:]:
        np.testing.assert_array_equal(found > 0, one.labels > 0)
    verdicts = [one.verdict for one in expected]
    assert regions.metadata["verdict"] == verdicts
    assert [stream.results[k].verdict for k in range(5)] == verdicts
    assert regions.metadata["map_threshold"] == moved.calibration.map_threshold
    assert regions.features["index"].tolist() == list(range(len(regions.features)))
    rows = regions.features[["index", "image", "area"]].dropna().to_numpy()
    assert set(rows[:, 1]) >= {1, 3}
    for label, image, area in rows[rows[:, 1] != 0]:
        where = np.argwhere(regions.data == label)
        assert (len(where), set(where[:, 0])) == (area, {image})
    (family,) = families_of(viewer, moved)
    assert not is_stale(family, moved.calibration)


def test_lazy_arrays_are_read_image_by_image(viewer, detector, parts, counted):
    watched = counted(parts)
    lazy = da.from_array(watched, chunks=(1, 40, 48), asarray=False, meta=parts[:0])
    layer = viewer.add_image(lazy, contrast_limits=(0, 255))
    anomaly_map = run(Stream(detector, layer), viewer)[1]
    assert watched.most == 40 * 48
    expected = [detector.inspect(image).anomaly_map for image in parts]
    np.testing.assert_array_equal(anomaly_map.data, expected)


def test_zarr_is_not_read_when_listed(viewer, parts):
    zarr = pytest.importorskip("zarr")
    stored = zarr.create_array({}, shape=parts.shape, chunks=(1, 40, 48), dtype="uint8")
    stored[:] = parts
    images = slices(viewer.add_image(stored, contrast_limits=(0, 255)))
    stored[2] = 7  # seen by whoever reads afterwards
    assert images[2].shape == (40, 48)
    assert np.unique(np.asarray(images[2])).tolist() == [7]


def test_results_beyond_the_limit_lie_in_a_file(viewer, detector, parts, monkeypatch):
    monkeypatch.setattr(filling, "IN_MEMORY", 1000)
    layers = run(Stream(detector, viewer.add_image(parts)), viewer)
    assert all(isinstance(layer.data, np.memmap) for layer in layers)
    np.testing.assert_array_equal(layers[1].data[1], detector.inspect(parts[1]).anomaly_map)


def test_one_unusable_image_is_left_out_and_all_of_them_are_an_error(viewer, detector, parts):
    heat = parts / 255
    heat[2] = np.nan
    stream = Stream(detector, viewer.add_image(heat, name="heat"))
    with pytest.warns(DataWarning, match=r"heat \[2\]: found 1920 NaN .* \(left out\)"):
        run(stream, viewer)
    assert np.isnan(stream.inspected.scores).tolist() == [False, False, True, False, False]
    bad = Stream(detector, viewer.add_image(np.full((1, 40, 48), 300.0), name="bad"))
    with pytest.raises(ImageError, match="bad: found floating-point intensities from 300"):
        run(bad, viewer)


def test_time_and_depth(viewer, detector, parts):
    stack = np.stack([parts[:3], parts[2:]])  # (t, z, y, x)
    layer = viewer.add_image(stack, scale=(2, 3, 0.5, 0.5), axis_labels=("t", "z", "y", "x"))
    anomaly_map = run(Stream(detector, layer, start=number_shown(viewer, layer)), viewer)[1]
    assert anomaly_map.data.shape == stack.shape
    assert anomaly_map.axis_labels == ("t", "z", "y", "x")
    np.testing.assert_array_equal(anomaly_map.data[1, 1], detector.inspect(parts[3]).anomaly_map)


def test_the_finest_level_of_a_pyramid_is_inspected(viewer, detector, parts):
    layer = viewer.add_image([parts, parts[:, ::2, ::2]], multiscale=True)
    assert run(Stream(detector, layer), viewer)[1].data.shape == parts.shape


def coloured(parts):
    return np.stack([parts, parts // 2, 255 - parts], axis=1)  # (z, c, y, x)


def test_channels_come_last_and_results_show_at_each_of_them(viewer, normals, parts):
    detector = na.fit(list(np.moveaxis(coloured(normals), 1, -1)), "linear")
    labels = ("z", "c", "y", "x")
    layer = viewer.add_image(coloured(parts), axis_labels=labels, translate=(0, 5, 0, 0))
    reconstruction, anomaly_map, regions = run(Stream(detector, layer, start=1), viewer)
    assert reconstruction.rgb
    assert anomaly_map.data.shape == (5, 1, 40, 48)
    expected = detector.inspect(np.moveaxis(coloured(parts)[1], 0, -1))
    np.testing.assert_array_equal(anomaly_map.data[1, 0], expected.anomaly_map)
    for channel in (5, 6, 7):
        viewer.dims.set_point(1, channel)
        assert np.round(anomaly_map.world_to_data(viewer.dims.point))[1] == 0
    viewer.dims.set_point(0, 4)
    assert number_shown(viewer, layer) == number_shown(viewer, regions) == 4
    family = family_of(viewer, layer)
    assert (family.regions, family.anomaly_map) == (regions, anomaly_map)


def test_one_image_of_channels_is_one_image(viewer, parts):
    layer = viewer.add_image(coloured(parts)[0], axis_labels=("channel", "y", "x"))
    assert [image.shape for image in slices(layer)] == [(40, 48, 3)]
    layer.metadata["channel_axis"] = None  # a person says: three images
    assert [image.shape for image in slices(layer)] == [(40, 48)] * 3
    labels = np.zeros((3, 40, 48), np.int32)
    sheets = Sheets(None, None, labels, pd.DataFrame(), (0, 1), {})
    (regions,) = add_sheets(viewer, sheets, source=layer)
    viewer.dims.set_point(0, 2)
    assert number_shown(viewer, regions) == number_shown(viewer, layer) == 2
    layer.metadata["channel_axis"] = 0
    assert [image.shape for image in slices(layer)] == [(40, 48, 3)]


def test_two_channels_get_an_empty_third(viewer, parts):
    layer = viewer.add_image(coloured(parts)[0, :2], axis_labels=("c", "y", "x"))
    (image,) = slices(layer)
    np.testing.assert_array_equal(image[..., 0], parts[0])
    assert image.shape == (40, 48, 3)
    assert not image[..., 2].any()
