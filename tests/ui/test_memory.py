"""What releasing memory says is what it did."""

import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp

from napari_anomaly.ui.memory import release


def test_nothing_computed_nothing_released(monkeypatch):
    monkeypatch.delitem(sys.modules, "jax")
    assert release() == "nothing to release: nothing was computed yet"


def test_compiled_code_is_forgotten():
    doubled = jax.jit(lambda x: 2 * x)
    doubled(jnp.ones(3))
    assert doubled._cache_size() == 1
    said = release()
    assert doubled._cache_size() == 0
    assert "compiled code was forgotten" in said


def test_a_card_tells_how_much_was_released(monkeypatch):
    used = [{"bytes_in_use": 600 * 2**20}, {"bytes_in_use": 100 * 2**20, "pool_bytes": 700 * 2**20}]
    card = SimpleNamespace(memory_stats=lambda: used.pop(0))
    fake = SimpleNamespace(local_devices=lambda: [card], clear_caches=lambda: None)
    monkeypatch.setitem(sys.modules, "jax", fake)
    said = release()
    assert said.startswith("500 MB of GPU memory released, 100 MB still in use")
    assert "JAX holds 700 MB of the card, used or not, until napari ends" in said
