"""Networks against each other: the penalty by hand, who moves when, and that nothing but the seed decides."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from napari_anomaly.core.checkpoint import StateFile
from napari_anomaly.core.methods.knobs.shared import Training
from napari_anomaly.core.nn import conv
from napari_anomaly.core.nn import steps as room
from napari_anomaly.core.nn.adversarial import Adversaries, Player
from napari_anomaly.core.nn.compiling import QUICKLY
from napari_anomaly.core.nn.critics import Critic, Generator
from napari_anomaly.core.nn.devices import mesh_of_all
from napari_anomaly.core.nn.train import repeat
from napari_anomaly.core.nn.wasserstein import CriticLoss, generator_loss, gradient_penalty
from napari_anomaly.core.stack import Stack

RNG = np.random.default_rng(0)
GRID = (8, 8, 1)
IMAGES = RNG.normal(size=(7, *GRID)).astype(np.float32)
ON_DEVICE = jnp.asarray(IMAGES)
KNOBS = Training(
    duration=12, batch=5, learning_rate=1e-3, schedule="constant", clip=None, beta1=0.0, beta2=0.9
)


@pytest.fixture(autouse=True)
def _one_step_a_call(monkeypatch):
    monkeypatch.setattr(room, "_MOST_STEPS", 1)


# -- the penalty ----------------------------------------------------------------------------------


def test_the_penalty_of_a_linear_critic_is_that_of_its_weights():
    slope = RNG.normal(size=(4, 4, 3))
    slope *= 3 / np.sqrt((slope**2).sum())  # a gradient of norm 3, everywhere
    images = jnp.asarray(RNG.normal(size=(5, 4, 4, 3)), jnp.float32)

    found = gradient_penalty(
        lambda x: (x * slope).sum((1, 2, 3)), images, images + 1, jnp.linspace(0, 1, 5)
    )

    np.testing.assert_allclose(found, (3 - 1) ** 2, rtol=1e-5)


def test_each_image_has_an_alpha_and_a_norm_of_its_own():
    """Critic |x|^2 / 2: its gradient is x, so each image's penalty is (|alpha x + (1 - alpha) y| - 1)^2."""
    real, drawn = jnp.asarray(RNG.normal(size=(2, 6, 4, 4, 2)), jnp.float32)
    alpha = jnp.asarray(RNG.uniform(size=6), jnp.float32)

    found = gradient_penalty(lambda x: 0.5 * (x**2).sum((1, 2, 3)), real, drawn, alpha)

    by_hand = [
        (np.linalg.norm(a * x + (1 - a) * y) - 1) ** 2
        for a, x, y in zip(alpha, real, drawn, strict=True)
    ]
    np.testing.assert_allclose(found, by_hand, rtol=1e-5)
    assert np.ptp(found) > 0.1


def test_a_flat_critic_has_a_penalty_of_one_and_a_finite_slope():
    def penalty(weight):
        return gradient_penalty(
            lambda x: weight * x.sum((1, 2, 3)), ON_DEVICE, ON_DEVICE, jnp.ones(7)
        ).sum()

    value, slope = jax.value_and_grad(penalty)(0.0)

    assert value == pytest.approx(7, rel=1e-4)
    assert np.isfinite(slope)


