"""What the devices do in one call: a few steps of training, compiled as one program over all of them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as Spec
from jaxtyping import Array, Float, Int, Key

from napari_anomaly.core.nn.augment import augmented
from napari_anomaly.core.nn.shares import (
    AXIS,
    bundled,
    clipped,
    gathered,
    own,
    summed,
    unbundled,
)

Images = Float[Array, "m y x c"]
Loss = Callable[[Any, Float[Array, "n y x c"], Key[Array, " n"]], Float[Array, " n"]]
"""Model, images and a key for each image to one loss per image."""

JointLoss = Callable[
    [Any, Float[Array, "n y x c"], Key[Array, " n"], Float[Array, " n"]], Float[Array, " n"]
]
"""The same, given also the share of each image in the step's mean: it may look at all images by :func:`over_batch`."""


class Jointly(NamedTuple):
    """Marks a loss that looks at all images of a step together, so that they cannot go through in parts."""

    loss: JointLoss


def over_batch(values: Float[Array, "n ..."], share: Float[Array, " n"]) -> Float[Array, "..."]:
    """Mean of what belongs to each image over all images of the step, on all devices; inside a :class:`Jointly`."""
    mean: Array = jax.lax.psum(jnp.tensordot(share, values, 1, precision="highest"), AXIS)
    return mean


@runtime_checkable
class Step(Protocol):
    """What one step of training does; a hashable value, for it is compiled for."""

    def __call__(
        self, state: Any, batch: Images, key: Array, *, knobs: Any, plan: "Plan"
    ) -> tuple[Any, Float[Array, " m"]]:
        """Take a step on this device's share of a batch.

        Parameters
        ----------
        state : pytree
            The same on all devices; has ``step``, the number of steps done, which grows by one.
        batch : array, ``(plan.local, y, x, c)``
        key : key
            Of the training; :func:`places` gives those of the step's images.

        Returns
        -------
        The new state, the same on all devices, and a loss of each image ``(plan.local,)``
        """


_AT_ONCE = 2**17
"""Pixels of a CPU's part of a batch that go through the network together: what they become fits its cache."""

_CALL = 2**22
"""Pixels trained on in one call: short enough to be interrupted, long enough to make fetching its memory cheap."""

_CALL_RESIDENT = 2**27
"""The same where all images stay on a GPU."""

_MOST_STEPS = 64


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["step", "weights", "mean", "optimiser"],
    meta_fields=[],
)
@dataclass(frozen=True)
class State:
    """Where a training is; or, of the same structure, how each of these arrays lies on the devices.

    Attributes
    ----------
    step : int32 array, ``()``
        Steps done; the same on all devices.
    weights : nnx.State
        The same on all devices.
    mean : Vectors
        Running mean of the weights; each device holds its share.
    optimiser : tree
        The optimiser's state of such vectors; each device holds its share.
    """

    step: Any
    weights: Any
    mean: Any
    optimiser: Any

    def averaged(self) -> Any:
        """Return the running mean as weights."""
        return unbundled(self.mean, self.weights)

    def specs(self, devices: int) -> "State":
        """How each array lies on the devices; for one alone as JAX says it, so that nothing compiles twice."""
        share = Spec(AXIS) if devices > 1 else Spec()
        lying: State = jax.tree.map(lambda one: share if one.ndim else Spec(), self)
        return replace(lying, weights=jax.tree.map(lambda _: Spec(), self.weights))


def lying(state: Any, devices: int) -> Any:
    """How each array of a state lies on the devices: of what is no network's state, all on each."""
    return jax.tree.map(
        lambda one: one.specs(devices) if isinstance(one, State) else Spec(),
        state,
        is_leaf=lambda one: isinstance(one, State),
    )


def begun(weights: nnx.State[Any, Any], knobs: Any, devices: int) -> State:
    """State of a network before the first step."""
    mean = bundled(weights, devices)
    return State(jnp.zeros((), jnp.int32), weights, mean, optimiser_of(knobs, 1).init(mean))


