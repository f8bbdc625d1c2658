"""What computes, and how much of it: the graphics card is shared, as napari draws on it."""

import os
from collections.abc import MutableMapping
from threading import Event

from napari_anomaly.ui.preferences import Preferences, preferences

_FRACTION = "XLA_CLIENT_MEM_FRACTION"
_CHOICES = (
    "XLA_PYTHON_CLIENT_PREALLOCATE",
    "XLA_PYTHON_CLIENT_MEM_FRACTION",
    _FRACTION,
    "XLA_PYTHON_CLIENT_ALLOCATOR",
)
_CACHE = "NAPARI_ANOMALY_CACHE_MIB"

_begun = Event()
"""Set once JAX is at work in this process: only then may a page ask it anything."""


def share(
    environment: MutableMapping[str, str] = os.environ, wanted: Preferences | None = None
) -> None:
    """Make JAX ready to compute as the preferences say; what the environment says goes before them.

    JAX looks only once, so call it before JAX computes anything. Unless the user chose otherwise it
    does not take most of the card's memory at once.

    Raises
    ------
    DeviceError
        A GPU is wanted and there is none.
    """
    wanted = leave_room(environment, wanted)
    if wanted.device != "auto":
        from napari_anomaly.core.nn.devices import use  # loads JAX

        use(wanted.device)


def leave_room(
    environment: MutableMapping[str, str] = os.environ, wanted: Preferences | None = None
) -> Preferences:
    """Do the part of `share` that needs no JAX and reaches processes of its own, and return the preferences."""
    wanted = wanted or preferences()
    if not any(name in environment for name in _CHOICES):
        environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
        if wanted.gpu_memory:
            environment[_FRACTION] = f"{wanted.gpu_memory:.2f}"
    if wanted.cache != Preferences.cache:
        environment.setdefault(_CACHE, str(wanted.cache))
    return wanted


def begin() -> str:
    """Start JAX as `share` says, and name the device."""
    share()
    from napari_anomaly.core.nn.devices import device_kind

    kind = device_kind()
    _begun.set()
    return device_name(kind)


def device_in_words() -> str:
    """Name the device and its memory, once JAX is at work; asking earlier does not start it."""
    if not _begun.is_set():
        return "known when work starts"
    from napari_anomaly.core.nn.devices import device_kind, memory

    name, used = device_name(device_kind()), memory()
    return name if used is None else f"{name}, {used[0]:.1f} of {used[1]:.1f} GB used"


def device_name(kind: str) -> str:
    """Name a device for people, by the kind that JAX tells."""
    return "CPU" if kind == "cpu" else kind
