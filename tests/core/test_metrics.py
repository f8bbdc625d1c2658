"""Metrics by hand, against scikit-learn, against brute force, and by laws."""

from inspect import unwrap
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label
from sklearn.metrics import average_precision_score, f1_score, jaccard_score, roc_auc_score

from napari_anomaly.core.metrics import (
    Confusion,
    auroc,
    average_precision,
    confusion,
    pixel_confusion,
    pixel_curve,
    pixel_scores,
    rank_curve,
)


def curve_of(pairs):
    return pixel_curve(pixel_scores(*pair) for pair in pairs)


def summary(curve):
    """Every number a pixel curve gives."""
    return [curve.auroc, curve.average_precision, curve.aupro(0.3), curve.aupro(0.05)]


def picture(*rows):
    """Digits are values of the map."""
    return np.array([[float(c) for c in row] for row in rows], dtype=np.float32)


def mask(*rows):
    """A hash is a defective pixel."""
    return np.array([[c == "#" for c in row] for row in rows])


@st.composite
def image_sets(draw):
    """Small maps of differing sizes with few distinct values, so that ties are everywhere."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    levels = draw(st.sampled_from([2, 3, 5, 50, 10**6]))
    pairs = []
    for _ in range(draw(st.integers(1, 4))):
        shape = draw(st.tuples(st.integers(2, 9), st.integers(2, 9)))
        values = rng.integers(0, levels, shape).astype(np.float32)
        pairs.append((values, rng.random(shape) < draw(st.sampled_from([0.0, 0.1, 0.5]))))
    pairs[0][1][0, :2] = [True, False]
    return pairs


# --- image level ------------------------------------------------------------------------------


def test_auroc_and_average_precision_by_hand():
    # Defects 4, 2, 2; normals 3, 2, 1. Pairs won: 3 + 1.5 + 1.5 = 6 of 9.
    y = np.array([True, False, True, False, True, False])
    s = np.array([4.0, 3.0, 2.0, 2.0, 2.0, 1.0])
    assert auroc(y, s) == 6 / 9
    # At 4: precision 1/1, one third of the recall. At 2: precision 3/5, the other two thirds.
    assert average_precision(y, s) == pytest.approx(1 / 3 * 1 + 2 / 3 * 3 / 5)


def test_curves_by_hand():
    curve = rank_curve(np.array([3.0, 2.0, 1.0]), np.array([4.0, 2.0, 2.0]))

    false_positive_rate, true_positive_rate = curve.roc()
    assert false_positive_rate.tolist() == [0, 0, 0, 1 / 3, 2 / 3, 1]
    assert true_positive_rate.tolist() == [0, 0, 1 / 3, 1 / 3, 1, 1]
    recall, precision = curve.precision_recall()
    assert recall.tolist() == [1 / 3, 1]
    assert precision.tolist() == [1, 3 / 5]


@given(scores=st.lists(st.integers(0, 4), min_size=2, max_size=60), seed=st.integers(0, 2**32))
def test_image_metrics_equal_scikit_learn(scores, seed):
    # scikit-learn 1.9: roc_auc_score, average_precision_score.
    s = np.array(scores, dtype=float)
    y = np.random.default_rng(seed).random(len(s)) < 0.5
    y[:2] = [True, False]
    assert auroc(y, s) == pytest.approx(roc_auc_score(y, s), abs=1e-12)
    assert average_precision(y, s) == pytest.approx(average_precision_score(y, s), abs=1e-12)


def test_area_of_the_roc_corners_is_the_auroc():
    rng = np.random.default_rng(0)
    curve = rank_curve(rng.integers(0, 30, 500), rng.integers(10, 40, 200))
    x, y = curve.roc()
    assert np.trapezoid(y, x) == pytest.approx(curve.auroc, abs=1e-12)
    assert (x[-1], y[-1]) == (1, 1)


# --- pixels -----------------------------------------------------------------------------------


@settings(deadline=None)
@given(pairs=image_sets())
def test_pixel_metrics_equal_scikit_learn(pairs):
    y = np.concatenate([gt.ravel() for _, gt in pairs])
    s = np.concatenate([values.ravel() for values, _ in pairs])
    curve = curve_of(pairs)
    assert curve.auroc == pytest.approx(roc_auc_score(y, s), abs=1e-12)
    assert curve.average_precision == pytest.approx(average_precision_score(y, s), abs=1e-12)


def brute_force_aupro(pairs, limit):
    """The definition, threshold by threshold and region by region; scikit-image 0.26 labels."""
    regions = []
    for i, (_, gt) in enumerate(pairs):
        labels = label(gt, connectivity=2)
        regions += [(i, labels == k) for k in range(1, labels.max() + 1)]
    n_free = sum(int((~gt).sum()) for _, gt in pairs)

    points = [(0.0, 0.0)]
    for t in sorted({float(v) for values, _ in pairs for v in values.ravel()}, reverse=True):
        false = sum(int(((values >= t) & ~gt).sum()) for values, gt in pairs)
        overlap = [(pairs[i][0][region] >= t).mean() for i, region in regions]
        points.append((false / n_free, sum(overlap) / len(overlap)))

    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 >= limit:
            break
        end = min(x1, limit)
        height = y0 if x1 == x0 else y0 + (y1 - y0) * (end - x0) / (x1 - x0)
        area += (end - x0) * (y0 + height) / 2
    return area / limit


@settings(deadline=None, max_examples=60)
@given(pairs=image_sets(), limit=st.sampled_from([0.01, 0.05, 0.3, 0.5, 1.0]))
def test_aupro_equals_brute_force(pairs, limit):
    assert curve_of(pairs).aupro(limit) == pytest.approx(brute_force_aupro(pairs, limit), abs=1e-9)


def test_aupro_by_hand():
    # Ten free pixels, valued 6 and nine 0. Region A: 9 and 5. Region B: 7, 5, 5, 5.
    anomaly_map = picture("9500", "0060", "0000", "7555")
    gt = mask("##..", "....", "....", "####")
    assert (~gt).sum() == 10

    x, y = curve_of([(anomaly_map, gt)]).pro()
    # above 9; at 9: A half; at 7: B a quarter too; past 6: one false pixel of ten; at 5: all.
    assert x.tolist() == [0, 0, 0, 0, 0, 0.1, 0.1, 1]
    assert y.tolist() == [0, 0, 1 / 4, 1 / 4, 3 / 8, 3 / 8, 1, 1]
    # 3/8 up to a tenth, 1 from there on.
    curve = curve_of([(anomaly_map, gt)])
    assert curve.aupro(0.3) == pytest.approx((0.1 * 3 / 8 + 0.2) / 0.3)
    assert curve.aupro(0.05) == pytest.approx(3 / 8)


def test_limit_inside_a_tie_is_interpolated():
    # One value for all pixels: the curve is the diagonal, PRO = FPR, and its area up to L is L / 2.
    pair = (np.ones((4, 5), np.float32), mask("##...", ".....", ".....", "....#"))
    curve = curve_of([pair])
    assert curve.auroc == 0.5
    assert curve.average_precision == 3 / 20
    assert curve.aupro(0.3) == pytest.approx(0.15)
    assert curve.aupro(0.05) == pytest.approx(0.025)


def test_a_chance_map_has_the_area_of_the_diagonal_in_closed_form():
    # Ten values, each held by nine free pixels and one defective: PRO = FPR at all ten corners.
    anomaly_map = np.repeat(np.arange(10, dtype=np.float32)[:, None], 10, axis=1)
    gt = np.zeros((10, 10), dtype=bool)
    gt[:, 4] = True
    curve = curve_of([(anomaly_map, gt)])
    assert curve.auroc == 0.5
    assert curve.average_precision == pytest.approx(0.1)
    for limit in (0.05, 0.3, 0.77, 1.0):
        assert curve.aupro(limit) == pytest.approx(limit / 2)


def test_every_region_counts_the_same_whatever_its_size():
    # The 1-pixel region is found, the 8-pixel region is not: PRO is 1/2, recall 1/9.
    anomaly_map = picture("900000", "000000", "000000", "000000")
    gt = mask("#.....", "......", "..####", "..####")
    _, overlap = curve_of([(anomaly_map, gt)]).pro()
    assert overlap.tolist()[:4] == [0, 0, 1 / 2, 1 / 2]


def test_regions_are_8_connected():
    # A found pixel touches two missed ones by a corner. 4-connected, it would be a region.
    anomaly_map = picture("900", "000", "000")
    gt = mask("#..", ".##", "...")
    _, overlap = curve_of([(anomaly_map, gt)]).pro()
    assert overlap[2] == pytest.approx(1 / 3)


def test_free_pixels_of_defective_images_count_as_negatives():
    good = (picture("1111"), mask("...."))
    bad = (picture("9911"), mask("#..."))
    # FPR at 9 is 1 of 7: with good images only it would be 0 and AU-PRO 1.
    x, _ = curve_of([good, bad]).pro()
    assert x.tolist() == [0, 0, 1 / 7, 1]


# --- laws -------------------------------------------------------------------------------------


@settings(deadline=None)
@given(pairs=image_sets())
def test_a_rising_transform_of_the_scores_changes_nothing(pairs):
    # Doubling and shifting are exact in float64, so ties stay ties.
    moved = [(values.astype(np.float64) * 2 + 3, gt) for values, gt in pairs]
    assert summary(curve_of(moved)) == summary(curve_of(pairs))


@settings(deadline=None)
@given(pairs=image_sets())
def test_negated_scores_give_one_minus_auroc(pairs):
    negated = [(-values, gt) for values, gt in pairs]
    assert curve_of(negated).auroc == pytest.approx(1 - curve_of(pairs).auroc, abs=1e-12)


@settings(deadline=None)
@given(pairs=image_sets(), seed=st.integers(0, 100))
def test_the_order_of_images_does_not_matter(pairs, seed):
    order = np.random.default_rng(seed).permutation(len(pairs))
    shuffled = [pairs[i] for i in order]
    assert summary(curve_of(shuffled)) == pytest.approx(summary(curve_of(pairs)), abs=1e-12)


def test_cutting_an_image_between_its_regions_does_not_matter():
    rng = np.random.default_rng(3)
    values = rng.integers(0, 20, (20, 40)).astype(np.float32)
    gt = np.zeros((20, 40), dtype=bool)
    gt[2:9, 3:12] = gt[10:15, 25:39] = True
    halves = [(values[:, :20], gt[:, :20]), (values[:, 20:], gt[:, 20:])]
    assert summary(curve_of(halves)) == pytest.approx(summary(curve_of([(values, gt)])), abs=1e-12)


@settings(deadline=None)
@given(pairs=image_sets())
def test_the_mask_itself_is_a_perfect_map(pairs):
    perfect = [(gt.astype(np.float32), gt) for _, gt in pairs]
    assert summary(curve_of(perfect)) == pytest.approx([1, 1, 1, 1], abs=1e-12)


def test_infinite_scores_rank_like_any_other():
    y = np.array([True, True, False, False])
    assert auroc(y, np.array([np.inf, 0.0, 1.0, -np.inf])) == 3 / 4


# --- decisions --------------------------------------------------------------------------------


def test_decisions_by_hand():
    counts = confusion(
        np.array([True, True, True, False, False, False, False]),
        np.array([True, True, False, True, False, False, False]),
    )
    assert counts == Confusion(hits=2, false_alarms=1, escapes=1, passes=3)
    assert counts.f1 == 2 / 3
    assert counts.iou == 2 / 4
    assert counts.false_alarm_rate == 1 / 4
    assert counts.escape_rate == 1 / 3


def test_the_threshold_itself_is_not_defective():
    counts = pixel_confusion(picture("123"), mask(".##"), 2.0)
    assert counts == Confusion(hits=1, false_alarms=0, escapes=1, passes=1)


@settings(deadline=None)
@given(pairs=image_sets(), threshold=st.integers(-1, 4).map(float))
def test_f1_and_iou_equal_scikit_learn(pairs, threshold):
    # scikit-learn 1.9: f1_score, jaccard_score.
    counts = Confusion(0, 0, 0, 0)
    for values, gt in pairs:
        counts += pixel_confusion(values, gt, threshold)
    y = np.concatenate([gt.ravel() for _, gt in pairs])
    decided = np.concatenate([values.ravel() > threshold for values, _ in pairs])
    assert counts.f1 == pytest.approx(f1_score(y, decided))
    assert counts.iou == pytest.approx(jaccard_score(y, decided))
    assert counts.hits + counts.false_alarms + counts.escapes + counts.passes == y.size


# --- what a caller reads ----------------------------------------------------------------------

ONE = np.ones((2, 2), np.float32)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: auroc(np.array([True, True]), np.array([1.0, 2.0])), "0 normal and 2 defective"),
        (lambda: average_precision(np.array([False]), np.array([1.0])), "1 normal and 0 defective"),
        (lambda: auroc(np.array([True, False]), np.array([np.nan, 1.0])), "NaN among the scores"),
        (lambda: auroc(np.array([True, False]), np.array([1.0, np.nan])), "NaN among the scores"),
        (lambda: pixel_curve([]), "0 normal and 0 defective"),
        (lambda: curve_of([(ONE, ONE > 2)]), "4 normal and 0 defective"),
        (
            # Past the run-time check of shapes that only tests have.
            lambda: unwrap(pixel_scores)(ONE, np.ones((2, 3)) > 0),
            r"shape \(2, 3\) for an array of shape \(2, 2\)",
        ),
        (lambda: unwrap(auroc)(np.array([1, 0]), np.array([2.0, 1.0])), "truth of int64"),
        (lambda: pixel_scores(ONE * np.nan, ONE > 0), "map holds NaN"),
        (lambda: pixel_confusion(ONE * np.nan, ONE > 0, 0.0), "map holds NaN"),
        (lambda: curve_of([(ONE, mask("#.", ".."))]).aupro(0.0), "limit of 0; expected one in"),
        (lambda: curve_of([(ONE, mask("#.", ".."))]).aupro(1.5), "limit of 1.5"),
        (lambda: Confusion(0, 0, 0, 9).f1, "nothing to count"),
        (lambda: Confusion(0, 0, 0, 9).escape_rate, "nothing to count"),
    ],
)
def test_what_a_caller_reads(call, text):
    with pytest.raises(ValueError, match=text):
        call()
