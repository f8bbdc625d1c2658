"""Several devices, steps a call, parts and types: other ways of computing the same training."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import Mesh

from napari_anomaly.core.methods import autoencoder, vae
from napari_anomaly.core.methods.knobs.autoencoder import Autoencoder
from napari_anomaly.core.methods.knobs.shared import Training
from napari_anomaly.core.methods.knobs.vae import VAE
from napari_anomaly.core.nn import steps as room
from napari_anomaly.core.nn import train as loop
from napari_anomaly.core.nn.build import fresh
from napari_anomaly.core.nn.devices import mesh_of_all
from napari_anomaly.core.nn.steps import plan_of
from napari_anomaly.core.stack import Stack

TRAINING = Training(duration=12, batch=5, learning_rate=0.01, flip=True, brightness=0.1)
KNOBS = Autoencoder(widths=(4, 8), training=TRAINING)
IMAGES = np.random.default_rng(0).normal(size=(7, 16, 16, 1)).astype(np.float32)


def trained():
    """Losses of 12 steps and all final weights."""
    network = fresh(autoencoder.Network, KNOBS, IMAGES.shape[1:], 0)
    steps = loop.train(network, autoencoder.squared_error, Stack.of(IMAGES), TRAINING, seed=0)
    losses = []
    while True:
        try:
            losses.append(next(steps).loss)
        except StopIteration as end:
            return losses, [np.asarray(one) for one in jax.tree.leaves(end.value)]


@pytest.fixture(scope="module")
def usual():
    return trained()


def assert_close(ours, theirs, relative):
    np.testing.assert_allclose(ours[0], theirs[0], rtol=relative)
    for one, other in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(one, other, atol=relative * np.abs(other).max())


@pytest.mark.parametrize("most", [1, 5, 12])
def test_steps_in_one_call_are_steps_one_by_one(most, usual, monkeypatch):
    monkeypatch.setattr(room, "_MOST_STEPS", most)

    losses, weights = trained()

    assert losses == usual[0]
    assert all((a == b).all() for a, b in zip(weights, usual[1], strict=True))


def test_images_that_stay_on_the_device_train_the_same(usual, monkeypatch):
    def resident(*arguments, **choices):
        return plan_of(*arguments, **{**choices, "resident": True})

    monkeypatch.setattr(loop, "plan_of", resident)
    losses, weights = trained()

    assert losses == usual[0]
    assert all((a == b).all() for a, b in zip(weights, usual[1], strict=True))


@pytest.mark.parametrize("pixels", [256, 2 * 256, 3 * 256])  # parts of 1, 2 and 3 of 5 images
def test_a_batch_in_parts_is_the_batch(pixels, usual, monkeypatch):
    monkeypatch.setattr(room, "_AT_ONCE", pixels)

    assert_close(trained(), usual, 1e-4)


HALVED = {
    "convolutional": (autoencoder, KNOBS),
    "dense": (autoencoder, replace(KNOBS, latent=6)),
    "vae": (vae, VAE(widths=(4, 8), latent=6, training=TRAINING)),
}


@pytest.mark.parametrize("name", HALVED)
def test_half_precision_changes_losses_by_a_hundredth_at_most(name, monkeypatch):
    method, knobs = HALVED[name]

    def losses():
        steps = method.fit_steps(knobs, Stack.of(IMAGES), seed=0, budget=None)
        return [one.loss for one in steps if one.stage == "training"]

    def half(*arguments, **choices):
        return plan_of(*arguments, **{**choices, "compute": "bfloat16"})

    usual = losses()
    monkeypatch.setattr(loop, "plan_of", half)
    halved = losses()

    np.testing.assert_allclose(halved, usual, rtol=0.01)
    assert halved != usual


def test_weights_stay_exact_in_half_precision(monkeypatch):
    def half(*arguments, **choices):
        return plan_of(*arguments, **{**choices, "compute": "bfloat16"})

    monkeypatch.setattr(loop, "plan_of", half)

    assert all(one.dtype == np.float32 for one in trained()[1])


def test_plans_by_hand():
    def mesh(size, platform):
        devices = np.array([type("Device", (), {"platform": platform})()] * size)
        return type("", (Mesh,), {"devices": devices, "size": size, "__new__": object.__new__})()

    knobs = Training(duration=300, unit="epochs", batch=70)
    shape = (209, 256, 256, 3)

    cpu = plan_of(shape, knobs, mesh(2, "cpu"), resident=False)
    # 35 images of 2**16 pixels each, two at once: 18 parts, so 36 places, one of them empty
    assert (cpu.total, cpu.batch, cpu.local, cpu.parts, cpu.steps) == (900, 70, 36, 18, 1)
    odd = plan_of((60, 320, 320, 3), replace(knobs, batch=16), mesh(2, "cpu"), resident=False)
    assert (odd.local, odd.parts) == (8, 8)  # 6.25 parts would hold one image and a fraction
    gpu = plan_of(shape, knobs, mesh(8, "gpu"), resident=True)
    # 8 x 9 = 72 places; 2**27 / (70 * 2**16) = 29 steps
    assert (gpu.local, gpu.parts, gpu.steps) == (9, 1, 29)
    small = plan_of((5, 8, 8, 1), replace(knobs, batch=16), mesh(8, "cpu"), resident=False)
    assert (small.batch, small.local, small.steps) == (5, 1, 64)
    streamed = plan_of(shape, knobs, mesh(8, "gpu"), resident=False)
    assert streamed.steps == 1  # or gigabytes would be on their way


# -- several devices, in a process of their own ----------------------------------------------------

SCRIPT = """
import json, sys
import jax
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
import numpy as np
from napari_anomaly.core.methods import autoencoder, dagmm, vae
from napari_anomaly.core.methods.knobs.autoencoder import Autoencoder
from napari_anomaly.core.methods.knobs.dagmm import DAGMM
from napari_anomaly.core.methods.knobs.shared import Training
from napari_anomaly.core.methods.knobs.vae import VAE
from napari_anomaly.core.stack import Stack

