"""What the devices do in one call: a few steps of training, compiled as one program over all of them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as Spec
from jaxtyping import Array, Float, Int, Key

from napari_anomaly.core.nn.augment import augmented

Images = Float[Array, "m y x c"]
Loss = Callable[[Any, Float[Array, "n y x c"], Key[Array, " n"]], Float[Array, " n"]]
"""Model, images and a key for each image to one loss per image."""

_AT_ONCE = 2**17
"""Pixels of a CPU's part of a batch that go through the network together: what they become fits its cache."""

_CALL = 2**20
"""Pixels trained on in one call: short enough to be interrupted, long enough to cost no more than its steps."""

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
    """Steps done, weights, their running mean as one vector, and the optimiser's own state of such vectors."""

    step: Array
    weights: nnx.State[Any, Any]
    mean: Float[Array, " w"]
    optimiser: Any


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
    shape: tuple[int, ...], knobs: Any, mesh: Mesh, *, resident: bool, compute: str = "float32"
) -> Plan:
    """Plan the training on images of a shape ``(n, y, x, c)``."""
    platform = mesh.devices.flat[0].platform
    batch = min(knobs.batch, shape[0])
    pixels = shape[1] * shape[2]
    local = -(-batch // mesh.size)
    parts = 1
    if platform == "cpu":
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
    """Adam, after clipping where wanted; weight decay is a gradient, as in Adam's days before AdamW."""
    adam = optax.adam(rate(knobs, total))
    if knobs.weight_decay:
        adam = optax.chain(optax.add_decayed_weights(knobs.weight_decay), adam)
    return adam if knobs.clip is None else optax.chain(optax.clip_by_global_norm(knobs.clip), adam)


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


@partial(
    jax.jit, static_argnames=("graph", "loss", "knobs", "plan", "mesh"), donate_argnames="state"
)
def take_steps(
    state: State,
    images: Images,
    rows: Int[Array, "steps place"],
    count: Array,
    key: Array,
    *,
    graph: Any,
    loss: Loss,
    knobs: Any,
    plan: Plan,
    mesh: Mesh,
) -> tuple[State, Float[Array, "steps place"]]:
    """Take ``count`` steps, no more than there are rows; ``state`` is used up.

    Parameters
    ----------
    images : array, ``(m, y, x, c)``
        All images on every device, or each device's own share of those that the rows name.
    rows : array, ``(steps, devices * local)``
        Each device's columns name rows of the images it holds.

    Returns
    -------
    State, and the losses ``(steps, devices * local)``
    """
    one = partial(_one_step, graph=graph, loss=loss, knobs=knobs, plan=plan)

    def on_each(state: State, images: Images, rows: Array, count: Array, key: Array) -> Any:
        def body(k: Array, before: tuple[State, Array]) -> tuple[State, Array]:
            state, losses = one(before[0], images[rows[k]], key)
            return state, before[1].at[k].set(losses)

        return jax.lax.fori_loop(0, count, body, (state, jnp.zeros(rows.shape)))

    split = Spec(None, "images")
    result: tuple[State, Array] = jax.shard_map(
        on_each,
        mesh=mesh,
        in_specs=(Spec(), Spec() if plan.resident else Spec("images"), split, Spec(), Spec()),
        out_specs=(Spec(), split),
        check_vma=False,
    )(state, images, rows, count, key)
    return result


def _one_step(
    state: State, batch: Images, key: Array, *, graph: Any, loss: Loss, knobs: Any, plan: Plan
) -> tuple[State, Float[Array, " m"]]:
    """One step on this device's share of the images: the new state, the same on all, and its losses."""
    place = jax.lax.axis_index("images") * plan.local + jnp.arange(plan.local)
    step_key = jax.random.fold_in(key, state.step)
    keys = jax.vmap(partial(jax.random.fold_in, step_key))(place)
    share = (place < plan.batch) / plan.batch

    def summed(weights: Any, images: Images, keys: Array, share: Array) -> tuple[Array, Array]:
        cast = jax.tree.map(lambda one: one.astype(plan.compute), weights)
        changing, own = jnp.unstack(jax.vmap(jax.random.split)(keys), axis=1)
        losses = loss(nnx.merge(graph, cast), augmented(images, changing, knobs), own)
        return (losses * share).sum(), losses

    gradient, losses = _by_parts(
        jax.grad(summed, has_aux=True), state.weights, (batch, keys, share), plan.parts
    )
    # as one vector: one sum over the devices, and one loop to compile instead of one for each layer
    (gradient, _), (weights, unravel) = ravel_pytree(gradient), ravel_pytree(state.weights)
    updates, optimiser = optimiser_of(knobs, plan.total).update(
        jax.lax.psum(gradient, "images"), state.optimiser, weights
    )
    weights = optax.apply_updates(weights, updates)
    decay = jnp.minimum(
        knobs.average, (1 + state.step) / (10 + state.step)
    )  # short memory at first
    mean = optax.incremental_update(weights, state.mean, 1 - decay)
    return State(state.step + 1, unravel(weights), mean, optimiser), losses


def _by_parts(gradient: Any, weights: Any, data: Any, parts: int) -> tuple[Any, Array]:
    """Gradient and losses of images that go through the network in parts."""
    if parts == 1:
        result: tuple[Any, Array] = gradient(weights, *data)
        return result

    def body(total: Any, part: Any) -> tuple[Any, Array]:
        one, losses = gradient(weights, *part)
        return jax.tree.map(jnp.add, total, one), losses

    cut = jax.tree.map(lambda one: one.reshape(parts, -1, *one.shape[1:]), data)
    total, losses = jax.lax.scan(body, jax.tree.map(jnp.zeros_like, weights), cut)
    return total, losses.reshape(-1)
