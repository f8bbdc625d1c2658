"""The training loop with a model small enough to follow by hand: one number that is to become the images' mean."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from napari_anomaly.core.checkpoint import StateFile
from napari_anomaly.core.errors import CheckpointError, DataWarning, TrainingError
from napari_anomaly.core.methods.knobs.shared import Training
from napari_anomaly.core.nn import steps as room
from napari_anomaly.core.nn.steps import chosen, rate, steps_of, take_steps
from napari_anomaly.core.nn.train import train
from napari_anomaly.core.stack import Stack

KNOBS = Training(duration=12, batch=3, learning_rate=0.1, flip=True)


class Number(nnx.Module):
    """One weight."""

    def __init__(self, value=0.0):
        self.value = nnx.Param(jnp.float32(value))


def distance(model, images, keys):
    """Squared distance of the weight, with some noise, to each image's left half: flips and keys matter."""
    noise = 0.01 * jax.vmap(jax.random.normal)(keys)
    return (images[:, :, :4].mean((1, 2, 3)) - model.value[...] + noise) ** 2


def quiet(model, images, keys):
    """The same without noise, of the whole image."""
    return (images.mean((1, 2, 3)) - model.value[...]) ** 2


IMAGES = np.random.default_rng(0).random((7, 8, 8, 1), np.float32)


def run(steps):
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            return float(end.value["value"][...]), seen


@pytest.fixture(autouse=True)
def _one_step_a_call(monkeypatch):
    monkeypatch.setattr(room, "_MOST_STEPS", 1)


def trained(seed=0, knobs=KNOBS, **choices):
    return run(train(Number(), distance, Stack.of(IMAGES), knobs, seed=seed, **choices))


@pytest.fixture(scope="module")
def uninterrupted():
    return trained()


# -- seeds ----------------------------------------------------------------------------------------


def test_the_seed_decides_every_bit(uninterrupted):
    assert trained()[0] == uninterrupted[0]
    assert trained(seed=1)[0] != uninterrupted[0]


def test_progress_counts_every_step(uninterrupted):
    _, seen = uninterrupted

    assert [(one.stage, one.step, one.total) for one in seen] == [
        ("training", k, 12) for k in range(1, 13)
    ]
    assert all(one.loss > 0 for one in seen)


# -- interruption ---------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [1, 5, 11, 12])
@pytest.mark.parametrize("how", ["close", "interrupt"])
def test_an_interrupted_training_ends_as_if_nothing_had_happened(at, how, tmp_path, uninterrupted):
    keeper = StateFile(tmp_path / "state", "mine")
    steps = train(Number(), distance, Stack.of(IMAGES), KNOBS, seed=0, keeper=keeper)
    for _ in range(at):
        next(steps)
    if how == "close":
        steps.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            steps.throw(KeyboardInterrupt)

    value, seen = trained(keeper=keeper)

    assert value == uninterrupted[0]
    assert seen == uninterrupted[1][12 - len(seen) :]
    assert at - 1 <= 12 - len(seen) <= at + 1  # the devices are one call ahead of what was said


def test_a_finished_training_can_be_picked_up_too(tmp_path, uninterrupted):
    keeper = StateFile(tmp_path / "state", "mine")

    trained(keeper=keeper)  # what follows training may be interrupted

    assert trained(keeper=keeper) == (uninterrupted[0], [])


def test_the_state_of_another_training_is_refused(tmp_path):
    steps = train(
        Number(),
        distance,
        Stack.of(IMAGES),
        KNOBS,
        seed=0,
        keeper=StateFile(tmp_path / "state", "mine"),
    )
    next(steps)
    steps.close()

    with pytest.raises(
        CheckpointError, match=r"state: the state of another training.*Remove the file"
    ):
        trained(keeper=StateFile(tmp_path / "state", "another"))


