"""What the computation runs on."""

from typing import Literal

import jax

from napari_anomaly.core.errors import AnomalyError


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
        jax.config.update("jax_platforms", "cpu")  # type: ignore[no-untyped-call]
    elif device == "gpu":
        jax.config.update("jax_platforms", None)  # type: ignore[no-untyped-call]
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
