"""Capability indices: by hand, against scipy, and what they say about themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from napari_anomaly.core.capability import (
    anderson_darling,
    fewest_scores,
    lower_capability,
    upper_capability,
)


def test_normal_form_by_hand():
    # mean 3, standard deviation sqrt(10 / 4) = 1.5811: (9 - 3) / (3 * 1.5811) = 1.2649
    scores = np.array([1.0, 2, 3, 4, 5])
    assert upper_capability(scores, 9.0).index == pytest.approx(6 / (3 * 2.5**0.5))
    assert lower_capability(scores, 0.0).index == pytest.approx(3 / (3 * 2.5**0.5))


def test_percentile_form_by_hand():
    # 999 scores 1..999: median 500, q(.99865) between order statistics at .99865 * 1000 = 998.65
    scores = np.arange(1.0, 1000)
    found = upper_capability(scores, 1500.0)
    assert found.percentile_index == pytest.approx(1000 / 498.65)
    assert found.percentile_index_at_most == 1000 / 499
    assert found.note.endswith("The 99.865 % percentile is estimated from 999 scores.")


def test_a_percentile_that_the_scores_do_not_reach_is_not_invented():
    assert fewest_scores() == 740
    few = upper_capability(np.arange(1.0, 740), 800.0)  # 739 of them
    assert few.percentile_index is None
    assert few.percentile_index_at_most == 430 / 369  # median 370
    assert few.chance == pytest.approx(0.99865**739)
    assert few.note.endswith("needs 740 scores; 739 reach to the 99.86 % percentile.")
    assert upper_capability(np.arange(1.0, 741), 800.0).percentile_index is not None


def test_beyond_the_wrong_side_of_the_median_there_is_no_upper_bound():
    """A larger percentile would bring the index nearer to 0: what is at most would be at least."""
    scores = np.array([3.0, 4.0, 5.0])
    assert upper_capability(scores, 2.0).percentile_index_at_most is None
    assert upper_capability(scores, 4.0).percentile_index_at_most == 0
    assert lower_capability(scores, 6.0).percentile_index_at_most is None


def test_too_few_or_equal_scores_have_no_index():
    for scores in (np.array([2.0]), np.full(9, 2.0)):
        found = upper_capability(scores, 5.0)
        assert (found.index, found.percentile_index_at_most, found.p_normal) == (None, None, None)
        assert "not possible" in found.note
    with pytest.raises(ValueError, match="expected numbers"):
        upper_capability(np.array([]), 1.0)


@pytest.mark.parametrize("n", [12, 60, 500])
def test_anderson_darling_agrees_with_the_critical_values_of_scipy(n):
    """scipy 1.x tabulates A2 at 15, 10, 5, 2.5 and 1 %; the p-values must fall on the same side of each."""
    rng = np.random.default_rng(n)
    for power in (1.0, 1.3, 2.0):
        scores = np.sign(draw := rng.normal(3, 1, n)) * np.abs(draw) ** power
        with pytest.warns(FutureWarning) if _warns() else _silent():
            reference = stats.anderson(scores, "norm")
        p = anderson_darling(scores)
        for level, critical in zip(
            (0.15, 0.10, 0.05, 0.025, 0.01), reference.critical_values, strict=True
        ):
            if abs(reference.statistic - critical) > 0.02 * critical:
                assert (p < level) == (reference.statistic > critical)


def _warns():
    import warnings

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        stats.anderson(np.arange(9.0), "norm")
    return any(issubclass(one.category, FutureWarning) for one in told)


def _silent():
    from contextlib import nullcontext

    return nullcontext()


def test_the_test_has_its_level_and_sees_skewed_scores():
    rng = np.random.default_rng(0)
    p = [anderson_darling(rng.normal(size=40)) for _ in range(400)]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.03)
    skewed = upper_capability(rng.exponential(size=100), 9.0)
    assert skewed.p_normal < 1e-4
    assert "do not rely on the normal form" in skewed.note
    assert "No sign against" in upper_capability(rng.normal(size=100), 9.0).note


@given(
    scores=st.lists(st.integers(-50, 50), min_size=8, max_size=40),
    limit=st.integers(-60, 60),
    scale=st.sampled_from([0.5, 3.0]),
)
def test_units_do_not_matter_and_the_limit_is_a_mirror(scores, limit, scale):
    s = np.array(scores, float)
    one, other = (
        upper_capability(s, float(limit)),
        upper_capability(scale * s + 7, scale * limit + 7),
    )
    mirrored = lower_capability(-s, float(-limit))
    for name in ("index", "percentile_index_at_most", "p_normal"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-9)
        assert getattr(one, name) == getattr(mirrored, name)
