"""What is counted and how rounds are summed up, by hand."""

import jax
import pytest
from counts import Card, layers, least_seconds, totals
from flax import nnx
from gpu import knobs_of
from timing import Round, speed_ratio, times

from napari_anomaly.core.methods.autoencoder import Network
from napari_anomaly.core.methods.knobs.autoencoder import Autoencoder
from napari_anomaly.core.methods.presets import RECIPES

TINY = Autoencoder(widths=(2,))


def test_counts_of_two_layers():
    """Down: 2 x 2 outputs of 4 x 4 x 1 x 2 products; up: its mirror image."""
    down, up = layers(TINY, (4, 4, 1))
    assert (down.products, down.inputs, down.outputs, down.weights) == (128, 16, 8, 32)
    assert (up.products, up.inputs, up.outputs, up.weights) == (128, 8, 16, 32)
    # five passes of 256 FLOPs and 4 (16 + 8 + 32) bytes, and Adam's 7 x 4 bytes for each of 64 weights
    assert totals(TINY, (4, 4, 1), 1, 4) == (5 * 256, 5 * 224 + 28 * 64)


def test_the_slower_of_arithmetic_and_memory_counts():
    slow_memory = Card(flops=1e30, bandwidth=1.0, source="")
    slow_arithmetic = Card(flops=1.0, bandwidth=1e30, source="")
    assert least_seconds(TINY, (4, 4, 1), 1, 4, slow_memory) == pytest.approx(5 * 224 + 28 * 64)
    assert least_seconds(TINY, (4, 4, 1), 1, 4, slow_arithmetic) == pytest.approx(5 * 256)


@pytest.mark.parametrize("recipe", ["autoencoder", "autoencoder-mvtec", "autoencoder-weld"])
def test_weights_are_those_of_the_network(recipe):
    knobs, grid = RECIPES[recipe].method, (256, 256, 3)
    network = nnx.eval_shape(lambda: Network(knobs, grid, rngs=nnx.Rngs(0)))
    leaves = jax.tree.leaves(nnx.state(network, nnx.Param))
    kernels = sum(leaf.size for leaf in leaves if leaf.ndim > 1)
    assert sum(one.weights for one in layers(knobs, grid)) == kernels


def test_the_recipe_of_the_goal():
    training = knobs_of(small=False, epochs=300).training
    assert (training.duration, training.unit, training.batch) == (300, "epochs", 70)


def test_ratios_are_taken_within_rounds():
    ours = [Round(1.0, 1.0), Round(2.0, 1.0), Round(1.0, 1.0)]
    theirs = [Round(2.0, 3.0), Round(2.0, 3.0), Round(6.0, 3.0)]
    found = speed_ratio(ours, theirs)
    assert found["wall"] == {"fastest": 2.0, "median": 2.0, "low": 1.5, "high": 4.0}
    assert found["cpu"]["median"] == 3.0
    assert times(ours)["wall"]["fastest"] == 1.0
