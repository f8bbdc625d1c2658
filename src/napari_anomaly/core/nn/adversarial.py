"""Networks trained against each other: a step in which each moves down a loss of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from napari_anomaly.core.nn.augment import augmented
from napari_anomaly.core.nn.steps import Images, Plan, State, begun, by_parts, moved, places

Contest = Callable[[Any, Images, Key[Array, " n"]], Float[Array, " n"]]
"""Networks by the names of their players, images and a key for each image to one loss per image."""


@dataclass(frozen=True)
class Player:
    """One of several networks that are trained together.

    Attributes
    ----------
    name : str
    graph : nnx.GraphDef
    loss : Contest or None
        What this network alone is moved by; a hashable value, for it is compiled for. None: it stays as it is.
    every : int
        It moves in every such step; those in between are the others'.
    """

    name: str
    graph: Any
    loss: Contest | None
    every: int = 1


@partial(jax.tree_util.register_dataclass, data_fields=["step", "sides"], meta_fields=[])
@dataclass(frozen=True)
class Sides:
    """Steps done, and the state of each player, which counts its own moves; or how their arrays lie, as in a State."""

    step: Any
    sides: tuple[State, ...]


@dataclass(frozen=True)
class Adversaries:
    """The step in which several networks move, each by its own loss; told is the loss of the first.

    Losses are means over the whole batch of losses per image, and every image's randomness is drawn by its own key: how
    many devices share the batch changes nothing but rounding.

    Attributes
    ----------
    players : tuple of Player
        The first moves in every step.
    together : bool
        True: all move from where they were before the step, with the same draws. False: one after the other, each
        against what those before it have become, with draws of its own.
    """

    players: tuple[Player, ...]
    together: bool = False

    def begun(self, weights: tuple[nnx.State[Any, Any], ...], knobs: Any, devices: int) -> Sides:
        """State before the first step; a player that stays has no optimiser and no mean."""
        sides = [
            begun(one, knobs, devices) if player.loss else _still(one)
            for player, one in zip(self.players, weights, strict=True)
        ]
        return Sides(jnp.zeros((), jnp.int32), tuple(sides))

    def __call__(
        self, state: Sides, batch: Images, key: Array, *, knobs: Any, plan: Plan
    ) -> tuple[Sides, Float[Array, " m"]]:
        """Move whoever is due."""
        keys, share = places(key, state.step, plan)
        changing, own = jnp.unstack(jax.vmap(jax.random.split)(keys), axis=1)
        images = augmented(batch, changing, knobs)
        sides, told = list(state.sides), jnp.zeros(len(batch))
        for k, player in enumerate(self.players):
            if player.loss is None:
                continue
            drawn = (
                own if self.together else jax.vmap(lambda one, k=k: jax.random.fold_in(one, k))(own)
            )
            against = state.sides if self.together else tuple(sides)
            move = partial(self._moved, k, data=(images, drawn, share), knobs=knobs, plan=plan)
            if player.every == 1:
                sides[k], losses = move(against)
            else:
                due = (state.step + 1) % player.every == 0
                sides[k], losses = jax.lax.cond(due, move, partial(_stayed, k, share), against)
            told = losses if k == 0 else told
        return Sides(state.step + 1, tuple(sides)), told

    def _moved(
        self, k: int, against: tuple[State, ...], *, data: Any, knobs: Any, plan: Plan
    ) -> tuple[State, Array]:
        """Player k after a move against the others, and its losses."""
        player = self.players[k]

        def summed(weights: Any, images: Images, keys: Array, share: Array) -> tuple[Array, Array]:
            all_weights = [weights if j == k else side.weights for j, side in enumerate(against)]
            networks = {
                one.name: nnx.merge(one.graph, theirs)
                for one, theirs in zip(self.players, all_weights, strict=True)
            }
            assert player.loss is not None
            losses = player.loss(networks, images, keys)
            return (losses * share).sum(), losses

        gradient, losses = by_parts(
            jax.grad(summed, has_aux=True), against[k].weights, data, plan.parts
        )
        return moved(against[k], gradient, knobs, max(1, plan.total // player.every)), losses


def _still(weights: nnx.State[Any, Any]) -> State:
    """State of a player that stays; its own copies, for states are used up."""
    return State(jnp.zeros((), jnp.int32), jax.tree.map(jnp.copy, weights), (), ())


def _stayed(k: int, share: Array, against: tuple[State, ...]) -> tuple[State, Array]:
    return against[k], jnp.zeros_like(share)
