"""Thresholds, p-values and what a sample of normals can promise."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from napari_anomaly.core.calibration import Calibration, normals_needed, smallest_rate
from napari_anomaly.core.errors import CalibrationError

FINITE = st.floats(-1e6, 1e6, allow_nan=False)
# A few integers force ties between normals, thresholds and the score under test.
TIED = st.integers(-3, 3).map(float)


def calibration(scores, false_alarm, review=None):
    scores = np.asarray(scores, dtype=float)
    return Calibration(scores, 10 * scores, false_alarm, review)


def test_thresholds_are_the_kth_largest_by_hand():
    scores = [3, 9, 1, 7, 5, 2, 8, 6, 4]  # n + 1 = 10

    assert calibration(scores, 0.1).threshold == 9  # k = 1
    assert calibration(scores, 0.19).threshold == 9  # floor(1.9) = 1
    assert calibration(scores, 0.3).threshold == 7  # k = 3
    assert calibration(scores, 0.3).map_threshold == 70
    assert calibration(scores, 0.1, review=0.3).review_threshold == 7


def test_p_values_by_hand():
    nine = calibration([3, 9, 1, 7, 5, 2, 8, 6, 4], 0.3)

    assert nine.p_value(9.5) == 1 / 10
    assert nine.p_value(9.0) == 2 / 10
    assert nine.p_value(6.5) == 4 / 10
    assert nine.p_value(-1.0) == 1
    assert nine.map_p_value(80.0) == 3 / 10


def test_verdicts_by_hand():
    nine = calibration([3, 9, 1, 7, 5, 2, 8, 6, 4], 0.1, review=0.3)

    verdicts = [nine.verdict(s) for s in (7.0, 7.1, 9.0, 9.1)]
    assert verdicts == ["pass", "review", "review", "fail"]
    assert calibration([1, 2, 3], 0.25).verdict(2.9) == "pass"


@given(
    scores=st.lists(FINITE | TIED, min_size=1, max_size=200),
    score=FINITE | TIED,
    rate=st.floats(0.001, 0.999) | st.integers(1, 99).map(lambda percent: percent / 100),
)
def test_an_image_fails_exactly_when_its_p_value_is_at_most_the_rate(scores, score, rate):
    if rate < smallest_rate(len(scores)):
        return
    fitted = calibration(scores, rate)
    for s in (score, fitted.threshold, np.nextafter(fitted.threshold, np.inf)):
        assert (fitted.verdict(s) == "fail") == (fitted.p_value(s) <= rate)


@pytest.mark.parametrize("percent", range(1, 100))
def test_decimal_rates_lose_no_rank_to_rounding(percent):
    # In floats floor(0.29 * 100) is 28, which would fail 28 % where 29 % were asked for.
    assert calibration(np.arange(99), percent / 100).threshold == 99 - percent


@pytest.mark.parametrize(("n", "rate"), [(19, 0.05), (19, 0.1), (50, 0.05)])
def test_mean_false_alarm_rate_of_repeated_calibration_keeps_its_promise(n, rate):
    # E[FPR] = floor(rate * (n + 1)) / (n + 1) exactly, for any continuous distribution of scores.
    rng = np.random.default_rng(0)
    exact = np.floor(rate * (n + 1) + 1e-9) / (n + 1)
    repeats = 4000
    true_rates = [
        np.exp(-calibration(rng.exponential(size=n), rate).threshold) for _ in range(repeats)
    ]
    standard_error = np.sqrt(exact * (1 - exact) / (n + 2) / repeats)
    assert abs(np.mean(true_rates) - exact) < 4 * standard_error


def test_bound_holds_as_often_as_it_says():
    rng = np.random.default_rng(1)
    fits = [calibration(rng.exponential(size=40), 0.1) for _ in range(4000)]
    held = np.mean([np.exp(-fit.threshold) <= fit.false_alarm_bound(0.9) for fit in fits])
    assert abs(held - 0.9) < 4 * np.sqrt(0.9 * 0.1 / 4000)


@pytest.mark.parametrize(
    ("n", "bound"),
    # 1 - .05 ** (1 / n), the 95 % bound for the maximum of n normals.
    [(20, 0.139), (60, 0.049), (100, 0.030), (300, 0.010), (1000, 0.0030)],
)
def test_bound_of_the_maximum(n, bound):
    fitted = calibration(np.arange(n), smallest_rate(n))
    assert fitted.threshold == n - 1
    assert fitted.false_alarm_bound() == pytest.approx(1 - 0.05 ** (1 / n), rel=1e-9)
    assert fitted.false_alarm_bound() == pytest.approx(bound, abs=0.0005)


@pytest.mark.parametrize(("n", "share"), [(59, 0.05), (299, 0.01), (2995, 0.001)])
def test_normals_for_a_95_percent_tolerance_limit(n, share):
    # Wilks: 59 normals for 95/95, 299 for 99/95, 2995 for 99.9/95, and not one fewer.
    def bound(m):
        return calibration(np.arange(m), smallest_rate(m)).false_alarm_bound(0.95)

    assert bound(n) <= share < bound(n - 1)


@pytest.mark.parametrize("n", [1, 2, 19, 48, 99, 999])
def test_normals_needed_inverts_smallest_rate(n):
    assert normals_needed(smallest_rate(n)) == n
    assert normals_needed(smallest_rate(n) * 1.0001) == n
    assert normals_needed(smallest_rate(n) * 0.9999) == n + 1


@given(rate=st.floats(1e-6, 0.999))
def test_normals_needed_are_enough_and_one_fewer_are_not(rate):
    n = normals_needed(rate)
    assert smallest_rate(n) <= rate
    assert n == 0 or smallest_rate(n - 1) > rate


def test_a_calibration_is_plain_arrays_and_floats():
    before = calibration([0.1, 0.5, 0.25], 0.25, review=0.5)
    text = json.dumps({k: getattr(v, "tolist", lambda v=v: v)() for k, v in vars(before).items()})
    stored = json.loads(text)
    arrays = {name: np.array(stored.pop(name)) for name in ("scores", "peaks")}
    after = Calibration(**arrays, **stored)

    assert after.scores.dtype == after.peaks.dtype == np.float64
    for score in (0.1, 0.3, 0.5, 0.6):
        assert before.verdict(score) == after.verdict(score)
        assert before.p_value(score) == after.p_value(score)


def test_a_calibration_cannot_change():
    given_scores = np.arange(9.0)
    fitted = Calibration(given_scores, given_scores, 0.1)
    given_scores[:] = 0
    assert fitted.threshold == 8
    with pytest.raises(ValueError, match="read-only"):
        fitted.scores[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        fitted.false_alarm = 0.5


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ([1.0] * 19, [1.0] * 19, 0.01),
            "needs 99 held-out normal images, found 19. .* at least 0.05",
        ),
        (([1.0] * 19, [1.0] * 19, 0.0), "false-alarm rate of 0; expected one in"),
        (([1.0] * 19, [1.0] * 19, 1.0), "false-alarm rate of 1; expected one in"),
        (([1.0] * 19, [1.0] * 19, float("nan")), "false-alarm rate of nan"),
        (([1.0] * 19, [1.0] * 19, 0.1, 0.05), "review rate 0.05 is below the false-alarm rate 0.1"),
        (([1.0, np.nan, np.inf], [1.0] * 3, 0.5), "2 of 3 calibration scores are NaN or infinite"),
        (([1.0] * 3, [1.0, np.nan, 1.0], 0.5), "1 of 3 calibration peaks are NaN or infinite"),
        (([1.0] * 3, [1.0] * 4, 0.5), "3 scores but 4 peaks"),
        (([], [], 0.5), r"scores of shape \(0,\); expected one per normal image"),
        (([[1.0]], [[1.0]], 0.5), r"scores of shape \(1, 1\)"),
    ],
)
def test_what_a_user_reads(arguments, text):
    scores, peaks, *rates = arguments
    with pytest.raises(CalibrationError, match=text):
        Calibration(np.array(scores), np.array(peaks), *rates)


def test_a_nan_score_never_passes():
    fitted = calibration([1, 2, 3], 0.25)
    for judge in (fitted.p_value, fitted.map_p_value, fitted.verdict):
        with pytest.raises(CalibrationError, match="NaN"):
            judge(float("nan"))


@pytest.mark.parametrize("confidence", [0.0, 1.0, float("nan")])
def test_impossible_confidence(confidence):
    with pytest.raises(CalibrationError, match="expected one in"):
        calibration([1, 2, 3], 0.25).false_alarm_bound(confidence)


def test_the_review_band_holds_what_lies_between_the_ranks():
    scores = np.arange(1.0, 20)  # 19 normals: ranks 1 of .05 and 4 of .2, in twentieths
    one = Calibration(scores, scores, 0.05, review=0.2)
    assert (one.threshold, one.review_threshold) == (19, 16)
    assert one.review_load == pytest.approx(3 / 20)
    assert one.review_bound() == pytest.approx(stats.beta.ppf(0.95, 4, 16))
    assert one.false_alarm_bound() == pytest.approx(stats.beta.ppf(0.95, 1, 19))
    assert Calibration(scores, scores, 0.05).review_load == 0


def test_the_expected_review_load_is_met_on_average():
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(400):
        scores = rng.exponential(size=39)
        one = Calibration(scores, scores, 0.05, review=0.25)
        new = rng.exponential(size=200)
        shares.append(np.mean([one.verdict(s) == "review" for s in new]))
    assert one.review_load == pytest.approx(8 / 40)  # ranks 10 and 2
    assert np.mean(shares) == pytest.approx(8 / 40, abs=0.01)