images = np.random.default_rng(0).normal(size=(21, 16, 16, 1)).astype(np.float32)
training = Training(duration=20, batch=int(sys.argv[2]), learning_rate=0.003, flip=True)
losses = {}
for name, method, knobs in (
    ("convolutional", autoencoder, Autoencoder(widths=(4, 8), training=training)),
    ("vae", vae, VAE(widths=(4, 8), training=training)),
    ("vae of one variance", vae, VAE(widths=(4, 8), training=training, variance="shared")),
    ("dagmm", dagmm, DAGMM(widths=(4, 8), latent=3, training=training)),
):
    steps = method.fit_steps(knobs, Stack.of(images), seed=0, budget=None)
    losses[name] = [one.loss for one in steps if one.stage == "training"]
print(json.dumps({"devices": jax.device_count(), "losses": losses}))
"""


def curves(devices, batch):
    command = [sys.executable, "-c", SCRIPT, str(devices), str(batch)]
    environment = os.environ | {
        "XLA_FLAGS": "--xla_backend_optimization_level=0"
    }  # compiles sooner
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(run.stdout)


@pytest.mark.parametrize("batch", [16, 13])  # 13: three of the sixteen places stay empty
def test_eight_devices_follow_the_curve_of_one(batch):
    one, eight = curves(1, batch), curves(8, batch)

    assert (one["devices"], eight["devices"]) == (1, 8)
    for name, losses in one["losses"].items():
        np.testing.assert_allclose(eight["losses"][name], losses, rtol=1e-4, err_msg=name)


def test_the_mesh_holds_every_device():
    assert mesh_of_all().size == jax.local_device_count()


def test_no_state_is_kept_that_has_diverged(tmp_path):
    kept = []

    class Keeper:
        def load(self):
            return None

        def save(self, arrays):
            kept.append(arrays)

    weights = nnx.State({"one": nnx.Param(jnp.ones(2))})
    state = room.State(jnp.zeros((), jnp.int32), weights, jnp.ones(2), ())
    loop._keep(Keeper(), state)
    loop._keep(Keeper(), replace(state, weights=jax.tree.map(lambda one: one * jnp.nan, weights)))

    assert len(kept) == 1
