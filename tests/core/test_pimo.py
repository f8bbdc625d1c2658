"""AUPIMO against its definition, evaluated threshold by threshold, and where it has to be refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_anomaly.core.metrics import pixel_scores
from napari_anomaly.core.pimo import per_image_overlap

BOUNDS = (0.01, 0.1)  # few pixels resolve these


def parts(normal, defective):
    plain = [pixel_scores(m, np.zeros(m.shape, bool)) for m in normal]
    return plain, [pixel_scores(m, mask) for m, mask in defective]


def by_definition(normal, anomaly_map, mask, low, high, steps=50_000):
    """Bertoldo et al. 2024: TPR against ln F at every value any pixel has, then a fine Riemann sum."""
    values = np.unique(np.concatenate([m.ravel() for m in normal] + [anomaly_map.ravel()]))[::-1]
    shared = np.array([np.mean([(m >= t).mean() for m in normal]) for t in values])
    tpr = np.array([(anomaly_map[mask] >= t).mean() for t in values])
    usable = shared > 0
    x, y = np.log(shared[usable]), tpr[usable]
    # np.interp takes the last of several points at one x, which is where the vertical way ends
    grid = np.log(low) + (np.arange(steps) + 0.5) / steps * np.log(high / low)
    return float(np.interp(grid, x, y).mean())


def images(seed, count, shape, decimals):
    rng = np.random.default_rng(seed)
    return [np.round(rng.gamma(2, 1, shape), decimals).astype(np.float32) for _ in range(count)]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), decimals=st.sampled_from([2, 3, 6]))
def test_it_is_the_integral_of_its_definition(seed, decimals):
    """With few decimals many pixels tie, with many none does."""
    normal = [*images(seed, 3, (30, 40), decimals), *images(seed + 1, 1, (25, 20), decimals)]
    anomaly_map = images(seed + 2, 1, (32, 32), decimals)[0]
    mask = np.zeros((32, 32), bool)
    mask[4:16, 6:20] = True
    anomaly_map[mask] += 4
    found = per_image_overlap(*parts(normal, [(anomaly_map, mask)]), BOUNDS)
    assert found.scores == pytest.approx(
        [by_definition(normal, anomaly_map, mask, *BOUNDS)], abs=2e-4
    )


def test_by_hand():
    """One normal image of 1000 pixels valued 1000..1; the defect's pixels join at F = .02 and at F = .05."""
    normal = np.arange(1.0, 1001, dtype=np.float32).reshape(25, 40)
    defect = np.zeros((4, 4), np.float32)
    mask = np.zeros((4, 4), bool)
    mask[0, :4] = True
    defect[0, :4] = (2000, 980.5, 950.5, 1.5)
    (score,) = per_image_overlap(*parts([normal], [(defect, mask)]), BOUNDS).scores
    # 980.5 joins when 20 normal pixels have, 950.5 after 50: TPR 1/4, then 1/2, then 3/4
    area = 0.25 * np.log(2) + 0.5 * np.log(5 / 2) + 0.75 * np.log(2)
    assert score == pytest.approx(area / np.log(10))


def test_the_best_and_the_worst_image():
    normal = images(0, 2, (30, 40), 6)
    mask = np.eye(8, dtype=bool)
    above, below = np.full((8, 8), 99, np.float32), np.full((8, 8), -1, np.float32)
    found = per_image_overlap(*parts(normal, [(above, mask), (below, mask)]), BOUNDS)
    assert found.scores == (1.0, 0.0)


def test_ties_at_the_highest_value_are_numbers_too():
    """Bounded residuals saturate: the first corner of the curve then has no width, and a high step."""
    normal = [np.linspace(0, 1, 10**6).reshape(1000, 1000).astype(np.float32) for _ in range(4)]
    defective = np.zeros((20, 20), np.float32)
    mask = np.zeros((20, 20), bool)
    mask[:10] = True
    defective[:8] = 1  # as high as the highest normal pixel

    plain, others = parts(normal, [(defective, mask)])
    (score,) = per_image_overlap(plain, others, bounds=BOUNDS).scores

    assert score == pytest.approx(0.8)


def test_only_normal_images_set_the_rate():
    normal = images(0, 2, (30, 40), 6)
    mask = np.zeros((8, 8), bool)
    mask[2:4, 2:4] = True
    quiet = images(1, 1, (8, 8), 6)[0]
    loud = np.where(mask, quiet, 50).astype(np.float32)  # false pixels of its own do not count
    one, other = per_image_overlap(*parts(normal, [(quiet, mask), (loud, mask)]), BOUNDS).scores
    assert one == other


def test_too_few_pixels_are_a_reason_not_a_number():
    mask = np.eye(64, dtype=bool)
    maps = images(0, 3, (64, 64), 6)
    found = per_image_overlap(*parts(maps, [(maps[0], mask)]))
    assert found.scores is None
    assert found.note.startswith("the 12288 pixels of 3 normal images give 1 points of the curve")
    assert "from 8.1e-05 on; more than 30 are needed" in found.note


def test_a_saturated_map_resolves_nothing():
    """Many pixels, but the highest value alone is shared by more than 1e-5 of them."""
    maps = [np.minimum(m, 3) for m in images(0, 3, (1000, 1000), 6)]
    found = per_image_overlap(*parts(maps, [(maps[0][:8, :8], np.eye(8, dtype=bool))]))
    assert found.scores is None


def test_a_coarse_curve_says_so_and_nothing_to_compare_too():
    maps = images(0, 4, (410, 410), 6)
    found = per_image_overlap(*parts(maps, [(maps[0][:8, :8], np.eye(8, dtype=bool))]))
    assert found.points == 61  # of 672,400 pixels, from the 7th to the 67th
    assert found.note == "coarse: 61 points of the curve, 300 are recommended"
    assert per_image_overlap([], []).note == "no normal test image, or no defect with a mask"
    with pytest.raises(ValueError, match="expected 0 < L < U <= 1"):
        per_image_overlap([], [], (0.2, 0.1))
