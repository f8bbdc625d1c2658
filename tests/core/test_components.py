"""Regions of a map that comes in tiles are those of the whole map."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_anomaly.core.components import Outlines
from napari_anomaly.core.regions import regions

MAPS = arrays(
    np.float32, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.integers(0, 3)
)


def by_tiles(anomaly_map, threshold, min_area, tile):
    outlines = Outlines(anomaly_map.shape, threshold)
    for y in range(0, anomaly_map.shape[0], tile[0]):
        for x in range(0, anomaly_map.shape[1], tile[1]):
            outlines.add(y, x, anomaly_map[y : y + tile[0], x : x + tile[1]])
    return outlines.regions(halves, min_area)


def halves(score):
    return 1 / (1 + score)


def picture(*rows):
    """Digits are values of the map, a dot is 0."""
    return np.array([[float(c.replace(".", "0")) for c in row] for row in rows], dtype=np.float32)


RING = picture("2222", "2..2", "2.12", "2222")
NESTED = picture("22222", "2...2", "2.3.2", "2...2", "22222")
OPEN = picture(".222", ".2.2", ".22.")  # 8-connected, so that the hole is closed
SMALL_RING = picture(".....", ".222.", ".2.2.", ".222.", ".....")  # dropped below 9 pixels
ACROSS_CORNERS = picture("2.", ".2")


@settings(deadline=None, max_examples=400)
@example(RING, 1.0, 1, (2, 2))
@example(NESTED, 1.0, 1, (2, 2))
@example(NESTED, 1.0, 3, (3, 1))
@example(OPEN, 1.0, 1, (1, 1))
@example(SMALL_RING, 1.0, 9, (2, 2))
@example(SMALL_RING, 1.0, 8, (2, 3))
@example(ACROSS_CORNERS, 1.0, 2, (1, 1))
@example(ACROSS_CORNERS[:, ::-1], 1.0, 2, (1, 1))
@given(
    anomaly_map=MAPS,
    threshold=st.sampled_from([-1.0, 0.0, 1.0, 2.0, 3.0]),
    min_area=st.integers(1, 9),
    tile=st.tuples(st.integers(1, 15), st.integers(1, 15)),
)
def test_regions_of_tiles_are_those_of_the_whole_map(anomaly_map, threshold, min_area, tile):
    _, whole = regions(anomaly_map, threshold, halves, min_area=min_area)

    found = by_tiles(anomaly_map, threshold, min_area, tile)

    assert len(found) == len(whole)
    for one, other in zip(found, whole, strict=True):
        assert (one.label, one.area, one.bbox) == (other.label, other.area, other.bbox)
        assert (one.max_score, one.p_value) == (other.max_score, other.p_value)
        assert one.mean_score == pytest.approx(other.mean_score, rel=1e-12)
        assert one.centroid == pytest.approx(other.centroid, rel=1e-12)


def test_a_region_over_four_tiles_by_hand():
    (region,) = by_tiles(NESTED, 1.0, 1, (3, 3))

    assert (region.area, region.bbox, region.centroid) == (25, (0, 0, 5, 5), (2.0, 2.0))
    assert (region.max_score, region.mean_score) == (3.0, (16 * 2 + 3) / 25)


def test_a_map_without_regions_has_none():
    assert by_tiles(np.zeros((5, 7), np.float32), 1.0, 1, (2, 3)) == ()
