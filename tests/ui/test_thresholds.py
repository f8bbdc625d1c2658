"""Rates that normals support, by hand: of 9 normals the k-th largest score is the threshold of the rate k / 10."""

from pathlib import Path

import numpy as np
import pytest

from napari_anomaly.core.calibration import Calibration
from napari_anomaly.core.types import Sample
from napari_anomaly.ui.inspected import Inspected
from napari_anomaly.ui.thresholds import (
    capability_in_words,
    guarantee,
    known_scores,
    rate_at,
    stepped,
    verdict_counts,
    verdicts_in_words,
)

NINE = np.arange(1.0, 10.0)
KNOWN = Calibration(NINE, NINE, 0.1, review=0.3)


@pytest.mark.parametrize(
    ("place", "rate"), [(100, 0.1), (9, 0.1), (8.6, 0.1), (8.4, 0.2), (1, 0.9), (-5, 0.9)]
)
def test_a_place_snaps_to_what_the_normals_support(place, rate):
    assert rate_at(KNOWN, place) == pytest.approx(rate)
    assert Calibration(NINE, NINE, rate_at(KNOWN, place)).threshold == np.clip(round(place), 1, 9)


def test_of_equal_scores_the_smallest_rate_counts():
    assert rate_at(Calibration(np.array([1, 2, 5, 5.0]), np.ones(4), 0.5), 5) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("rate", "steps", "then"),
    [(0.1, 1, 0.2), (0.19, 1, 0.2), (0.2, -1, 0.1), (0.1, -1, 0.1), (0.9, 5, 0.9), (None, 1, 0.2)],
)
def test_a_step_lets_one_normal_more_through(rate, steps, then):
    assert stepped(KNOWN, rate, steps) == pytest.approx(then)


def test_the_guarantee_says_what_it_rests_on():
    scores = np.arange(120.0)
    said = guarantee(Calibration(scores, scores, 0.01))
    # of Beta(1, 120) the 95 % quantile is 1 - 0.05 ** (1 / 120) = 0.0247
    assert said == (
        "At most 1 in 100 good images is expected to fail; 95 % sure that it is below 2.5 %. "
        "From 120 normal images that were held out of training."
    )


def test_only_test_images_are_known_to_be_good():
    kinds = [("train", "good"), ("test", "good"), ("test", "crack"), ("test", "hole")]
    samples = tuple(Sample(Path("x.png"), "x", split, kind) for split, kind in kinds)
    scores = known_scores(Inspected(("a", "b", "c", "d"), np.array([1, 2, 3, np.nan]), samples))
    assert [group.tolist() for group in scores] == [[2], [3], [1]]
    of_layer = known_scores(Inspected(("a", "b"), np.array([1.0, 2.0])), ["crack", None])
    assert [group.tolist() for group in of_layer] == [[], [1], [2]]
    assert not of_layer.judged
    both = Inspected(("a", "b"), np.array([1.0, 2.0]))
    trained = known_scores(both, ["good", "good"], ["train", "test"])
    assert [group.tolist() for group in trained] == [[2], [], [1]]


def test_verdicts_are_counted():
    scores = known_scores(Inspected(("a", "b", "c"), np.array([9.5, 8, 7])), ["good"] * 3)
    counts = verdict_counts(scores, KNOWN)
    assert [counts[f"n_good_{one}"] for one in ("pass", "review", "fail")] == [1, 1, 1]
    said = verdicts_in_words(scores, KNOWN)
    assert said == "Inspected last, 3 known to be good: 1 pass, 1 review, 1 fail."


def test_capability_of_the_normals_by_hand():
    # mean 5, s = sqrt(7.5): (9 - 5) / (3 s) = 0.487; (9 - 5) / (9 - 5) = 1
    said = capability_in_words(KNOWN)
    assert "(one-sided): 0.49; at most 1.00 from percentiles" in said
