"""How far one has to look around a tile, and how windows lie: by hand and by laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_anomaly.core.methods.fitted import Reach
from napari_anomaly.core.methods.recipes import Residual
from napari_anomaly.core.tiles import Axis, Overlaps, margin, moves

PATCHES = (Reach(1, 7, 1), Reach(2, 7, 2), Reach(4, 7, 4))


@pytest.mark.parametrize(
    ("reaches", "residual", "field", "expected"),
    [
        (PATCHES[:1], Residual(smooth=0), 256, 7),
        (PATCHES, Residual(smooth=0), 256, 4 * 7 + 5),  # a pixel of 4 is seen from 5 further
        (PATCHES, Residual(smooth=4), 256, 4 * 7 + 5 + 16),
        (PATCHES, Residual(smooth=0.1), 256, 4 * 7 + 5 + 1),
        (PATCHES, Residual(kind="ssim", smooth=0), 256, 4 * (7 + 5) + 5),
        (PATCHES[:1], Residual(kind="ncc", smooth=0), 256, 7 + 5),
        (PATCHES[:1], Residual(kind="histogram", smooth=0), 256, 7 + 10),
        # Prewitt's pixel at scale 8, interpolated: 8 + 11; 5 pixels at scale 16: 80 + 23
        (PATCHES[:1], Residual(kind="ms-gms", smooth=0), 256, 7 + 19),
        (PATCHES, Residual(kind="ms-gms", smooth=0), 256, 4 * (7 + 19) + 5),
        (PATCHES[:1], Residual(kind="ms-ssim", smooth=0), 256, 7 + 103),
        (PATCHES[:1], Residual(smooth=0), 512, 7 + 2),  # halved, and back
        (PATCHES[:1], Residual(smooth=0), 64, 7 + 4),  # enlarged four times, and back
    ],
)
def test_margins_by_hand(reaches, residual, field, expected):
    assert margin(reaches, residual, field, 256) == expected


@pytest.mark.parametrize(
    ("reaches", "kind", "expected"),
    [
        (PATCHES, "ncc", 4),
        (PATCHES, "ms-gms", 4 * 8),
        (PATCHES[:1], "ms-ssim", 16),
        ((Reach(1, 9, 4), Reach(3, 9, 12)), "absolute", 12),
        ((Reach(1, 9, 4), Reach(3, 9, 12)), "ms-gms", 24),
    ],
)
def test_scales_of_a_residual_move_in_larger_steps(reaches, kind, expected):
    assert moves(reaches, Residual(kind=kind)) == expected


def test_windows_by_hand():
    """Of 100 pixels, halved: steps of 8 pixels, 13 in all; a margin of 5 halved pixels is 2 steps."""
    axis = Axis.of(100, 32, 16, 32, 4, 5)

    assert (axis.step, axis.fine, axis.steps, axis.before) == (8, 4, 8, 2)
    assert [axis.window(start) for start in (0, 32, 64, 96)] == [
        slice(0, 64),
        slice(16, 80),
        slice(40, 104),
        slice(40, 104),
    ]


@settings(deadline=None, max_examples=300)
@given(
    length=st.integers(1, 900),
    field=st.integers(8, 60),
    grid=st.integers(8, 60),
    many=st.integers(1, 4),
    moved=st.sampled_from([1, 2, 4, 6, 16]),
    around=st.integers(0, 40),
)
def test_windows_hold_their_tiles_with_the_margin_or_end_with_the_image(
    length, field, grid, many, moved, around
):
    tile = many * field
    axis = Axis.of(length, field, grid, tile, moved, around)
    end = -(-length // axis.step) * axis.step
    wide = around * field / grid

    assert axis.step * grid == axis.fine * field  # both are whole
    assert axis.fine % moved == 0
    windows = {start: axis.window(start) for start in range(0, length, tile)}
    assert len({window.stop - window.start for window in windows.values()}) == 1  # compiled once
    for start, window in windows.items():
        assert window.start % axis.step == 0
        assert 0 <= window.start <= max(0, start - wide)
        assert min(end, start + tile + wide) <= window.stop <= end


@settings(deadline=None, max_examples=200)
@given(field=st.integers(8, 40), more=st.integers(0, 120), low=st.integers(0, 150))
def test_weights_add_up_to_one_everywhere_on_every_tile(field, more, low):
    length = field + more
    tile = slice(min(low, length - 1), min(low + 50, length))
    overlaps = Overlaps.of(length, field)

    total, begins = np.zeros(tile.stop - tile.start), []
    for start, here, there, weights in overlaps.touching(tile):
        assert here.stop - here.start == there.stop - there.start == len(weights)
        assert start + there.start == tile.start + here.start  # the same pixels
        total[here] += weights
        begins.append(start)

    np.testing.assert_allclose(total, 1, rtol=0, atol=1e-6)
    assert min(begins) >= 0
    assert max(begins) + field <= length
    assert {min(k, length - field) for k in range(0, length, field)} <= set(overlaps.starts)


def test_weights_by_hand():
    """Two windows of 4 on 6 pixels: raised cosines of .146, .854 where they meet."""
    overlaps = Overlaps.of(6, 4)

    assert overlaps.starts == (0, 2)
    np.testing.assert_allclose(overlaps.weights[0], [1, 1, 0.853553, 0.146447], atol=1e-6)
    np.testing.assert_allclose(overlaps.weights[1], [0.146447, 0.853553, 1, 1], atol=1e-6)
