"""Regions follow the threshold; what a person painted stays."""

from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_anomaly.core.calibration import Calibration
from napari_anomaly.core.progress import watched
from napari_anomaly.core.regions import regions
from napari_anomaly.core.types import Inspection
from napari_anomaly.ui.layers import add_to_viewer, slide_to
from napari_anomaly.ui.recutting import (
    families_of,
    is_stale,
    judge_anew,
    recut_all,
    recut_shown,
    show_all,
)
from napari_anomaly.ui.why import listed

PEAKS = np.array([1.0, 2.0, 3.0, 4.0])


def detector_at(rate, peaks=PEAKS):
    """Return what cutting needs of a detector; rate k / 5 has the k-th largest peak as its threshold."""
    return SimpleNamespace(
        calibration=Calibration(peaks, peaks, rate), recipe=SimpleNamespace(min_area=1)
    )


def inspected(detector, anomaly_map):
    known, peak = detector.calibration, float(anomaly_map.max())
    labels, found = regions(anomaly_map, known.map_threshold, known.map_p_value, min_area=1)
    return Inspection(
        anomaly_map, anomaly_map, peak, known.p_value(peak), known.verdict(peak),
        known.threshold, known.map_threshold, labels, found,
    )  # fmt: skip


def steps(*heights):
    """Return a map with a spot of each height, apart from the others."""
    image = np.zeros((3, 20), np.float32)
    image[1, 1 : 3 * len(heights) : 3] = heights
    return image


@pytest.fixture
def viewer():
    return ViewerModel()


def stacked(viewer, detector, *maps):
    source = viewer.add_image(np.zeros((len(maps), 3, 20)), name="parts")
    add_to_viewer(viewer, [inspected(detector, one) for one in maps], source=source)
    (family,) = families_of(viewer, detector)
    return family


def everything(family, detector):
    (cuts,) = watched(recut_all([family], detector))
    return show_all(family, cuts, detector.calibration)


def heights(family):
    """Return what rows say beside what lies under the labels they describe."""
    rows = family.regions.features["max_score"]
    pixels = family.regions.data
    return [
        (float(rows[k]), float(family.anomaly_map.data[pixels == k].max()))
        for k in np.unique(pixels)[1:]
    ]


def test_a_single_image_is_cut_as_if_inspected_anew(viewer):
    before, after = detector_at(0.2), detector_at(0.8)
    anomaly_map = steps(5, 1.5, 2.5)
    add_to_viewer(viewer, inspected(before, anomaly_map))
    (family,) = families_of(viewer, after)
    assert family.regions.data.max() == 1
    assert recut_shown(viewer, family, after)
    assert np.array_equal(family.regions.data, inspected(after, anomaly_map).labels)
    assert family.regions.features["max_score"].tolist()[1:] == [5, 1.5, 2.5]


def test_rows_keep_describing_labels_while_only_one_image_is_cut(viewer):
    first = detector_at(0.4)
    family = stacked(viewer, first, steps(5, 3.5), steps(4.5, 1.5), steps(3.25))
    slide_to(viewer, family.regions, 1)
    for rate in (0.8, 0.4, 0.8):
        recut_shown(viewer, family, detector_at(rate))
        assert all(told == seen for told, seen in heights(family))
        assert is_stale(family, detector_at(rate).calibration)
    assert [told for told, _ in heights(family)] == [5, 3.5, 3.25, 4.5, 1.5]
    assert [one.peak for one in listed(family.regions)] == [5, 4.5, 3.5, 3.25, 1.5]


def test_the_whole_stack_is_numbered_without_holes(viewer):
    family = stacked(viewer, detector_at(0.4), steps(5, 3.5), steps(4.5, 1.5), steps(3.25))
    later = detector_at(0.8)
    recut_shown(viewer, family, later)
    assert everything(family, later) == []
    assert np.unique(family.regions.data).tolist() == [0, 1, 2, 3, 4, 5]
    assert [told for told, _ in heights(family)] == [5, 3.5, 4.5, 1.5, 3.25]
    assert family.regions.features["image"].tolist() == [None, 0, 0, 1, 1, 2]
    for layer in (family.reconstruction, family.anomaly_map, family.regions):
        assert layer.metadata["regions"] == [2, 2, 1]
    assert not is_stale(family, later.calibration)
    assert everything(family, detector_at(0.2)) == []
    assert len(family.regions.features) == 3


def test_what_a_person_painted_stays_and_the_other_images_follow(viewer):
    family = stacked(viewer, detector_at(0.4), steps(5, 3.5), steps(4.5, 1.5))
    family.regions.data_setitem((np.array([1]), np.array([0]), np.array([10])), 9)
    painted = family.regions.data[1].copy()
    slide_to(viewer, family.regions, 1)
    later = detector_at(0.8)
    assert not recut_shown(viewer, family, later)
    assert everything(family, later) == [1]
    assert np.array_equal(family.regions.data[1], painted)
    assert np.unique(family.regions.data[0]).tolist() == [0, 10, 11]
    assert family.regions.features["max_score"].tolist()[10:] == [5, 3.5]
    assert family.regions.features["index"].tolist() == list(range(12))
    assert {one.label for one in listed(family.regions)} <= set(np.unique(family.regions.data))


def test_what_was_painted_and_undone_follows(viewer):
    family = stacked(viewer, detector_at(0.4), steps(5, 3.5))
    family.regions.data_setitem((np.array([0]), np.array([0]), np.array([10])), 9)
    family.regions.undo()
    assert recut_shown(viewer, family, detector_at(0.2))


def test_maps_of_another_detector_or_still_to_be_computed_are_left_out(viewer):
    family = stacked(viewer, detector_at(0.4), steps(5))
    assert families_of(viewer, detector_at(0.2, PEAKS + 0.1)) == []
    family.anomaly_map.data = da.from_array(family.anomaly_map.data)
    assert families_of(viewer, detector_at(0.2)) == []


def test_verdicts_in_the_metadata_follow(viewer):
    family = stacked(viewer, detector_at(0.4), steps(5), steps(2.5))
    assert family.regions.metadata["verdict"] == ["fail", "pass"]
    judge_anew(family, detector_at(0.6).calibration)
    for layer in (family.reconstruction, family.anomaly_map, family.regions):
        assert layer.metadata["verdict"] == ["fail", "fail"]
        assert layer.metadata["threshold"] == 2