ORDINARY = {  # the same operations as lax has them, with lax's own derivatives
    "same": partial(
        lax.conv_general_dilated, window_strides=(1, 1), padding=((1, 1), (1, 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    ),
    "halve": partial(
        lax.conv_general_dilated, window_strides=(2, 2), padding=((1, 1), (1, 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    ),
    "double": lambda x, kernel: lax.conv_general_dilated(
        x, kernel[::-1, ::-1], (1, 1), ((2, 2), (2, 2)), lhs_dilation=(2, 2),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("channels", [3, 6])  # the ways for few and for many channels
@pytest.mark.parametrize("name", ORDINARY)
def test_second_derivatives_through_our_convolutions_are_laxs(name, channels):
    side = 3 if name == "same" else 4
    images = jnp.asarray(RNG.normal(size=(3, 8, 8, channels)), jnp.float32)
    kernel = jnp.asarray(RNG.normal(size=(side, side, channels, 5)), jnp.float32)

    def slopes_norm(weights, x, convolution):
        slopes = jax.grad(lambda one: jnp.tanh(convolution(one, weights)).sum())(x)
        own = jax.grad(lambda one: jnp.tanh(convolution(x, one)).sum())(weights)
        return (slopes**2).sum() + (own**2).sum()

    second = jax.jit(jax.grad(slopes_norm, (0, 1)), static_argnums=2, compiler_options=QUICKLY)
    ours = second(kernel, images, getattr(conv, name))
    theirs = second(kernel, images, ORDINARY[name])

    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3 * np.abs(other).max())


@pytest.mark.parametrize("blocks", ["plain", "residual"])
def test_an_image_is_judged_alone(blocks):
    """What the penalty rests on: no image's value depends on another."""
    critic = Critic((16, 16, 1), (4, 8), blocks, 1, rngs=nnx.Rngs(0))
    images = jnp.asarray(RNG.normal(size=(4, 16, 16, 1)), jnp.float32)

    graph, weights = nnx.split(critic)

    @partial(jax.jit, compiler_options=QUICKLY)
    def judge(some):
        return nnx.merge(graph, weights)(some)

    together = judge(images)

    np.testing.assert_allclose([judge(one[None])[0] for one in images], together, rtol=1e-4)


# -- who moves when -------------------------------------------------------------------------------


def players(every=5):
    networks = (
        Critic(GRID, (4, 8), "plain", 1, rngs=nnx.Rngs(0)),
        Generator(GRID, (4, 8), "plain", 3, rngs=nnx.Rngs(1)),
    )
    (critic, c), (generator, g) = (nnx.split(one, nnx.Param) for one in networks)
    step = Adversaries(
        (
            Player("critic", critic, CriticLoss(10.0)),
            Player("generator", generator, generator_loss, every),
        )
    )
    return step, (c, g)


def run(knobs=KNOBS, every=5, **choices):
    step, weights = players(every)
    choices = {"seed": 0, "mesh": mesh_of_all()} | choices
    steps = repeat(step, step.begun(weights, knobs, 1), Stack.of(IMAGES), knobs, **choices)
    losses = []
    while True:
        try:
            losses.append(next(steps).loss)
        except StopIteration as end:
            return losses, end.value


def leaves(state):
    return [np.asarray(one) for one in jax.tree.leaves(state)]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(leaves(one), leaves(other), strict=True))


def test_the_generator_moves_with_every_fifth_critic():
    critic, generator = run()[1].sides

    assert (int(critic.step), int(generator.step)) == (12, 2)


def test_a_move_lowers_the_movers_own_loss():
    """One critic step, one generator step: each against the other's weights at that moment."""
    step, weights = players(1)
    knobs = replace(KNOBS, duration=1, batch=7)
    _, state = run(knobs, 1)
    keys = jax.random.split(jax.random.key(9), 7)

    @partial(jax.jit, compiler_options=QUICKLY)
    def means(critic, generator):
        graphs = {one.name: one.graph for one in step.players}
        networks = {
            "critic": nnx.merge(graphs["critic"], critic),
            "generator": nnx.merge(graphs["generator"], generator),
        }
        return [
            loss(networks, ON_DEVICE, keys).mean() for loss in (CriticLoss(10.0), generator_loss)
        ]

    def losses(critic, generator):
        weights = jax.device_get((critic, generator))  # off the mesh
        return [float(one) for one in means(*weights)]

    critic, generator = (side.weights for side in state.sides)
    assert losses(critic, weights[1])[0] < losses(*weights)[0]
    assert losses(critic, generator)[1] < losses(critic, weights[1])[1]


def test_the_seed_decides_every_bit():
    losses, state = run()

    again, same_state = run()
    assert again == losses
    assert same(same_state, state)
    assert not same(run(seed=1)[1], state)


@pytest.mark.parametrize("at", [1, 8])
def test_an_interrupted_training_ends_as_if_nothing_had_happened(at, tmp_path):
    _, state = run()
    keeper = StateFile(tmp_path / "state", "mine")
    step, weights = players()
    begun = step.begun(weights, KNOBS, 1)
    steps = repeat(step, begun, Stack.of(IMAGES), KNOBS, seed=0, mesh=mesh_of_all(), keeper=keeper)
    for _ in range(at):
        next(steps)
    steps.close()
    kept = keeper.load()
    assert kept[".step"] - 1 <= at + 1  # the devices are one call ahead of what was said
    assert kept[".sides[1].step"] == kept[".step"] // 5

    losses, resumed = run(keeper=keeper)

    assert len(losses) < 12
    assert same(resumed, state)


def test_a_batch_in_parts_is_the_batch(monkeypatch):
    losses, _ = run()
    monkeypatch.setattr(room, "_AT_ONCE", 64)  # one image at a time

    np.testing.assert_allclose(run()[0], losses, rtol=1e-3, atol=1e-4)


def test_a_step_compiles_once():
    run()
    before = room.take_steps._cache_size()

    run(seed=3)

    assert room.take_steps._cache_size() == before


# -- several devices, in processes of their own ----------------------------------------------------

SCRIPT = """
import json, sys
import jax
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
import numpy as np
from napari_anomaly.core.methods import fanogan, vaegan
from napari_anomaly.core.methods.knobs.fanogan import FAnoGAN
from napari_anomaly.core.methods.knobs.shared import Training
from napari_anomaly.core.methods.knobs.vaegan import VAEGAN
from napari_anomaly.core.stack import Stack

images = np.random.default_rng(0).uniform(-1, 1, (7, 8, 8, 1)).astype(np.float32)
training = Training(duration=10, batch=5, learning_rate=1e-3, beta1=0.5, flip=True)
losses = {}
for name, method, knobs in (
    ("one by one", fanogan, FAnoGAN(widths=(4, 4), latent=3, training=training, encoding=training)),
    ("together", vaegan, VAEGAN(widths=(4, 4), latent=3, level=2, training=training)),
):
    steps = method.fit_steps(knobs, Stack.of(images), seed=0, budget=None)
    losses[name] = [one.loss for one in steps]
print(json.dumps([jax.device_count(), losses]))
"""


def curves(devices):
    command = [sys.executable, "-c", SCRIPT, str(devices)]
    environment = os.environ | {
        "XLA_FLAGS": "--xla_backend_optimization_level=0"
    }  # compiles sooner
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(ran.stdout)


def test_four_devices_follow_the_curve_of_one():
    """Five images on four devices: three of the eight places stay empty."""
    (one, alone), (four, shared) = curves(1), curves(4)

    assert (one, four) == (1, 4)
    assert [len(losses) for losses in alone.values()] == [20, 10]
    for name, losses in alone.items():
        np.testing.assert_allclose(shared[name], losses, rtol=1e-3, atol=1e-4, err_msg=name)
