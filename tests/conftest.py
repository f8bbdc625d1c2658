"""Array annotations are checked while tests run; window tests are left out, with the reason, where Qt cannot start."""

import gc
import os
import sys

import pytest
from jaxtyping import install_import_hook

# Workers of pytest-xdist get a core each: two JAX processes on the same cores spin against each other.
if (_worker := os.environ.get("PYTEST_XDIST_WORKER")) and hasattr(os, "sched_setaffinity"):
    _cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {_cores[int(_worker[2:]) % len(_cores)]})

# Compiling is most of what tests compute; little optimisation shortens it.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")
# What they compile is not kept where a developer's own work is; those of the cache give themselves a folder.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"

# Before any test imports the package: axis names and dtypes in signatures become checks. An int may pass for a float.
# Not in widgets: Qt asks a slot how many arguments it takes, and a checked function hides that.
_CHECKED = ["core", "ui.layers", "ui.readers", "ui.samples", "ui.writers"]
_CHECK = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
install_import_hook([f"napari_anomaly.{room}" for room in _CHECKED], _CHECK)

from napari_anomaly.ui.launch import WindowError, check_window  # noqa: E402  after the hook

if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


def _why_no_window() -> str | None:
    try:
        check_window(os.environ)
    except WindowError as error:
        return str(error)
    return None


_reason = _why_no_window()
collect_ignore = ["ui"] if _reason else []


def pytest_addoption(pluginmanager):
    """Keep pytest-qt from ending the whole run where Qt cannot be loaded."""
    if _reason:
        pluginmanager.set_blocked("pytest-qt")


def pytest_terminal_summary(terminalreporter):
    """Say what was left out and why."""
    if _reason:
        terminalreporter.section("window tests (tests/ui) were left out")
        terminalreporter.write_line(_reason)


@pytest.fixture(autouse=True, scope="module")
def _compiled_code_goes():
    """Forget what a file of tests compiled: all together it takes gigabytes."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
        gc.collect()
