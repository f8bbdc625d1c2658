"""Every key of ours, in one list: what binds them and what shows them reads it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shortcut:
    """A key, as napari writes it, and what it does."""

    key: str
    does: str


ACCEPT = Shortcut("Shift+Y", "accept the machine's region under the cursor as ground truth")
ACCEPT_ALL = Shortcut("Shift+I", "accept all of the machine's regions in this image")
ERASE = Shortcut("Shift+E", "erase the region of the ground truth under the cursor")
MERGE = Shortcut(
    "Shift+M", "merge the clicked regions (Shift+click adds one) with the one under the cursor"
)
SPLIT = Shortcut("Shift+S", "split the region of the ground truth under the cursor")
DRAW = Shortcut("Shift+D", "draw a new region with napari's polygon tool")

ANNOTATE = (ACCEPT, ACCEPT_ALL, ERASE, MERGE, SPLIT, DRAW)
"""They act while the Annotate page is open, whichever layer is selected."""

SHORTCUTS = ANNOTATE
"""All of them. napari's own are in its Preferences, under Shortcuts."""
