"""Networks from knobs: fresh ones from a seed, trained ones from named arrays."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array

from napari_anomaly.core.errors import CheckpointError
from napari_anomaly.core.nn.blocks import Grid
from napari_anomaly.core.nn.compiling import QUICKLY

Architecture = Callable[..., nnx.Module]
"""``architecture(knobs, grid, rngs=...)``: a module class with ``nnx.Param`` weights and no other state."""

_LARGEST_SIDE = 8192


def fresh(architecture: Architecture, knobs: Any, grid: Grid, seed: int) -> nnx.Module:
    """Build a network with random weights, under one compilation instead of one for each layer."""
    graph, _ = _blank(architecture, knobs, grid)
    network: nnx.Module = nnx.merge(
        graph, _weights(architecture, knobs, grid, jax.random.key(seed))
    )
    return network


@partial(jax.jit, static_argnames=("architecture", "knobs", "grid"), compiler_options=QUICKLY)
def _weights(architecture: Architecture, knobs: Any, grid: Grid, key: Array) -> nnx.State[Any, Any]:
    return nnx.state(architecture(knobs, grid, rngs=nnx.Rngs(params=key)), nnx.Param)


def _blank(architecture: Architecture, knobs: Any, grid: Grid) -> tuple[Any, nnx.State[Any, Any]]:
    """Graph, and weights as shapes alone."""
    graph, shapes = nnx.split(nnx.eval_shape(lambda: architecture(knobs, grid, rngs=nnx.Rngs(0))))
    return graph, shapes


def to_arrays(weights: nnx.State[Any, Any], grid: Grid) -> dict[str, np.ndarray]:
    """Name the weights by their place in the network; ``grid`` goes along as ``(y, x, c)``."""
    named = {_name(path): np.asarray(one[...]) for path, one in nnx.to_flat_state(weights)}
    return named | {"grid": np.asarray(grid, np.float32)}


def from_arrays(
    architecture: Architecture, knobs: Any, arrays: Mapping[str, np.ndarray]
) -> tuple[Any, nnx.State[Any, Any], Grid]:
    """Rebuild graph, weights and grid from :func:`to_arrays`.

    Raises
    ------
    CheckpointError
        Naming the first array that is missing, superfluous, of another shape or type, or not finite.
    """
    grid = _grid_of(arrays)
    graph, shapes = _blank(architecture, knobs, grid)
    flat = list(nnx.to_flat_state(shapes))
    expected = {_name(path): one.get_value() for path, one in flat}
    found = {name: one for name, one in arrays.items() if name != "grid"}
    if wrong := sorted(set(expected) ^ set(found)):
        raise CheckpointError(
            f"found weights {', '.join(sorted(found)[:3])}, ...; expected those of the recipe (differing: {wrong[0]})"
        )
    for name, shape in expected.items():
        one = found[name]
        if one.shape != shape.shape or one.dtype != np.float32 or not np.isfinite(one).all():
            raise CheckpointError(
                f"found {name} with shape {one.shape}, {one.dtype}; expected {shape.shape}, finite float32"
            )
    placed = jax.device_put(found)  # jnp.asarray would compile a copy for each shape
    filled = [(path, nnx.Param(placed[_name(path)])) for path, _ in flat]
    return graph, nnx.from_flat_state(filled), grid


def _name(path: tuple[Any, ...]) -> str:
    return ".".join(map(str, path))


def _grid_of(arrays: Mapping[str, np.ndarray]) -> Grid:
    found = arrays.get("grid")
    if found is None or found.shape != (3,) or not np.isfinite(found).all():
        raise CheckpointError(
            "found no usable 'grid'; expected the (y, x, c) the network was trained on"
        )
    height, width, channels = map(int, found)
    if not (min(height, width) >= 8 and max(height, width) <= _LARGEST_SIDE and channels in (1, 3)):
        raise CheckpointError(
            f"found the grid {(height, width, channels)}; expected sides of 8 to {_LARGEST_SIDE} and 1 or 3 channels"
        )
    return height, width, channels
