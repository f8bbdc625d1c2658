"""The one training loop. What a step does depends only on the seed and the step's number, so it can be resumed."""

import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as Spec
from jaxtyping import Array

from napari_anomaly.core.errors import CheckpointError, TrainingError
from napari_anomaly.core.nn.devices import mesh_of_all, room_for
from napari_anomaly.core.nn.steps import (
    Loss,
    Plan,
    State,
    chosen,
    optimiser_of,
    plan_of,
    rate,
    take_steps,
)
from napari_anomaly.core.stack import Stack
from napari_anomaly.core.types import Progress

_SAVE_EVERY = 60.0  # seconds


@runtime_checkable
class StateKeeper(Protocol):
    """Keeps the state of an interrupted training."""

    def load(self) -> Mapping[str, np.ndarray] | None:
        """Return what was kept, if anything."""

    def save(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep it."""


def train(
    model: nnx.Module,
    loss: Loss,
    images: Stack,
    knobs: Any,
    *,
    seed: int,
    budget: float | None = None,
    keeper: StateKeeper | None = None,
    mesh: Mesh | None = None,
) -> Generator[Progress, None, nnx.State[Any, Any]]:
    """Train a model and return its averaged weights.

    Parameters
    ----------
    model : nnx.Module
        With freshly initialised ``nnx.Param`` weights and no other state.
    loss : callable
        Model, images ``(b, y, x, c)`` and keys ``(b,)`` to ``(b,)`` losses; a module-level function, so that it
        compiles once.
    images : Stack
        ``(n, y, x, c)``; on a GPU with room for them they are sent there once, otherwise batch by batch.
    knobs : Training
    seed : int
        Decides order, augmentation and the loss's own randomness.
    budget : float, optional
        Seconds after which to stop early.
    keeper : StateKeeper, optional
        Gives the state to start from; receives it every minute, on ``KeyboardInterrupt``, when the generator is
        closed, and at the end of training.
    mesh : Mesh, optional
        One axis, ``images``: the devices that share each batch; None: all there are.

    Raises
    ------
    TrainingError
        If a loss is not finite; names step, learning rate and image.
    """
    mesh = mesh_of_all() if mesh is None else mesh
    plan = _plan(images, knobs, mesh)
    graph, weights = nnx.split(model, nnx.Param)
    state = _begun(weights, optimiser_of(knobs, plan.total).init(weights), keeper)
    state = jax.device_put(state, NamedSharding(mesh, Spec()))  # as it comes back: one compilation
    began = saved = time.monotonic()
    key = jax.random.key(seed)
    steps = partial(take_steps, graph=graph, loss=loss, knobs=knobs, plan=plan, mesh=mesh)
    told = partial(_told, key=key, images=len(images), knobs=knobs, plan=plan)
    running: tuple[int, int, Array] | None = None
    try:
        with closing(_fed(images, key, int(state.step), plan, mesh)) as fed:
            for first, count, batch, rows in fed:
                state, losses = steps(state, batch, rows, count, key)
                if running is not None:  # while the devices work on
                    yield from told(*running)
                running = first, count, losses
                now = time.monotonic()
                if now - saved > _SAVE_EVERY:
                    _keep(keeper, state)
                    saved = now
                if budget is not None and now - began > budget:
                    break
        if running is not None:
            yield from told(*running)
    except (GeneratorExit, KeyboardInterrupt):
        _keep(keeper, state)
        raise
    _keep(keeper, state)  # what comes after training may be interrupted too
    # through the host: moved from device to device, the weights would still belong to the mesh
    result: nnx.State[Any, Any] = jax.device_put(jax.device_get(state.mean), mesh.devices.flat[0])
    return result


def _plan(images: Stack, knobs: Any, mesh: Mesh) -> Plan:
    on_gpu = mesh.devices.flat[0].platform != "cpu"
    return plan_of(
        images.shape,
        knobs,
        mesh,
        resident=on_gpu and room_for(images.nbytes),
        compute="bfloat16" if on_gpu else "float32",
    )


def _begun(weights: Any, optimiser: Any, keeper: StateKeeper | None) -> State:
    mean = jax.tree.map(jnp.copy, weights)  # a state is used up by the next step: no array twice
    state = State(jnp.zeros((), jnp.int32), weights, mean, optimiser)
    if keeper is not None and (kept := keeper.load()) is not None:
        return _unflattened(state, kept)
    return state


def _fed(
    images: Stack, key: Array, done: int, plan: Plan, mesh: Mesh
) -> Generator[tuple[int, int, Array, Array], None, None]:
    """First step, number of steps, images and rows of each call."""
    calls = [
        (first, min(plan.steps, plan.total - first))
        for first in range(done, plan.total, plan.steps)
    ]
    feed = _resident if plan.resident else _streamed
    with closing(feed(images, key, [first for first, _ in calls], plan, mesh)) as fed:
        for (first, count), (batch, rows) in zip(calls, fed, strict=True):
            yield first, count, batch, rows


def _resident(
    images: Stack, key: Array, firsts: list[int], plan: Plan, mesh: Mesh
) -> Generator[tuple[Array, Array], None, None]:
    """All images, sent once to every device; which of them make a batch never comes back."""
    everything = jax.device_put(images.take(range(len(images))), NamedSharding(mesh, Spec()))
    for first in firsts:
        rows = _filled(_chosen(key, first, len(images), plan), plan, mesh)
        yield everything, jax.device_put(rows, NamedSharding(mesh, Spec(None, "images")))


def _streamed(
    images: Stack, key: Array, firsts: list[int], plan: Plan, mesh: Mesh
) -> Generator[tuple[Array, Array], None, None]:
    """The images of each call, read ahead by threads; every device gets its own."""
    calls, devices, local = plan.steps, mesh.size, plan.local
    own = np.arange(calls * local, dtype=np.int32).reshape(calls, 1, local)
    rows = jax.device_put(
        np.repeat(own, devices, 1).reshape(calls, -1), NamedSharding(mesh, Spec(None, "images"))
    )

    def wanted() -> Iterator[np.ndarray]:
        for first in firsts:
            steps = np.asarray(_filled(_chosen(key, first, len(images), plan), plan, mesh))
            yield steps.reshape(calls, devices, local).swapaxes(0, 1).reshape(-1)

    with closing(images.batches(wanted())) as batches:
        for batch in batches:
            yield jax.device_put(batch, NamedSharding(mesh, Spec("images"))), rows


def _chosen(key: Array, first: int, images: int, plan: Plan) -> Array:
    """Images of the steps of one call; past the end of training the first image, which is not used."""
    indices: Array = chosen(key, first, images=images, batch=plan.batch, steps=plan.steps)
    left = plan.total - first
    return indices if left >= plan.steps else indices.at[left:].set(0)


def _filled(indices: Array, plan: Plan, mesh: Mesh) -> Array:
    return jnp.pad(indices, ((0, 0), (0, plan.local * mesh.size - plan.batch)))


def _told(
    first: int, count: int, losses: Array, *, key: Array, images: int, knobs: Any, plan: Plan
) -> Iterator[Progress]:
    """Say how the steps of a call went, once they are done."""
    of_steps = np.asarray(losses)[:count, : plan.batch]
    for step, of_images in enumerate(of_steps, first):
        bad = np.flatnonzero(~np.isfinite(of_images))
        if len(bad):
            image = int(_chosen(key, step, images, plan)[0, bad[0]])
            raise TrainingError(
                f"found a loss of {of_images[bad[0]]} in step {step + 1} of {plan.total} at learning rate "
                f"{float(rate(knobs, plan.total)(step)):.3g}; expected a finite number. Lower learning_rate or clip",
                image=image,
            )
        yield Progress("training", step + 1, plan.total, float(of_images.mean()))


def _keep(keeper: StateKeeper | None, state: State) -> None:
    """Keep a state, unless it was just handed to the next call or has diverged: the next report will say so."""
    if keeper is None or state.step.is_deleted():
        return
    arrays = _flattened(state)
    if all(np.isfinite(one).all() for one in arrays.values()):
        keeper.save(arrays)


def _flattened(state: State) -> dict[str, np.ndarray]:
    return {
        jax.tree_util.keystr(path): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    }


def _unflattened(like: State, arrays: Mapping[str, np.ndarray]) -> State:
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
    state: State = jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(like), leaves)
    return state
