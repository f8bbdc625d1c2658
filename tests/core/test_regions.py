"""Maps cut into labelled regions, by hand and against scikit-image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_fill_holes
from skimage.measure import label as skimage_label
from skimage.measure import regionprops

from napari_anomaly.core.regions import regions
from napari_anomaly.core.types import Region

MAPS = arrays(
    np.float32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3)
)


def picture(*rows):
    """Digits are values of the map, a dot is 0."""
    return np.array([[float(c.replace(".", "0")) for c in row] for row in rows], dtype=np.float32)


def halves(score):
    return 1 / (1 + score)


def test_features_by_hand():
    anomaly_map = picture(
        "....2",
        "31...",
        ".3...",
        ".....",
    )
    labels, found = regions(anomaly_map, 1.0, halves, min_area=1)

    assert labels.dtype == np.int32
    assert labels.tolist() == [[0, 0, 0, 0, 1], [2, 0, 0, 0, 0], [0, 2, 0, 0, 0], [0] * 5]
    assert found == (
        Region(1, 1, (0, 4, 1, 5), (0.0, 4.0), 2.0, 2.0, 1 / 3),
        Region(2, 2, (1, 0, 3, 2), (1.5, 0.5), 3.0, 3.0, 1 / 4),
    )


def test_diagonal_neighbours_are_one_region():
    assert len(regions(picture("9..", ".9.", "..9"), 1.0, halves, min_area=3)[1]) == 1


def test_threshold_is_strict_even_between_two_float32():
    low, high = np.float32(1), np.nextafter(np.float32(1), np.float32(2))
    anomaly_map = np.array([[low, high]])
    between = (float(low) + float(high)) / 2 + 1e-10  # rounds to `high` in float32

    assert np.float32(between) == high
    assert regions(anomaly_map, between, halves, min_area=1)[0].tolist() == [[0, 1]]
    assert regions(anomaly_map, float(high), halves, min_area=1)[0].tolist() == [[0, 0]]


def test_small_components_are_dropped_and_numbers_have_no_gap():
    labels, found = regions(picture("5.55.555"), 1.0, halves, min_area=2)

    assert labels.tolist() == [[0, 0, 1, 1, 0, 2, 2, 2]]
    assert [(r.label, r.area) for r in found] == [(1, 2), (2, 3)]


def test_a_hole_belongs_to_its_region_and_swallows_islands():
    ring = picture(
        "55555",
        "5...5",
        "5.9.5",
        "5...5",
        "55555",
    )
    filled, (one,) = regions(ring, 1.0, halves, min_area=1)
    assert (filled == 1).all()
    assert one == Region(1, 25, (0, 0, 5, 5), (2.0, 2.0), 9.0, 89 / 25, 1 / 10)

    _, both = regions(ring, 1.0, halves, min_area=1, fill=False)
    assert [r.area for r in both] == [16, 1]


def test_a_gap_in_the_corner_closes_a_ring_but_one_in_a_side_does_not():
    # Regions are 8-connected, so what leaves through a diagonal gap would cross the region.
    corner = picture(".555", "5..5", "5..5", "5555")
    side = picture("5.55", "5..5", "5..5", "5555")

    assert regions(corner, 1.0, halves)[1][0].area == 15
    assert regions(side, 1.0, halves)[1][0].area == 11


@pytest.mark.parametrize("turns", range(4))
def test_a_notch_in_any_side_of_the_image_is_no_hole(turns):
    notch = np.rot90(picture("555", "55.", "555"), turns)
    assert regions(notch, 1.0, halves, min_area=1)[1][0].area == 8


def test_small_is_judged_before_filling():
    assert regions(picture("555", "5.5", "555"), 1.0, halves, min_area=9)[1] == ()


def test_nothing_above_the_threshold():
    labels, found = regions(np.zeros((3, 4), np.float32), 0.0, halves, min_area=1)
    assert labels.shape == (3, 4)
    assert not labels.any()
    assert found == ()


@settings(deadline=None)
@given(anomaly_map=MAPS, fill=st.booleans(), min_area=st.integers(1, 4))
def test_equal_to_scikit_image(anomaly_map, fill, min_area):
    # scikit-image 0.26 labels and measures; scipy 1.17 fills.
    mask = np.zeros(anomaly_map.shape, dtype=bool)
    for component in regionprops(skimage_label(anomaly_map > 1, connectivity=2)):
        if component.area >= min_area:
            mask[tuple(component.coords.T)] = True
    if fill:
        mask = binary_fill_holes(mask)
    expected = skimage_label(mask, connectivity=2)

    labels, found = regions(anomaly_map, 1.0, halves, min_area=min_area, fill=fill)

    np.testing.assert_array_equal(labels, expected)
    measured = regionprops(expected, intensity_image=anomaly_map)
    assert len(found) == len(measured)
    for ours, theirs in zip(found, measured, strict=True):
        assert (ours.label, ours.area, ours.bbox) == (theirs.label, theirs.area, theirs.bbox)
        assert ours.centroid == pytest.approx(theirs.centroid)
        assert ours.max_score == theirs.intensity_max
        assert ours.mean_score == pytest.approx(theirs.intensity_mean)
        assert ours.p_value == halves(ours.max_score)


def test_nan_map_is_refused():
    with pytest.raises(ValueError, match="holds NaN"):
        regions(np.array([[0.0, np.nan]]), 1.0, halves)


def test_impossible_area_is_refused():
    with pytest.raises(ValueError, match="min_area=0; a region has at least 1 pixel"):
        regions(np.zeros((2, 2)), 1.0, halves, min_area=0)
