"""The graphics card is shared: napari draws on it."""

import os
from collections.abc import MutableMapping

_CHOICES = (
    "XLA_PYTHON_CLIENT_PREALLOCATE",
    "XLA_PYTHON_CLIENT_MEM_FRACTION",
    "XLA_CLIENT_MEM_FRACTION",
    "XLA_PYTHON_CLIENT_ALLOCATOR",
)


def share(environment: MutableMapping[str, str] = os.environ) -> None:
    """Keep JAX from taking most of the card's memory at once, unless the user chose otherwise.

    Call it before JAX computes anything: it looks only once.
    """
    if not any(name in environment for name in _CHOICES):
        environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"


def device_name(kind: str) -> str:
    """Name a device for people, by the kind that JAX tells."""
    return "CPU" if kind == "cpu" else kind
