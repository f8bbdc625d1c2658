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
    before = _used(device)
    jax.clear_caches()
    gc.collect()
    after = _used(device)
    again = "what is used next compiles anew"
    if before is None or after is None:
        return f"no GPU in use; compiled code was forgotten: {again}"
    return (
        f"{(before - after) / 2**20:.0f} MB of GPU memory released, {after / 2**20:.0f} MB "
        f"still in use, by detectors and images; {again}"
    )


def _used(device: object) -> int | None:
    """Bytes that arrays and code take on a device; None where it does not tell, as a CPU does."""
    stats = getattr(device, "memory_stats", lambda: None)() or {}
    return stats.get("bytes_in_use")
