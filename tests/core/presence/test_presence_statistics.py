"""Intervals, probabilities, folds and counts: what a presence check claims about itself."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_anomaly.core.errors import DataError
from napari_anomaly.core.presence.folds import Answers, Validation, folds, validated
from napari_anomaly.core.presence.probability import probability, slope
from napari_anomaly.core.presence.proportions import clopper_pearson, proportion

# -- intervals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("total", [1, 2, 3, 7, 20, 83, 1000])
def test_the_interval_is_scipys_exact_one(total):
    for right in range(0, total + 1, max(1, total // 20)):
        expected = scipy.stats.binomtest(right, total).proportion_ci(0.95, method="exact")
        np.testing.assert_allclose(clopper_pearson(right, total), expected, atol=1e-12)


def test_three_of_three_by_hand():
    # p^3 = .025 for the lowest p that still gives three of three with 2.5 %
    low, high = clopper_pearson(3, 3)
    assert low == pytest.approx(0.025 ** (1 / 3))
    assert high == 1.0
    assert str(proportion(3, 3, 3)) == "100.0% (95 % interval 29.2 to 100.0 %)"


@pytest.mark.parametrize("truth", [0.5, 0.8, 0.97])
def test_the_interval_holds_the_truth_in_at_least_19_of_20_cases(truth):
    """Exactly, over all outcomes of 6 trials; Wilson's interval does not (checked beside it)."""
    n = 6
    chances = scipy.stats.binom.pmf(np.arange(n + 1), n, truth)

    def covered(interval):
        return sum(
            chance for k, chance in enumerate(chances) if interval(k)[0] <= truth <= interval(k)[1]
        )

    wilson = covered(lambda k: scipy.stats.binomtest(k, n).proportion_ci(0.95, method="wilson"))
    assert covered(lambda k: clopper_pearson(k, n)) >= 0.95
    if truth == 0.97:
        assert wilson < 0.95


@settings(deadline=None)
@given(st.integers(1, 40), st.data())
def test_parts_widen_the_interval_and_leave_the_share(total, data):
    right = data.draw(st.integers(0, total))
    parts = data.draw(st.integers(1, total))
    alone, together = proportion(right, total, total), proportion(right, total, parts)
    assert alone.value == together.value == right / total
    assert together.low <= alone.low + 1e-12
    assert together.high >= alone.high - 1e-12
    assert 0 <= together.low <= together.value <= together.high <= 1


def test_nine_photographs_of_three_parts_count_as_three():
    assert (proportion(9, 9, 3).low, proportion(9, 9, 3).high) == clopper_pearson(3, 3)


# -- probabilities --------------------------------------------------------------------------------


def test_few_separated_decisions_promise_no_certainty():
    """Three of each at +1 and -1: Platt's target is 4/5, so s = log 4."""
    decisions = np.array([1.0, 1, 1, -1, -1, -1])
    s = slope(decisions, decisions > 0)
    assert s == pytest.approx(math.log(4))
    assert probability(1.0, s) == pytest.approx(0.8)


def test_decisions_that_separate_nothing_give_one_half():
    rng = np.random.default_rng(0)
    present = np.arange(20) < 10
    backwards = np.where(present, -1.0, 1.0) + 0.1 * rng.normal(size=20)
    assert slope(backwards, present) == 0
    assert probability(7.0, 0.0) == 0.5


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(3, 12), st.integers(3, 12))
def test_the_slope_is_the_best_and_units_do_not_matter(seed, n_present, n_absent):
    rng = np.random.default_rng(seed)
    present = np.arange(n_present + n_absent) < n_present
    decisions = np.where(present, 1.0, -1.0) + rng.normal(0, 0.8, len(present))
    s = slope(decisions, present)
    target = np.where(present, (n_present + 1) / (n_present + 2), 1 / (n_absent + 2))
    weight = np.where(present, 1 / n_present, 1 / n_absent)

    def loss(one):
        p = 1 / (1 + np.exp(-one * decisions))
        return -(weight * (target * np.log(p) + (1 - target) * np.log(1 - p))).sum()

    assert loss(s) <= min(loss(s + 1e-3), loss(max(s - 1e-3, 0))) + 1e-9
    assert slope(10 * decisions, present) == pytest.approx(s / 10, rel=1e-6, abs=1e-9)


# -- folds ----------------------------------------------------------------------------------------


def classes(n_present, n_absent):
    return np.arange(n_present + n_absent) < n_present


def test_the_smaller_class_gives_one_image_to_each_fold():
    present = classes(80, 3)
    held = folds(present, np.arange(83), seed=0)
    assert [int((mask & ~present).sum()) for mask in held] == [1, 1, 1]
    assert sorted(int((mask & present).sum()) for mask in held) == [26, 27, 27]


@settings(deadline=None)
@given(st.integers(3, 30), st.integers(3, 30), st.integers(0, 99))
def test_every_image_is_held_out_once_in_proportion(n_present, n_absent, seed):
    present = classes(n_present, n_absent)
    held = folds(present, np.arange(len(present)), seed=seed)
    assert len(held) == min(10, n_present, n_absent)
    np.testing.assert_array_equal(np.sum(held, axis=0), 1)
    for side in (present, ~present):
        sizes = [int((mask & side).sum()) for mask in held]
        assert max(sizes) - min(sizes) <= 1


@settings(deadline=None)
@given(st.integers(0, 200))
def test_parts_are_never_split(seed):
    rng = np.random.default_rng(seed)
    parts = np.r_[rng.integers(0, 6, 20), [0, 1, 2, 3, 4, 5]]
    present = np.r_[rng.random(20) < 0.5, [True, True, True, False, False, False]]
    for mask in folds(present, parts, seed=seed):
        assert not set(parts[mask]) & set(parts[~mask])
        assert set(present[~mask]) == {True, False}


def test_the_seed_decides_the_folds():
    present, parts = classes(9, 9), np.arange(18)
    first, again, other = (folds(present, parts, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("present", "parts", "words"),
    [
        (classes(5, 2), np.arange(7), r"found 2 images where it is absent; expected at least 3"),
        (classes(1, 5), np.arange(6), r"found 1 image where it is present; expected at least 3"),
        (
            classes(6, 3),
            np.array([0, 0, 0, 1, 1, 1, 2, 3, 4]),
            r"found 6 images of 2 different part\(s\) where it is present",
        ),
    ],
)
def test_too_few_are_refused(present, parts, words):
    with pytest.raises(DataError, match=words):
        folds(present, parts, seed=0)


# -- counts ---------------------------------------------------------------------------------------


def test_counts_by_hand():
    present = classes(4, 2)
    decisions = np.array([1, 2, -1, 0.5, -3, 2.0])  # the third and the last are wrong
    found = validated(decisions, present, np.array([0, 0, 1, 2, 3, 4]), list("abcdef"), folds=2)
    assert found == Validation(2, Answers(3, 4, 3), Answers(1, 2, 2), 5, ("c", "f"))
    assert found.confusion == {
        "present": {"present": 3, "absent": 1},
        "absent": {"present": 1, "absent": 1},
    }
    assert found.accuracy.value == 4 / 6
    assert found.balanced_accuracy == (3 / 4 + 1 / 2) / 2
    assert (found.accuracy.low, found.accuracy.high) == clopper_pearson(4 * 5 / 6, 5)


def test_always_the_same_answer_is_worth_one_half():
    found = validated(np.ones(83), classes(80, 3), np.arange(83), [""] * 83, folds=3)
    assert found.accuracy.value > 0.96
    assert found.balanced_accuracy == 0.5
