"""Errors, precision and costs against the threshold: by hand, against scikit-learn 1.x, and laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from napari_anomaly.core.costs import (
    Costs,
    Stakes,
    cost_curve,
    error_rates,
    expected_cost,
    precision,
)

SCORES = st.lists(st.integers(0, 12), min_size=1, max_size=30).map(lambda s: np.array(s, float))


def test_rates_by_hand():
    rates = error_rates(np.array([1.0, 3, 2, 3]), np.array([3.0, 5]))
    assert rates.thresholds.tolist() == [-np.inf, 1, 2, 3, 5]
    assert rates.false_alarms.tolist() == [1, 0.75, 0.5, 0, 0]
    assert rates.escapes.tolist() == [0, 0, 0, 0.5, 1]  # a score at the threshold does not fail
    assert rates.at(2.9) == (0.5, 0)
    assert rates.at(3.0) == (0, 0.5)
    assert rates.at(-7) == (1, 0)


@given(good=SCORES, defective=SCORES)
def test_rates_are_those_of_scikit_learn(good, defective):
    rates = error_rates(good, defective)
    truth = np.repeat([0, 1], [len(good), len(defective)])
    fpr, tpr, limits = roc_curve(truth, np.concatenate([good, defective]), drop_intermediate=False)
    for limit, f, t in zip(limits[1:], fpr[1:], tpr[1:], strict=True):
        # scikit-learn calls scores at the limit positive: just below it, ours do too
        assert rates.at(np.nextafter(limit, -np.inf)) == pytest.approx((f, 1 - t))


@given(good=SCORES, defective=SCORES)
def test_a_higher_threshold_trades_false_alarms_for_escapes(good, defective):
    rates = error_rates(good, defective)
    assert (np.diff(rates.false_alarms) <= 0).all()
    assert (np.diff(rates.escapes) >= 0).all()
    assert (rates.false_alarms[0], rates.escapes[0]) == (1, 0)
    assert (rates.false_alarms[-1], rates.escapes[-1]) == (0, 1)


def test_precision_falls_with_prevalence():
    # as in open-edge-platform/anomalib issue 1848: AUROC .905 on a balanced set, precision .09 in use
    assert precision(0.1, 0.1, 0.5) == pytest.approx(0.9)
    assert precision(0.1, 0.1, 0.01) == pytest.approx(0.009 / (0.009 + 0.099))
    assert precision(0, 1, 0.01) is None  # nothing fails
    assert precision(0, 0.9, 0.01) == 1


def test_cost_by_hand():
    # 2 * .25 * .9 + 30 * .5 * .1
    assert expected_cost(0.25, 0.5, 0.1, Costs(2, 30)) == pytest.approx(0.45 + 1.5)
    rates = error_rates(np.array([1.0, 2, 3]), np.array([3.0, 5]))
    curve = cost_curve(rates, 0.1, Costs(1, 20))
    # thresholds -inf, 1, 2, 3, 5: FA 1, 2/3, 1/3, 0, 0; E 0, 0, 0, 1/2, 1
    assert curve.costs == pytest.approx([0.9, 0.6, 0.3, 1, 2])
    assert curve.hindsight == (2, pytest.approx(0.3))


@given(
    good=SCORES,
    defective=SCORES,
    prevalence=st.floats(0.001, 0.999),
    costs=st.tuples(st.floats(0, 100), st.floats(0.01, 100)),
)
def test_the_ends_of_a_cost_curve_are_failing_all_and_passing_all(
    good, defective, prevalence, costs
):
    curve = cost_curve(error_rates(good, defective), prevalence, Costs(*costs))
    assert curve.costs[0] == pytest.approx(costs[0] * (1 - prevalence))
    assert curve.costs[-1] == pytest.approx(costs[1] * prevalence)
    assert curve.hindsight[1] == curve.costs.min() <= min(curve.costs[0], curve.costs[-1])


@pytest.mark.parametrize("bad", [0, 1, -0.1, float("nan")])
def test_a_prevalence_is_a_share(bad):
    with pytest.raises(
        ValueError, match=r"found the prevalence .*; expected a share between 0 and 1"
    ):
        precision(0.1, 0.1, bad)


@pytest.mark.parametrize("bad", [(0, 0), (-1, 2), (1, float("inf")), (float("nan"), 1)])
def test_costs_are_numbers(bad):
    with pytest.raises(ValueError, match="expected numbers of 0 or more, not both 0"):
        Stakes(0.1, Costs(*bad))


def test_rates_need_both_kinds():
    with pytest.raises(ValueError, match="Found 0 good and 1 defective"):
        error_rates(np.array([]), np.array([1.0]))
