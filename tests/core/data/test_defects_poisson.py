"""Poisson cloning against a direct sparse solver (SciPy's SuperLU) and its own laws."""

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import spsolve

from napari_anomaly.core.data.defects.masks import blot, cloud
from napari_anomaly.core.data.defects.poisson import clone, solve


def masks():
    rectangle = np.zeros((17, 24), bool)
    rectangle[2:-3, 1:-1] = True
    ring = blot(21.0, np.random.default_rng(1)) > 0.5
    ring[10:14, 9:13] = False
    speckled = cloud(33.0, np.random.default_rng(2)) > 0.5
    return {"rectangle": rectangle, "with a hole": ring, "in pieces": speckled}


MASKS = masks()


def direct(load, mask):
    """Write the five-point stencil out as a matrix over the masked pixels."""
    number = np.full(mask.shape, -1)
    number[mask] = np.arange(mask.sum())
    rows, columns = [], []
    for y, x in zip(*np.nonzero(mask), strict=True):
        for beside in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
            if number[beside] >= 0:
                rows.append(number[y, x])
                columns.append(number[beside])
    n = int(mask.sum())
    beside = sparse.coo_array((np.ones(len(rows)), (rows, columns)), (n, n))
    matrix = (4 * sparse.eye_array(n) - beside).tocsc()
    u = np.zeros(load.shape)
    for k in range(load.shape[2]):
        u[mask, k] = spsolve(matrix, load[mask, k])
    return u


@pytest.mark.parametrize("name", MASKS)
def test_the_solution_is_that_of_a_direct_solver(name):
    mask = MASKS[name]
    load = np.random.default_rng(0).standard_normal((*mask.shape, 2))
    exact = direct(load, mask)
    np.testing.assert_allclose(solve(load, mask, tolerance=1e-9), exact, atol=1e-7)
    rough = solve(load.astype(np.float32), mask)
    assert rough.dtype == np.float32
    assert np.abs(rough - exact).max() < 2e-3  # half a grey level of 255


def test_a_rectangle_takes_one_step():
    mask = MASKS["rectangle"]
    load = np.random.default_rng(0).standard_normal((*mask.shape, 1))
    np.testing.assert_allclose(solve(load, mask, most=1), direct(load, mask), atol=1e-9)


def test_no_mask_no_change():
    load = np.ones((6, 6, 1), np.float32)
    assert not solve(load, np.zeros((6, 6), bool)).any()


@pytest.mark.parametrize("mixed", [False, True])
def test_a_cloned_image_of_other_brightness_is_the_target(mixed):
    """Its gradients are the target's, so its brightness is all that the border takes away."""
    target = np.random.default_rng(0).random((25, 25, 3), np.float32)
    mask = MASKS["with a hole"]
    np.testing.assert_allclose(clone(target, target + 0.3, mask, mixed=mixed), target, atol=2e-3)


def test_laplacian_of_the_source_and_border_of_the_target():
    rng = np.random.default_rng(0)
    target, source = rng.random((2, 25, 25, 1))
    mask = MASKS["with a hole"]
    cloned = clone(target, source, mask).astype(np.float64)
    np.testing.assert_allclose(cloned[~mask], target[~mask], atol=1e-6)

    def laplacian(f):
        return f[1:-1, 2:] + f[1:-1, :-2] + f[2:, 1:-1] + f[:-2, 1:-1] - 4 * f[1:-1, 1:-1]

    inside = mask[1:-1, 1:-1]
    np.testing.assert_allclose(laplacian(cloned)[inside], laplacian(source)[inside], atol=2e-2)


def test_zeros_fill_a_plane_smoothly():
    """A plane is harmonic: from its border it comes back."""
    y, x = np.mgrid[:25, :25]
    plane = (0.01 * y + 0.02 * x)[..., None].astype(np.float32)
    filled = clone(plane, np.zeros_like(plane), MASKS["with a hole"])
    np.testing.assert_allclose(filled, plane, atol=2e-3)


def test_mixed_keeps_the_stronger_gradient():
    """A flat source rubs out the target's edge, unless gradients are mixed."""
    target = np.zeros((21, 21, 1), np.float32)
    target[:, 10:] = 1
    mask = np.zeros((21, 21), bool)
    mask[5:16, 5:16] = True
    flat = np.full_like(target, 0.5)
    np.testing.assert_allclose(clone(target, flat, mask, mixed=True), target, atol=2e-3)
    assert np.diff(clone(target, flat, mask)[10, :, 0]).max() < 0.3
