"""Weights as vectors, and each device's share of them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as Spec

from napari_anomaly.core.nn import shares
from napari_anomaly.core.nn.shares import bundled, clipped, unbundled

shapes = st.lists(st.lists(st.integers(1, 5), max_size=3).map(tuple), min_size=1, max_size=5)


@settings(max_examples=25, deadline=None)
@given(shapes=shapes, devices=st.integers(1, 6), large=st.sampled_from([1, 8, 1000]))
def test_vectors_hold_the_tree_and_the_devices_divide_them(shapes, devices, large):
    rng = np.random.default_rng(0)
    tree = {
        str(k): jnp.asarray(rng.normal(size=shape), jnp.float32) for k, shape in enumerate(shapes)
    }
    usual, shares._LARGE = shares._LARGE, large
    try:
        vectors = bundled(tree, devices)
        again = unbundled(vectors, tree)
    finally:
        shares._LARGE = usual

    assert all(one.size % devices == 0 for one in vectors)
    assert len(vectors) <= 1 + sum(np.prod(shape) >= large for shape in shapes)
    jax.tree.map(np.testing.assert_array_equal, again, tree)


@pytest.mark.parametrize("devices", [*range(1, 9), 16, 32, 64])
def test_other_numbers_of_devices_share_the_same_vectors(devices):
    """So that a training goes on with another number of devices."""
    tree = [jnp.ones(100), jnp.ones(7)]
    assert [one.size for one in bundled(tree, devices)] == [6720]


@pytest.mark.parametrize("most", [0.5, 4.9, 5.1, None])
def test_clipping_is_optax_s(most):
    gradients = (jnp.array([3.0, 0.0]), jnp.array([0.0, 4.0]))  # a norm of 5
    mesh = Mesh(np.array(jax.devices()[:1]), (shares.AXIS,))
    run = jax.shard_map(
        lambda one: clipped(one, most),
        mesh=mesh,
        in_specs=Spec(),
        out_specs=Spec(),
        check_vma=False,
    )
    expected, _ = optax.clip_by_global_norm(np.inf if most is None else most).update(
        gradients, optax.EmptyState()
    )

    for one, other in zip(run(gradients), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