def test_the_state_of_another_network_is_refused(tmp_path):
    keeper = StateFile(tmp_path / "state", "mine")
    trained(keeper=keeper)
    arrays = keeper.load()
    name = next(one for one in arrays if "weights" in one)

    keeper.save({other: one for other, one in arrays.items() if other != name})
    with pytest.raises(CheckpointError, match=r"does not fit this recipe \(differing: .*weights"):
        trained(keeper=keeper)
    keeper.save(arrays | {name: np.zeros(3, np.float32)})
    with pytest.raises(CheckpointError, match="does not fit this recipe"):
        trained(keeper=keeper)


@pytest.mark.parametrize("keep", [0, 3, 0.5, 0.99])
def test_a_damaged_state_is_refused(tmp_path, keep):
    keeper = StateFile(tmp_path / "state", "mine")
    trained(keeper=keeper)
    whole = keeper.path.read_bytes()
    keeper.path.write_bytes(whole[: keep if keep > 1 else int(keep * len(whole))])

    with pytest.raises(CheckpointError, match=r"state: damaged"):
        trained(keeper=keeper)


def test_a_budget_stops_early():
    _, seen = trained(budget=0.0)

    assert [one.step for one in seen] == [1]


# -- what is seen ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("images", "batch"), [(7, 3), (6, 3), (1, 1)])
def test_every_image_is_seen_in_every_epoch_in_another_order(images, batch):
    per_epoch = -(-images // batch)
    orders = []
    for epoch in range(3):
        steps = range(epoch * per_epoch, (epoch + 1) * per_epoch)
        of_steps = chosen(0, steps, images=images, batch=batch)
        seen = of_steps.reshape(-1)
        assert all(len(set(one)) == batch for one in of_steps)  # never one image twice in a batch
        assert set(seen) == set(range(images))
        assert len(set(seen[:images])) == images
        orders.append(tuple(seen))
    assert images < 5 or len(set(orders)) == 3


@pytest.mark.parametrize(
    ("knobs", "images", "steps"),
    [
        (Training(duration=9, unit="steps", batch=4), 10, 9),
        (Training(duration=9, unit="epochs", batch=4), 10, 27),
        (Training(duration=9, unit="epochs", batch=70), 10, 9),
        (Training(duration=300, unit="epochs", batch=70), 209, 900),  # MVTec's bottle
    ],
)
def test_steps_by_hand(knobs, images, steps):
    assert steps_of(knobs, images) == steps


def test_half_of_the_images_are_mirrored():
    halves = np.zeros((1, 8, 8, 1), np.float32)
    halves[:, :, 4:] = 1

    knobs = Training(duration=40, batch=1, learning_rate=1e-6, schedule="constant", flip=True)
    _, seen = run(train(Number(), distance, Stack.of(halves), knobs, seed=0))
    _, unflipped = run(
        train(Number(), distance, Stack.of(halves), replace(knobs, flip=False), seed=0)
    )

    bright = sum(one.loss > 0.5 for one in seen)
    assert 10 <= bright <= 30  # 20 +- 3 deviations of Binomial(40, .5)
    assert not any(one.loss > 0.5 for one in unflipped)


# -- what a step does -----------------------------------------------------------------------------


def test_the_kept_weight_is_a_running_mean_of_adams():
    knobs = Training(
        duration=20, batch=7, learning_rate=0.05, schedule="constant", clip=0.1, average=0.9
    )
    kept, seen = run(train(Number(), quiet, Stack.of(IMAGES), knobs, seed=0))

    # one weight, the full batch: the same with optax's parts one by one
    mean = float(IMAGES.mean())
    adam = optax.adam(0.05)
    weight, average = jnp.float32(0), jnp.float32(0)
    state = adam.init(weight)
    for step in range(20):
        gradient = 2 * (weight - mean)
        gradient = gradient * jnp.minimum(1, 0.1 / jnp.abs(gradient))
        update, state = adam.update(gradient, state)
        weight = weight + update
        decay = min(0.9, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * weight
    np.testing.assert_allclose(kept, average, atol=1e-6)
    assert abs(kept - weight) > 0.01
    np.testing.assert_allclose(seen[0].loss, ((IMAGES.mean((1, 2, 3))) ** 2).mean(), rtol=1e-5)


def test_without_averaging_the_last_weight_is_kept():
    constant = np.full((4, 8, 8, 1), 0.5, np.float32)
    knobs = Training(duration=300, batch=4, learning_rate=0.02, average=0.0)

    kept, seen = run(train(Number(), quiet, Stack.of(constant), knobs, seed=0))

    assert kept == pytest.approx(0.5, abs=1e-3)
    assert seen[-1].loss < 1e-6


def test_the_rate_warms_up_and_falls_to_nothing():
    cosine = rate(Training(learning_rate=0.4, schedule="cosine"), 200)

    # a tenth of the steps up, then half a cosine
    np.testing.assert_allclose(
        [cosine(step) for step in (0, 10, 20, 110, 200)], [0, 0.2, 0.4, 0.2, 0], atol=1e-6
    )
    assert rate(Training(learning_rate=0.4, schedule="constant"), 200)(150) == 0.4
    assert rate(Training(learning_rate=0.4), 1)(0) > 0  # one step alone moves too


# -- failing and compiling ------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_names_step_rate_and_image(bad):
    images = IMAGES.copy()
    images[4] = bad
    knobs = Training(duration=50, batch=7, learning_rate=0.25, schedule="constant")

    with pytest.raises(
        TrainingError, match=r"loss of (nan|inf) in step 1 of 50 at learning rate 0\.25"
    ) as caught:
        run(train(Number(), quiet, Stack.of(images), knobs, seed=0))

    assert caught.value.image == 4


def test_a_training_that_diverged_leaves_no_state_behind(tmp_path):
    keeper = StateFile(tmp_path / "state", "mine")
    with pytest.raises(TrainingError):
        run(train(Number(), quiet, Stack.of(IMAGES * np.inf), KNOBS, seed=0, keeper=keeper))

    assert not keeper.path.exists()


def test_a_step_compiles_once_for_all_trainings_of_a_shape():
    trained()
    before = take_steps._cache_size()

    trained(seed=5)
    trained(seed=6)

    assert take_steps._cache_size() == before
    trained(knobs=Training(duration=2, batch=2))
    assert take_steps._cache_size() == before + 1


def test_a_state_that_cannot_be_written_does_not_cost_the_training(tmp_path, uninterrupted):
    (tmp_path / "taken").write_text("a file where a folder is needed")
    keeper = StateFile(tmp_path / "taken" / "state", "mine")

    with pytest.warns(DataWarning, match=r"state: the state of the training could not be kept"):
        weight, _ = trained(keeper=keeper)

    assert weight == uninterrupted[0]


# -- looked at and ended while it runs ---------------------------------------------------------------


def weight_of(weights):
    return float(weights["value"][...])


def test_looking_changes_no_bit(uninterrupted):
    seen = []

    def looked():
        steps = train(Number(), distance, Stack.of(IMAGES), KNOBS, seed=0, fitted=weight_of)
        while True:
            try:
                now = next(steps)
            except StopIteration as end:
                return end.value
            seen.append(now.running.fitted())
            yield now

    assert run(looked())[0] == uninterrupted[0]
    assert seen[-1] == uninterrupted[0]  # the last look is at the result
    assert len(set(seen)) > 5


def test_finished_early_it_keeps_what_it_learned():
    """The call that is under way when it is told to end is the last."""
    reports = []

    def ended():
        steps = train(Number(), distance, Stack.of(IMAGES), KNOBS, seed=0)
        while True:
            try:
                reports.append(next(steps))
            except StopIteration as end:
                return end.value
            if reports[-1].step == 3:
                reports[-1].running.finish()
            yield reports[-1]

    weight, _ = run(ended())
    assert [one.step for one in reports] == [1, 2, 3, 4]
    assert weight not in (0.0, trained()[0])
