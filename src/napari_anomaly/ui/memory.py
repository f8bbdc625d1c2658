"""Giving back what computing has taken."""

import gc
import sys


def release() -> str:
    """Forget all compiled code and unused arrays, and say what that gave back.

    Detectors stay: they work as before, and compile anew when next used.
    """
    jax = sys.modules.get("jax")
    if jax is None:
        return "nothing to release: nothing was computed yet"
    device = jax.local_devices()[0]
    before = _told_by(device)
    jax.clear_caches()
    gc.collect()
    after = _told_by(device)
    again = "what is used next compiles anew"
    if "bytes_in_use" not in after:
        return f"no GPU in use; compiled code was forgotten: {again}"
    used = after["bytes_in_use"]
    return (
        f"{(before['bytes_in_use'] - used) / 2**20:.0f} MB of GPU memory released, {used / 2**20:.0f} MB "
        f"still in use, by detectors and images; {again}.{_on_the_pool(after.get('pool_bytes', 0))}"
    )


def _on_the_pool(held: int) -> str:
    """Say what JAX keeps of a card for its next work, and how to do without."""
    if not held:
        return ""
    return (
        f" JAX holds {held / 2**20:.0f} MB of the card, used or not, until napari ends; what is trained in a process "
        "of its own leaves nothing behind"
    )


def _told_by(device: object) -> dict[str, int]:
    """What a device tells of its memory, in bytes; a CPU tells nothing."""
    return getattr(device, "memory_stats", lambda: None)() or {}
