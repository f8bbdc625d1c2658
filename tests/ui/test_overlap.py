"""Truth against prediction: numbers that can be counted by hand, and the laws between them."""

import numpy as np
import pytest

from napari_anomaly.core.errors import DataError
from napari_anomaly.core.metrics import Confusion, pixel_curve, pixel_scores
from napari_anomaly.ui.overlap import (
    Overlap,
    RegionOverlap,
    image_auroc,
    outcomes,
    overlap_of,
    totals_of,
)

TRUTH = np.array([[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 7, 7]])
FOUND = np.array([[0, 4, 4, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [9, 0, 0, 0, 0]])
NONE = np.zeros_like(TRUTH)


def test_one_image_by_hand():
    one = overlap_of(TRUTH, FOUND)
    assert one.pixels == Confusion(hits=1, false_alarms=2, escapes=5, passes=12)
    assert one.truth == (RegionOverlap(1, 4, 1, (4,)), RegionOverlap(2, 2, 0, ()))
    assert one.found == (RegionOverlap(4, 2, 1, (1,)), RegionOverlap(9, 1, 0, ()))
    assert (one.iou, one.pro, one.escapes, one.false_alarms) == (1 / 8, (1 / 4 + 0) / 2, 1, 1)
    assert outcomes(TRUTH, FOUND).tolist() == [
        [3, 1, 2, 0, 0],
        [3, 3, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [2, 0, 0, 3, 3],
    ]


def test_what_touches_is_one_region_of_the_truth_but_two_of_the_machine_s():
    touching = np.array([[1, 1, 0, 0], [0, 0, 2, 2]])
    one = overlap_of(touching, touching)
    assert one.truth == (RegionOverlap(1, 4, 4, (1, 2)),)
    assert one.found == (RegionOverlap(1, 2, 2, (1,)), RegionOverlap(2, 2, 2, (1,)))


def test_nothing_is_a_share_of_nothing():
    neither, no_truth, no_regions = (
        overlap_of(*pair) for pair in ((NONE, NONE), (NONE, FOUND), (TRUTH, NONE))
    )
    assert (neither.iou, neither.pro, neither.escapes, neither.false_alarms) == (None, None, 0, 0)
    assert (no_truth.iou, no_truth.pro, no_truth.false_alarms) == (0, None, 2)
    assert (no_regions.iou, no_regions.pro, no_regions.escapes) == (0, 0, 2)


def test_other_sizes_are_an_error():
    with pytest.raises(DataError, match="Inspect the image that the ground truth was painted on"):
        overlap_of(TRUTH, FOUND[:3])


def test_totals_by_hand():
    images = [overlap_of(TRUTH, FOUND), overlap_of(TRUTH, TRUTH), overlap_of(NONE, FOUND)]
    totals = totals_of([*images, overlap_of(NONE, NONE)])
    assert (totals.images, totals.regions, totals.escapes) == (4, 4, 1)
    assert totals.pro == (1 / 4 + 0 + 1 + 1) / 4  # over regions, not over images
    assert (totals.good, totals.false_alarm_images) == (2, 1)
    assert (totals.pixels.precision, totals.pixels.recall) == (7 / 12, 7 / 12)
    assert totals_of([]).pro is None


@pytest.mark.parametrize("seed", range(5))
def test_counts_add_up_and_pro_is_that_of_the_pro_curve(seed):
    rng = np.random.default_rng(seed)
    truth, found = (rng.random((2, 9, 12)) < 0.3).astype(int)
    one: Overlap = overlap_of(truth, found)
    pixels = one.pixels
    union = np.count_nonzero(truth | found)
    assert pixels.hits + pixels.false_alarms + pixels.escapes == union
    assert np.bincount(outcomes(truth, found).ravel(), minlength=4).tolist() == [
        *(pixels.passes, pixels.hits, pixels.false_alarms, pixels.escapes)
    ]
    curve = pixel_curve([pixel_scores(found.astype(np.float32), truth > 0)])
    assert one.pro == pytest.approx(curve.overlap[0])  # at the threshold that 1 reaches, 0 does not


def test_the_auroc_leaves_out_what_is_not_known():
    assert image_auroc([False, True, None, False], [1, 2, 9, 3]) == 0.5
    assert image_auroc([False, True, True], [1, 2, np.nan]) == 1
    assert image_auroc([True, None], [1, 2]) is None
