"""Pictures of results: one colour scale per detector, outlines beside the defect, names of files."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib import colormaps

from napari_anomaly.core.figures import map_limits, overlay
from napari_anomaly.core.results import _free_name
from napari_anomaly.core.types import Sample

CYAN = (0, 230, 255)


def shade(position):
    return np.round(255 * np.array(colormaps["inferno"](position)[:3])).astype(np.uint8)


def blank(value, threshold=4.0, image=None, labels=None):
    image = np.full((9, 9), 51, np.uint8) if image is None else image
    labels = np.zeros((9, 9), np.int32) if labels is None else labels
    return overlay(image, np.full((9, 9), value, np.float32), labels, threshold)


@pytest.mark.parametrize(("value", "position"), [(-3.0, 0.0), (0.0, 0.0), (4.0, 0.5), (8.0, 1.0)])
def test_the_threshold_is_the_middle_of_the_colours(value, position):
    picture = blank(value)
    assert picture.shape == (9, 18, 3)
    assert picture.dtype == np.uint8
    assert (picture[:, :9] == 51).all()
    assert (picture[:, 9:] == shade(position)).all()


def test_the_same_value_has_the_same_colour_beside_any_other_value():
    calm, wild = np.full((9, 9), 2.0, np.float32), np.full((9, 9), 2.0, np.float32)
    wild[0, 0] = 1e6
    image, labels = np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), np.int32)
    one, other = (overlay(image, anomaly_map, labels, 4.0) for anomaly_map in (calm, wild))
    np.testing.assert_array_equal(one[1:], other[1:])


def test_limits_hold_a_threshold_that_is_not_positive():
    assert map_limits(4.0) == (0, 8)
    assert map_limits(0.0) == (-1, 1)
    assert map_limits(-3.0) == (-4, -2)


def test_the_outline_is_the_ring_around_a_region():
    labels = np.zeros((9, 9), np.int32)
    labels[3:6, 3:6] = 1
    picture = blank(4.0, labels=labels)
    ring = np.zeros((9, 9), bool)
    ring[2:7, 2:7] = True
    ring[3:6, 3:6] = False
    for half in (picture[:, :9], picture[:, 9:]):
        np.testing.assert_array_equal((half == CYAN).all(axis=2), ring)


def test_names_that_differ_only_in_case_or_suffix_get_numbers():
    taken = set()
    files = ["a.b/x.png", "a.b/X.tif", "a.b/x.jpg", "x.1.png", "x.2.png"]
    names = [_free_name(Sample(Path(file), file), taken) for file in files]
    assert names == ["a.b/x", "a.b/X_2", "a.b/x_3", "x.1", "x.2"]
    page = Sample(Path("s.tif"), "s.tif[3]", page=3)
    assert _free_name(page, taken) == "s_page3"
