"""What the computation runs on."""

import jax


def device_kind() -> str:
    """Return the kind of the first device, as JAX calls it: ``cpu``, or the name of a GPU."""
    return str(jax.devices()[0].device_kind)
