"""A page's clicks on the canvas and its keys, as long as the page lives."""

from collections.abc import Callable, Generator, Mapping
from typing import Any

from app_model.types import KeyBinding
from qtpy.QtWidgets import QWidget

_STILL = 4
"""Pixels of the screen that the mouse may move in a click; more is a drag, which moves the view."""


def follow_clicks(page: QWidget, viewer: Any, clicked: Callable[[Any], None]) -> None:
    """Call back with the world position of each plain click in pan/zoom mode until Qt deletes the page."""

    def press(_: Any, event: Any) -> Generator[None, None, None]:
        if event.button != 1 or event.modifiers or not _pans(viewer):
            return
        start = event.pos
        yield
        while event.type == "mouse_move":
            yield
        if max(abs(a - b) for a, b in zip(event.pos, start, strict=True)) <= _STILL:
            clicked(event.position)

    callbacks = viewer.mouse_drag_callbacks
    callbacks.append(press)
    page.destroyed.connect(lambda *_: callbacks.remove(press))


def follow_keys(page: QWidget, viewer: Any, keys: Mapping[str, Callable[[], None]]) -> None:
    """Bind keys of the viewer until Qt deletes the page; those that somebody else has bound are left alone."""
    keymap = viewer.keymap
    ours = {}
    for key, call in keys.items():
        if KeyBinding.from_str(key) not in keymap:
            ours[key] = lambda _, call=call: call()
            viewer.bind_key(key, ours[key])

    def release(*_: object) -> None:
        for key in ours:
            keymap.pop(KeyBinding.from_str(key), None)

    page.destroyed.connect(release)


def _pans(viewer: Any) -> bool:
    """Tell whether a click has no other meaning, as painting has."""
    active = viewer.layers.selection.active
    return active is None or str(active.mode) == "pan_zoom"
