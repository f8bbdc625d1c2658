"""The one training loop. What a step does depends only on the seed and the step's number, so it can be resumed."""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
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
    Descent,
    Jointly,
    Loss,
    Plan,
    State,
    Step,
    begun,
    chosen,
    lying,
    plan_of,
    rate,
    take_steps,
)
from napari_anomaly.core.stack import Stack, cache_bound
from napari_anomaly.core.types import Progress, Running

_SAVE_EVERY = 60.0  # seconds
_PICTURES = 50  # in a training


@runtime_checkable
class StateKeeper(Protocol):
    """Keeps the state of an interrupted training."""

    def load(self) -> Mapping[str, np.ndarray] | None:
        """Return what was kept, if anything."""

    def save(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep it."""


def train(
    model: nnx.Module,
    loss: Loss | Jointly,
    images: Stack,
    knobs: Any,
    *,
    seed: int,
    budget: float | None = None,
    keeper: StateKeeper | None = None,
    mesh: Mesh | None = None,
    fitted: Callable[[nnx.State[Any, Any]], Any] | None = None,
) -> Generator[Progress, None, nnx.State[Any, Any]]:
    """Train a model and return its averaged weights.

    Parameters
    ----------
    model : nnx.Module
        With freshly initialised ``nnx.Param`` weights and no other state; they may be used up.
    loss : callable
        Model, images ``(b, y, x, c)`` and keys ``(b,)`` to ``(b,)`` losses; a module-level function, so that it
        compiles once. Or one of all images of a step together, as a :class:`Jointly`.
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
    fitted : callable, optional
        From averaged weights to the fitted method, for those who look at it while it is trained.

    Raises
    ------
    TrainingError
        If a loss is not finite; names step, learning rate and image.
    """
    mesh = mesh_of_all() if mesh is None else mesh
    graph, weights = nnx.split(model, nnx.Param)
    state = yield from repeat(
        Descent(graph, loss),
        begun(weights, knobs, mesh.size),
        images,
        knobs,
        seed=seed,
        budget=budget,
        keeper=keeper,
        mesh=mesh,
        show=Show(fitted=None if fitted is None else lambda now: fitted(averaged(now, mesh))),
        whole=isinstance(loss, Jointly),
    )
    return averaged(state, mesh)


def averaged(state: State, mesh: Mesh) -> nnx.State[Any, Any]:
    """Return the averaged weights of a trained network, on one device."""
    result: nnx.State[Any, Any] = replace(state, mean=on_first(state.mean, mesh)).averaged()
    return result


def on_first(arrays: Any, mesh: Mesh) -> Any:
    """Bring arrays to the first device, through the host: moved directly, they would still belong to the mesh."""
    return jax.device_put(jax.device_get(arrays), mesh.devices.flat[0])


@dataclass(frozen=True)
class Show:
    """What is shown of a training while it runs.

    Attributes
    ----------
    stage : str
        What users read: ``"training"``.
    picture : callable, optional
        From a state to a device's array ``(y, x, c)`` in [0, 1]: up to fifty times during a training.
    fitted : callable, optional
        From a state to the fitted method, whenever somebody asks.
    """

    stage: str = "training"
    picture: Callable[[Any], Array] | None = None
    fitted: Callable[[Any], Any] | None = None

    def drawn(self, state: Any, steps: range, total: int) -> Array | None:
        """Return a picture of the state after some steps, if one is due."""
        every = max(1, total // _PICTURES)
        due = steps.stop // every > steps.start // every or steps.stop == total
        return self.picture(state) if due and self.picture is not None else None

    def asked(self, state: Callable[[], Any]) -> Callable[[], Any] | None:
        """Return what gives the fitted method of the state that there is when it is called."""
        fitted = self.fitted
        return None if fitted is None else lambda: fitted(state())


def repeat(
    step: Step,
    state: Any,
    images: Stack,
    knobs: Any,
    *,
    seed: int,
    budget: float | None = None,
    keeper: StateKeeper | None = None,
    mesh: Mesh,
    show: Show = Show(),
    whole: bool = False,
) -> Generator[Progress, None, Any]:
    """Repeat a step from a state on, and return the last state.

    Parameters
    ----------
    step : Step
    state : pytree
        What the step changes, before the first one; it may be used up.
    show : Show
    whole : bool
        Whether the step looks at all its images together, so that they cannot go through in parts.

    The others are those of :func:`train`.
    """
    plan = _plan(images, knobs, mesh, whole=whole)
    state = resumed(state, keeper)
    lies = jax.tree.map(lambda spec: NamedSharding(mesh, spec), lying(state, mesh.size))
    state = jax.device_put(state, lies)  # as it comes back: one compilation
    began = saved = time.monotonic()
    key = jax.random.key(seed)
    steps = partial(take_steps, key=key, step=step, knobs=knobs, plan=plan, mesh=mesh)
    enough = threading.Event()
    # a state is used up by the call after it: the present one is what may be looked at
    asked = Running(enough.set, show.asked(lambda: state))
    told = partial(
        _told, stage=show.stage, seed=seed, images=len(images), knobs=knobs, plan=plan, asked=asked
    )
    running: tuple[range, Array, Array | None] | None = None
    try:
        with closing(_fed(images, seed, int(state.step), plan, mesh)) as fed:
            for first, count, batch, rows in fed:
                state, losses = steps(state, batch, rows, count)
                taken = range(first, first + count)
                drawn = show.drawn(state, taken, plan.total)
                if running is not None:  # while the devices work on
                    yield from told(*running)
                running = taken, losses, drawn
                now = time.monotonic()
                if now - saved > _SAVE_EVERY:
                    _keep(keeper, state)
                    saved = now
                if enough.is_set() or (budget is not None and now - began > budget):
                    break
        if running is not None:
            yield from told(*running)
    except (GeneratorExit, KeyboardInterrupt):
        _keep(keeper, state)
        raise
    _keep(keeper, state)  # what comes after training may be interrupted too
    return state


def _plan(images: Stack, knobs: Any, mesh: Mesh, *, whole: bool) -> Plan:
    on_gpu = mesh.devices.flat[0].platform != "cpu"
    return plan_of(
        images.shape,
        knobs,
        mesh,
        resident=on_gpu and room_for(images.nbytes) and images.nbytes <= cache_bound(),
        compute="bfloat16" if on_gpu else "float32",
        whole=whole,
    )


def resumed(state: Any, keeper: StateKeeper | None) -> Any:
    """Return the state to start from: what was kept goes before a fresh one.

    Raises
    ------
    CheckpointError
        If what was kept is the state of another recipe.
    """
    kept = None if keeper is None else keeper.load()
    return state if kept is None else _unflattened(state, kept)


def _fed(
    images: Stack, seed: int, done: int, plan: Plan, mesh: Mesh
) -> Generator[tuple[int, int, Array, Array], None, None]:
    """First step, number of steps, images and rows of each call."""
    calls = [
        range(first, min(first + plan.steps, plan.total))
        for first in range(done, plan.total, plan.steps)
    ]
    wanted = (_wanted(seed, steps, len(images), plan, mesh) for steps in calls)
    feed = _resident if plan.resident else _streamed
    with closing(feed(images, wanted, plan, mesh)) as fed:
        for steps, (batch, rows) in zip(calls, fed, strict=True):
            yield steps[0], len(steps), batch, rows


def _wanted(seed: int, steps: range, images: int, plan: Plan, mesh: Mesh) -> np.ndarray:
    """Images ``(plan.steps, devices * local)`` of one call.

    Places that do not count show an image of the same step: should it overflow, the step is to blame.
    """
    rows = np.zeros((plan.steps, plan.local * mesh.size), np.int32)
    of_steps = chosen(seed, steps, images=images, batch=plan.batch)
    rows[: len(steps)] = of_steps[:, :1]
    rows[: len(steps), : plan.batch] = of_steps
    return rows


def _resident(
    images: Stack, wanted: Iterable[np.ndarray], plan: Plan, mesh: Mesh
) -> Generator[tuple[Array, Array], None, None]:
    """All images, sent once to every device."""
    everything = jax.device_put(images.take(range(len(images))), NamedSharding(mesh, Spec()))
    for rows in wanted:
        yield everything, jax.device_put(rows, NamedSharding(mesh, Spec(None, "images")))


def _streamed(
    images: Stack, wanted: Iterable[np.ndarray], plan: Plan, mesh: Mesh
) -> Generator[tuple[Array, Array], None, None]:
    """The images of each call, read ahead by threads; every device gets its own."""
    steps, devices, local = plan.steps, mesh.size, plan.local
    own = np.arange(steps * local, dtype=np.int32).reshape(steps, 1, local)
    rows = jax.device_put(
        np.repeat(own, devices, 1).reshape(steps, -1), NamedSharding(mesh, Spec(None, "images"))
    )
    by_device = (one.reshape(steps, devices, local).swapaxes(0, 1).reshape(-1) for one in wanted)
    with closing(images.batches(by_device)) as batches:
        for batch in batches:
            yield jax.device_put(batch, NamedSharding(mesh, Spec("images"))), rows


def _told(
    steps: range,
    losses: Array,
    drawn: Array | None,
    *,
    stage: str,
    seed: int,
    images: int,
    knobs: Any,
    plan: Plan,
    asked: Running,
) -> Iterator[Progress]:
    """Say how the steps of a call went, once they are done; the last one shows the picture."""
    of_steps = np.asarray(losses)[: len(steps), : plan.batch]
    for step, of_images in zip(steps, of_steps, strict=True):
        bad = np.flatnonzero(~np.isfinite(of_images))
        if len(bad):
            of_step = chosen(seed, [step], images=images, batch=plan.batch)[0]
            raise TrainingError(
                f"found a loss of {of_images[bad[0]]} in step {step + 1} of {plan.total} at learning rate "
                f"{float(rate(knobs, plan.total)(step)):.3g}; expected a finite number. Lower learning_rate or clip",
                image=int(of_step[bad[0]]),
            )
        picture = None if drawn is None or step + 1 < steps.stop else np.asarray(drawn)
        yield Progress(stage, step + 1, plan.total, float(of_images.mean()), picture, asked)


def _keep(keeper: StateKeeper | None, state: Any) -> None:
    """Keep a state, unless it was just handed to the next call or has diverged: the next report will say so."""
    if keeper is None or state.step.is_deleted():
        return
    arrays = _flattened(state)
    if all(np.isfinite(one).all() for one in arrays.values()):
        keeper.save(arrays)


def _flattened(state: Any) -> dict[str, np.ndarray]:
    return {
        jax.tree_util.keystr(path): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    }


def _unflattened(like: Any, arrays: Mapping[str, np.ndarray]) -> Any:
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
    return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(like), leaves)
