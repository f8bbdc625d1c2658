"""The one training loop. What a step does depends only on the seed and the step's number, so it can be resumed."""

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float

from napari_anomaly.core.errors import CheckpointError, TrainingError
from napari_anomaly.core.types import Progress

Loss = Callable[[Any, Float[Array, "n y x c"], Array], Float[Array, " n"]]
"""Model, images and key to one loss per image."""


@runtime_checkable
class StateKeeper(Protocol):
    """Keeps the state of an interrupted training."""

    def load(self) -> Mapping[str, np.ndarray] | None:
        """Return what was kept, if anything."""

    def save(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep it."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["step", "weights", "mean", "optimiser"],
    meta_fields=[],
)
@dataclass(frozen=True)
class _State:
    """Steps done, weights, their running mean, and the optimiser's own state."""

    step: Array
    weights: nnx.State[Any, Any]
    mean: nnx.State[Any, Any]
    optimiser: Any


def train(
    model: nnx.Module,
    loss: Loss,
    images: Float[np.ndarray, "n y x c"],
    knobs: Any,
    *,
    seed: int,
    budget: float | None = None,
    keeper: StateKeeper | None = None,
) -> Generator[Progress, None, nnx.State[Any, Any]]:
    """Train a model and return its averaged weights.

    Parameters
    ----------
    model : nnx.Module
        With freshly initialised ``nnx.Param`` weights and no other state.
    loss : callable
        Model, images ``(b, y, x, c)`` and key to ``(b,)`` losses; a module-level function, so that it compiles once.
    images : float32 array, ``(n, y, x, c)``
    knobs : Training
    seed : int
        Decides order, flips and the loss's own randomness.
    budget : float, optional
        Seconds after which to stop early.
    keeper : StateKeeper, optional
        Gives the state to start from; receives it on ``KeyboardInterrupt``, when the generator is closed, and at the
        end of training.

    Raises
    ------
    TrainingError
        If a loss is not finite; names step, learning rate and image.
    """
    graph, weights = nnx.split(model, nnx.Param)
    total = steps_of(knobs, len(images))
    optimiser = _optimiser(knobs, total)
    state = _State(jnp.zeros((), jnp.int32), weights, weights, optimiser.init(weights))
    if keeper is not None and (kept := keeper.load()) is not None:
        state = _unflattened(state, kept)
    on_device, key = jnp.asarray(images), jax.random.key(seed)
    began = time.monotonic()
    try:
        while int(state.step) < total:
            after, losses, chosen = _step(state, on_device, key, graph, loss, knobs, total)
            value = _finite(np.asarray(losses), chosen, int(state.step), knobs, total)
            state = after
            yield Progress("training", int(state.step), total, value)
            if budget is not None and time.monotonic() - began > budget:
                break
    except (GeneratorExit, KeyboardInterrupt):
        if keeper is not None:
            keeper.save(_flattened(state))
        raise
    if keeper is not None:
        keeper.save(_flattened(state))  # what comes after training may be interrupted too
    result: nnx.State[Any, Any] = state.mean
    return result


def steps_of(knobs: Any, images: int) -> int:
    """How many steps a training takes."""
    per_epoch = -(-images // min(knobs.batch, images))
    return int(knobs.duration * per_epoch) if knobs.unit == "epochs" else int(knobs.duration)


def _rate(knobs: Any, total: int) -> optax.Schedule:
    if knobs.schedule == "constant":
        return optax.constant_schedule(knobs.learning_rate)
    warm = min(50, total // 10)
    return optax.warmup_cosine_decay_schedule(0.0, knobs.learning_rate, warm, max(total, warm + 1))


def _optimiser(knobs: Any, total: int) -> optax.GradientTransformation:
    adam = optax.adam(_rate(knobs, total))
    return adam if knobs.clip is None else optax.chain(optax.clip_by_global_norm(knobs.clip), adam)


@partial(jax.jit, static_argnames=("graph", "loss", "knobs", "total"))
def _step(
    state: _State, images: Array, key: Array, graph: Any, loss: Loss, knobs: Any, total: int
) -> tuple[_State, Array, Array]:
    """One step: the new state, the losses ``(b,)`` and which images they are of."""
    chosen = _batch_of(state.step, key, len(images), min(knobs.batch, len(images)))
    flip_key, loss_key = jax.random.split(jax.random.fold_in(key, 2 * state.step))
    batch = images[chosen]
    if knobs.flip:
        mirrored = jax.random.bernoulli(flip_key, shape=(len(batch), 1, 1, 1))
        batch = jnp.where(mirrored, batch[:, :, ::-1], batch)

    def mean_loss(weights: Any) -> tuple[Array, Array]:
        losses = loss(nnx.merge(graph, weights), batch, loss_key)
        return losses.mean(), losses

    gradient, losses = jax.grad(mean_loss, has_aux=True)(state.weights)
    updates, optimiser = _optimiser(knobs, total).update(gradient, state.optimiser, state.weights)
    weights = optax.apply_updates(state.weights, updates)
    decay = jnp.minimum(
        knobs.average, (1 + state.step) / (10 + state.step)
    )  # short memory at first
    mean = optax.incremental_update(weights, state.mean, 1 - decay)
    return _State(state.step + 1, weights, mean, optimiser), losses, chosen


def _batch_of(step: Array, key: Array, images: int, batch: int) -> Array:
    """Indices of a step's images: each epoch is a fresh order, its last batch filled up from its beginning."""
    per_epoch = -(-images // batch)
    order = jax.random.permutation(jax.random.fold_in(key, 2 * (step // per_epoch) + 1), images)
    return order[(step % per_epoch * batch + jnp.arange(batch)) % images]


def _finite(losses: np.ndarray, chosen: Array, step: int, knobs: Any, total: int) -> float:
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad) == 0:
        return float(losses.mean())
    rate = float(_rate(knobs, total)(step))
    raise TrainingError(
        f"found a loss of {losses[bad[0]]} in step {step + 1} of {total} at learning rate {rate:.3g}; expected a "
        "finite number. Lower learning_rate or clip",
        image=int(np.asarray(chosen)[bad[0]]),
    )


def _flattened(state: _State) -> dict[str, np.ndarray]:
    return {
        jax.tree_util.keystr(path): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    }


def _unflattened(like: _State, arrays: Mapping[str, np.ndarray]) -> _State:
    """Fill a state's structure with kept arrays, which must fit it exactly."""
    expected = _flattened(like)
    wrong = sorted(set(expected) ^ set(arrays)) or [
        name for name, one in expected.items() if one.shape != arrays[name].shape
    ]
    if wrong:
        raise CheckpointError(
            f"the kept training state does not fit this recipe (differing: {', '.join(wrong[:3])}); expected the state "
            "of the same recipe. Remove the file to start anew."
        )
    leaves = [jnp.asarray(arrays[name], one.dtype) for name, one in expected.items()]
    state: _State = jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(like), leaves)
    return state
