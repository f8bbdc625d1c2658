"""Each device updates its share of the weights: no device does another's work, nor keeps another's optimiser state.

As the first stage of ZeRO, doi:10.1109/SC41405.2020.00024.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Float

Vectors = tuple[Float[Array, " _"], ...]
"""All weights, or numbers that belong to them: one vector for each large array, one for all others."""

AXIS = "images"
"""The mesh's only axis."""

_LARGE = 2**18
"""Numbers of an array that is worth loops of its own: joining it to the others would copy it."""

_ROUND = 64 * 3 * 5 * 7
"""Vectors are filled up to a multiple of it, which 1 to 8, and 16, 32 or 64, devices divide: a training that was
interrupted on some of them goes on with others."""


def bundled(tree: Any, devices: int) -> Vectors:
    """Vectors of a tree of arrays, each of a length that the devices divide."""
    leaves = jax.tree.leaves(tree)
    large = [one.reshape(-1) for one in leaves if one.size >= _LARGE]
    small = [one.reshape(-1) for one in leaves if one.size < _LARGE]
    whole = math.lcm(_ROUND, devices)
    return tuple(
        jnp.pad(one, (0, -one.size % whole))
        for one in [*large, *([jnp.concatenate(small)] if small else [])]
    )


def unbundled(vectors: Sequence[Array], like: Any) -> Any:
    """Tree of the arrays that :func:`bundled` made vectors of; ``like`` has their shapes."""
    leaves, structure = jax.tree.flatten(like)
    large = iter(vectors)
    small, at, result = vectors[-1], 0, []
    for one in leaves:
        if one.size >= _LARGE:
            result.append(next(large)[: one.size].reshape(one.shape))
        else:
            result.append(small[at : at + one.size].reshape(one.shape))
            at += one.size
    return jax.tree.unflatten(structure, result)


def own(vectors: Vectors) -> Vectors:
    """Cut this device's share out of vectors that all devices hold."""
    here, devices = lax.axis_index(AXIS), lax.axis_size(AXIS)
    return tuple(
        lax.dynamic_slice_in_dim(one, here * (one.size // devices), one.size // devices)
        for one in vectors
    )


def summed(vectors: Vectors) -> Vectors:
    """Sum over the devices; each gets its share."""
    return tuple(lax.psum_scatter(one, AXIS, tiled=True) for one in vectors)


def gathered(shares: Vectors) -> Vectors:
    """Join all devices' shares."""
    return tuple(lax.all_gather(one, AXIS, tiled=True) for one in shares)


def clipped(shares: Vectors, most: float | None) -> Vectors:
    """Scale gradients whose norm, over all devices' shares, exceeds ``most``."""
    if most is None:
        return shares
    norm = jnp.sqrt(lax.psum(optax.tree.norm(shares, squared=True), AXIS))
    factor = jnp.where(norm < most, 1.0, most / norm)
    return tuple(one * factor for one in shares)