@dataclass(frozen=True)
class Plan:
    """How the images of a step fall to devices, and steps to calls.

    Attributes
    ----------
    total : int
        Steps of the whole training.
    batch : int
        Images of a step.
    local : int
        Places for them on each device; what exceeds the batch is filled up and does not count.
    parts : int
        Of a device's images, that go through the network one after the other.
    steps : int
        Steps in one call.
    resident : bool
        Whether all images stay on every device.
    compute : str
        Type that the network is computed in; weights and losses are float32.
    """

    total: int
    batch: int
    local: int
    parts: int
    steps: int
    resident: bool
    compute: str


def plan_of(
    shape: tuple[int, ...],
    knobs: Any,
    mesh: Mesh,
    *,
    resident: bool,
    compute: str = "float32",
    whole: bool = False,
) -> Plan:
    """Plan the training on images of a shape ``(n, y, x, c)``; ``whole`` batches do not fall into parts."""
    platform = mesh.devices.flat[0].platform
    batch = min(knobs.batch, shape[0])
    pixels = shape[1] * shape[2]
    local = -(-batch // mesh.size)
    parts = 1
    if platform == "cpu" and not whole:
        parts = -(-local // max(1, _AT_ONCE // pixels))
        local = -(-local // parts) * parts
    total = steps_of(knobs, shape[0])
    most = _CALL if platform == "cpu" or not resident else _CALL_RESIDENT
    steps = max(1, min(_MOST_STEPS, total, most // (batch * pixels)))
    return Plan(total, batch, local, parts, steps, resident, compute)


def steps_of(knobs: Any, images: int) -> int:
    """How many steps a training takes."""
    per_epoch = -(-images // min(knobs.batch, images))
    return int(knobs.duration * per_epoch) if knobs.unit == "epochs" else int(knobs.duration)


def rate(knobs: Any, total: int) -> optax.Schedule:
    """Learning rate by step."""
    if knobs.schedule == "constant":
        return optax.constant_schedule(knobs.learning_rate)
    warm = min(50, total // 10)
    return optax.warmup_cosine_decay_schedule(0.0, knobs.learning_rate, warm, max(total, warm + 1))


def optimiser_of(knobs: Any, total: int) -> optax.GradientTransformation:
    """Adam or RMSProp, for gradients that are clipped; weight decay is a gradient, as in Adam's days before AdamW."""
    if knobs.optimiser == "adam":
        moves = optax.adam(rate(knobs, total), knobs.beta1, knobs.beta2)
    else:
        moves = optax.rmsprop(rate(knobs, total), knobs.beta2)
    if not knobs.weight_decay:
        return moves
    return optax.chain(optax.add_decayed_weights(knobs.weight_decay), moves)


def chosen(
    seed: int, steps: Iterable[int], *, images: int, batch: int
) -> Int[np.ndarray, "steps batch"]:
    """Which images the steps take; on the host, so that nobody waits for a device.

    Each epoch is a fresh order, its last batch filled up from its beginning.
    """
    per_epoch = -(-images // batch)

    def of(step: int) -> Int[np.ndarray, " batch"]:
        order = _order(seed, step // per_epoch, images)
        return order[(step % per_epoch * batch + np.arange(batch)) % images]

    return np.stack([of(step) for step in steps])


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, images: int) -> Int[np.ndarray, " n"]:
    return np.random.default_rng((seed, epoch)).permutation(images).astype(np.int32)


@partial(jax.jit, static_argnames=("step", "knobs", "plan", "mesh"), donate_argnames="state")
def take_steps(
    state: Any,
    images: Images,
    rows: Int[Array, "steps place"],
    count: Array,
    key: Array,
    *,
    step: Step,
    knobs: Any,
    plan: Plan,
    mesh: Mesh,
) -> tuple[Any, Float[Array, "steps place"]]:
    """Take ``count`` steps, no more than there are rows; ``state`` is used up.

    Parameters
    ----------
    images : array, ``(m, y, x, c)``
        All images on every device, or each device's own share of those that the rows name.
    rows : array, ``(steps, devices * local)``
        Each device's columns name rows of the images it holds.

    Returns
    -------
    The new state, and the losses ``(steps, devices * local)``
    """
    one = partial(step, knobs=knobs, plan=plan)

    def on_each(state: Any, images: Images, rows: Array, count: Array, key: Array) -> Any:
        def body(k: Array, before: tuple[Any, Array]) -> tuple[Any, Array]:
            state, losses = one(before[0], images[rows[k]], key)
            return state, before[1].at[k].set(losses)

        return jax.lax.fori_loop(0, count, body, (state, jnp.zeros(rows.shape)))

    split, lies = Spec(None, AXIS), lying(state, mesh.size)
    result: tuple[Any, Array] = jax.shard_map(
        on_each,
        mesh=mesh,
        in_specs=(lies, Spec() if plan.resident else Spec(AXIS), split, Spec(), Spec()),
        out_specs=(lies, split),
        check_vma=False,
    )(state, images, rows, count, key)
    return result


@dataclass(frozen=True)
class Descent:
    """The step that takes one network down one loss.

    Attributes
    ----------
    graph : nnx.GraphDef
    loss : Loss
        A module-level function, so that it compiles once.
    """

    graph: Any
    loss: Loss | Jointly

    def __call__(
        self, state: State, batch: Images, key: Array, *, knobs: Any, plan: Plan
    ) -> tuple[State, Float[Array, " m"]]:
        """Take a step of the knobs' optimiser."""
        return _one_step(
            state, batch, key, graph=self.graph, loss=self.loss, knobs=knobs, plan=plan
        )


def _one_step(
    state: State,
    batch: Images,
    key: Array,
    *,
    graph: Any,
    loss: Loss | Jointly,
    knobs: Any,
    plan: Plan,
) -> tuple[State, Float[Array, " m"]]:
    """One step on this device's share of the images: the new state, the same on all, and its losses."""
    keys, share = places(key, state.step, plan)

    def weighted(weights: Any, images: Images, keys: Array, share: Array) -> tuple[Array, Array]:
        cast = jax.tree.map(lambda one: one.astype(plan.compute), weights)
        changing, drawn = jnp.unstack(jax.vmap(jax.random.split)(keys), axis=1)
        data = nnx.merge(graph, cast), augmented(images, changing, knobs), drawn
        losses = loss.loss(*data, share) if isinstance(loss, Jointly) else loss(*data)
        return (losses * share).sum(), losses

    gradient, losses = by_parts(
        jax.grad(weighted, has_aux=True), state.weights, (batch, keys, share), plan.parts
    )
    return moved(state, gradient, knobs, plan.total), losses


def places(key: Array, step: Array, plan: Plan) -> tuple[Key[Array, " m"], Float[Array, " m"]]:
    """Key of each of this device's images in a step, and what its loss counts in the batch's mean."""
    place = jax.lax.axis_index(AXIS) * plan.local + jnp.arange(plan.local)
    step_key = jax.random.fold_in(key, step)
    keys = jax.vmap(partial(jax.random.fold_in, step_key))(place)
    return keys, (place < plan.batch) / plan.batch


def moved(state: State, gradient: Any, knobs: Any, total: int) -> State:
    """Move a network against its gradient, of which every device has a share to add."""
    devices = jax.lax.axis_size(AXIS)
    shares = clipped(summed(bundled(gradient, devices)), knobs.clip)
    weights = own(bundled(state.weights, devices))
    updates, optimiser = optimiser_of(knobs, total).update(shares, state.optimiser, weights)
    weights = optax.apply_updates(weights, updates)
    # short memory at first
    decay = jnp.minimum(knobs.average, (1 + state.step) / (10 + state.step))
    mean = optax.incremental_update(weights, state.mean, 1 - decay)
    everywhere = unbundled(gathered(weights), state.weights)
    return State(state.step + 1, everywhere, mean, optimiser)


def by_parts(gradient: Any, weights: Any, data: Any, parts: int) -> tuple[Any, Array]:
    """Gradient and losses of images that go through the network in parts."""
    if parts == 1:
        result: tuple[Any, Array] = gradient(weights, *data)
        return result

    def body(total: Any, part: Any) -> tuple[Any, Array]:
        one, losses = gradient(weights, *part)
        return jax.tree.map(jnp.add, total, one), losses

    cut = jax.tree.map(lambda one: one.reshape(parts, -1, *one.shape[1:]), data)
    begin, first = gradient(weights, *jax.tree.map(lambda one: one[0], cut))
    total, others = jax.lax.scan(body, begin, jax.tree.map(lambda one: one[1:], cut))
    return total, jnp.concatenate([first, others.reshape(-1)])
