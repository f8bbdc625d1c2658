"""Compiled functions, kept from one process to the next in a folder that is the user's alone."""

import hashlib
import os
import platform
import stat
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax
import platformdirs

LARGEST = 256
"""MiB that may be kept, unless the environment's ``NAPARI_ANOMALY_CACHE_MIB`` says otherwise; what was written first
goes first."""

QUICKLY = {"xla_backend_optimization_level": 0}
"""Compiler options for what runs once: a tenth of the time to compile, several times that to run."""

_QUIET_SINCE = (
    0,
    10,
    2,
)  # JAX before it writes lines of errors for every kept function on CPUs with AVX-512
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def cache() -> None:
    """Let JAX keep what it compiles, unless it was told where, or told not to (``JAX_ENABLE_COMPILATION_CACHE``).

    Kept code is run, so the folder must belong to the user, with nobody else allowed to write there; otherwise nothing
    is kept, and nothing is said: it only costs seconds. Code for one type of processor is not taken on another.
    """
    config: Any = jax.config
    if config.jax_compilation_cache_dir or not config.jax_enable_compilation_cache:
        return
    most = _most()
    if jax.__version_info__ < _QUIET_SINCE or not most:
        return
    folder = platformdirs.user_cache_path("napari-anomaly") / "compiled" / _processor()
    if not _private(folder):
        return
    _prune(folder.parent, most)
    # A file that another process is just writing, or that a full disk cut short, is compiled again: no news to a user.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache entry")
    config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    config.update("jax_compilation_cache_dir", str(folder))


def _most() -> int:
    """Bytes that may be kept; 0 keeps none."""
    said = os.environ.get("NAPARI_ANOMALY_CACHE_MIB", "")
    return (int(said) if said.isdecimal() else LARGEST) * 2**20


def _private(folder: Path) -> bool:
    """Make the folder where it is missing; return whether only this user may change it, or put another in its place."""
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not hasattr(os, "getuid"):  # Windows: a user's folders are that user's
            return True
        here, *above = [folder.lstat(), *(parent.stat() for parent in folder.resolve().parents)]
        mine = stat.S_ISDIR(here.st_mode) and here.st_uid == os.getuid()
        return mine and not here.st_mode & _OTHERS_WRITE and all(map(_trusted, above))
    return False


def _trusted(parent: os.stat_result) -> bool:
    """Whether nobody but this user and the system can rename what lies in a folder."""
    open_to_all = parent.st_mode & stat.S_IWOTH and not parent.st_mode & stat.S_ISVTX
    return parent.st_uid in (0, os.getuid()) and not open_to_all


def _processor() -> str:
    """Name that differs between types of processor: XLA takes up code without refusing what this one cannot run."""
    words = [platform.machine(), os.environ.get("PROCESSOR_IDENTIFIER", "")]
    with suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
        first = (line for line in lines if line.startswith(("model name", "flags", "Features")))
        words += [next(first, ""), next(first, "")]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


def _prune(folder: Path, most: int) -> None:
    """Remove what was written first until ``most`` bytes are left; other processes may do the same at once."""
    total = 0
    for path, found in sorted(_files(folder), key=lambda one: -one[1].st_mtime):
        total += found.st_size
        if total > most:
            with suppress(OSError):
                path.unlink()


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for path in folder.rglob("*-cache"):
        with suppress(OSError):
            yield path, path.lstat()
