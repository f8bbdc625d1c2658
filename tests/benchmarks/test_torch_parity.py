"""What speed is measured against computes the same: outputs and losses of the PyTorch networks equal ours."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from napari_anomaly.core.methods import autoencoder, vae
from napari_anomaly.core.methods.knobs.autoencoder import Autoencoder
from napari_anomaly.core.methods.knobs.shared import Training
from napari_anomaly.core.methods.knobs.vae import VAE
from napari_anomaly.core.nn.build import fresh, to_arrays
from napari_anomaly.core.progress import finished
from napari_anomaly.core.stack import Stack

torch = pytest.importorskip("torch", reason="no PyTorch: python -m pip install --group bench")


import torch_networks as theirs  # noqa: E402  needs torch

SHORT = Training(duration=3, batch=4)
PLAIN = replace(SHORT, clip=None, average=0.0)
CASES = {
    "small": (Autoencoder(widths=(8, 16), training=SHORT), (16, 24, 3)),
    "mvtec": (
        Autoencoder(widths=(8, 16, 16), latent=10, training=replace(PLAIN, schedule="constant")),
        (32, 16, 3),
    ),
    "weld": (Autoencoder(widths=(8, 16), down="pool", training=PLAIN), (16, 16, 1)),
    "vae": (VAE(widths=(8, 16), latent=6, beta=2.0, training=SHORT), (16, 16, 3)),
}


@cache
def _fresh(name):
    """Knobs, grid and a network with the weights that a fit with seed 0 begins with."""
    knobs, grid = CASES[name]
    architecture = vae.Network if isinstance(knobs, VAE) else autoencoder.Network
    network = fresh(architecture, knobs, grid, 0)
    return knobs, grid, network


@pytest.fixture(params=CASES)
def case(request):
    knobs, grid, ours = _fresh(request.param)
    images = np.random.default_rng(0).standard_normal((4, *grid), dtype=np.float32)
    return knobs, ours, _twin(knobs, grid, nnx.state(ours, nnx.Param)), images


def _twin(knobs, grid, weights):
    network = theirs.network_of(knobs, grid)
    theirs.take_weights(network, to_arrays(weights, grid))
    return network


def _reconstructed(knobs, ours, images):
    graph, weights = nnx.split(ours, nnx.Param)
    fitted = autoencoder.FittedAutoencoder(weights, graph, images.shape[1:])
    if isinstance(knobs, VAE):
        seen = vae.Seen(jnp.ones(()), jnp.ones(()))
        fitted = vae.FittedVAE(weights, seen, graph, images.shape[1:], knobs)
    return jax.jit(fitted.pairs)(jnp.asarray(images))[0].reconstruction


def test_reconstructions_are_equal(case):
    knobs, ours, network, images = case
    found = theirs.array_of(network(theirs.tensor_of(images)))
    np.testing.assert_allclose(found, _reconstructed(knobs, ours, images), atol=1e-4)


def test_losses_are_equal(case):
    knobs, ours, network, images = case
    keys, noise = jax.random.split(jax.random.key(1), 4), None
    loss = autoencoder.squared_error
    if isinstance(knobs, VAE):
        loss, noise = vae.negative_elbo, np.stack([jax.random.normal(key, (6,)) for key in keys])
        noise = torch.from_numpy(noise)
    found = network.losses(theirs.tensor_of(images), noise)
    expected = nnx.jit(loss)(ours, jnp.asarray(images), keys)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["small", "mvtec", "weld"])
def test_weights_are_equal_after_three_steps_of_the_training_loop(name):
    """Each batch is the whole set, so the order does not matter; the VAE draws noise of its own."""
    knobs, grid, ours = _fresh(name)
    network = _twin(knobs, grid, nnx.state(ours, nnx.Param))
    images = np.random.default_rng(0).standard_normal((4, *grid), dtype=np.float32)
    fitted = finished(autoencoder.fit_steps(knobs, Stack.of(images), seed=0, budget=None))
    steps = theirs.Steps(network, knobs.training, 3)
    steps.run(theirs.tensor_of(images), np.tile(np.arange(4), (3, 1)))
    expected = _twin(knobs, grid, fitted.weights)
    batch = theirs.tensor_of(images)
    kept = steps.averaged()
    np.testing.assert_allclose(
        kept.losses(batch, None).detach(), expected.losses(batch, None).detach(), rtol=1e-3
    )
    for (label, one), (_, other) in zip(
        kept.named_parameters(), expected.named_parameters(), strict=True
    ):
        np.testing.assert_allclose(one.detach(), other.detach(), atol=1e-4, err_msg=label)


@pytest.mark.parametrize("total", [3, 600])
def test_the_learning_rate_is_that_of_optax(total):
    warm = min(50, total // 10)
    schedule = optax.warmup_cosine_decay_schedule(0.0, 2e-3, warm, total)
    knobs = replace(SHORT, learning_rate=2e-3)
    for step in (0, 1, 2, 49, 50, 51, 300, 599):
        if step < total:
            expected = float(schedule(step))  # in float32
            assert theirs.rate(knobs, total, step) == pytest.approx(expected, rel=1e-5, abs=1e-9)
