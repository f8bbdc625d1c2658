"""What the computation runs on."""

import os
from contextlib import suppress
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh

from napari_anomaly.core.errors import AnomalyError
from napari_anomaly.core.nn.compiling import cache

_MOST_CORES = 8  # more devices than that have too few images of a batch each


class DeviceError(AnomalyError, RuntimeError):
    """The wanted device is not there."""


def use(device: Literal["auto", "cpu", "gpu"]) -> None:
    """Choose the device, before anything is computed; goes before what the environment says.

    Parameters
    ----------
    device : {"auto", "cpu", "gpu"}
        auto leaves the choice to JAX: a GPU if it can use one.

    Raises
    ------
    DeviceError
        If there is no GPU that JAX can use.
    """
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    elif device == "gpu":
        jax.config.update("jax_platforms", None)
        try:
            jax.devices("gpu")
        except RuntimeError as error:
            raise DeviceError(
                "found no GPU that JAX can use; expected one. On a machine with an NVIDIA GPU, install "
                "napari-anomaly[cuda12] or napari-anomaly[cuda13]; or compute on the cpu"
            ) from error


def device_kind() -> str:
    """Return the kind of the first device, as JAX calls it: ``cpu``, or the name of a GPU."""
    return str(jax.devices()[0].device_kind)


def memory() -> tuple[float, float] | None:
    """Return how many GB of the first device are used, and how many may be; None of a CPU."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if not stats.get("bytes_limit"):
        return None
    return stats["bytes_in_use"] / 1e9, stats["bytes_limit"] / 1e9


def set_up() -> None:
    """Let JAX keep what it compiles, and use every core: one CPU device for each, as most of its CPU code runs on one.

    Changes nothing once JAX is at work, nor what the user has set.
    """
    cache()
    config: Any = jax.config
    chosen = config.jax_num_cpu_devices > 0
    if not chosen and "host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        with suppress(RuntimeError):  # at work already
            config.update("jax_num_cpu_devices", min(_cores(), _MOST_CORES))


def _cores() -> int:
    """Count the cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        return os.cpu_count() or 1


def mesh_of_all() -> Mesh:
    """Return all devices along one axis, ``images``: each trains on its share of a batch."""
    return Mesh(np.array(jax.local_devices()), ("images",))


def room_for(nbytes: int) -> bool:
    """Return whether arrays of so many bytes may stay on the first device: in a quarter of its memory."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return bool(4 * nbytes <= stats.get("bytes_limit", 0))
