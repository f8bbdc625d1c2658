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

NEXT_IMAGE = Shortcut("N", "the next image of the table")
PREVIOUS_IMAGE = Shortcut("Shift+N", "the previous image of the table")
UNDECIDED = Shortcut("U", "the next image that you have said nothing of")

INSPECT = (NEXT_IMAGE, PREVIOUS_IMAGE, UNDECIDED)
"""They act over the canvas and in the table of the Inspect page."""

NEXT_REGION = Shortcut("J", "the next region of the list")
PREVIOUS_REGION = Shortcut("K", "the previous region of the list")
SIDE_BY_SIDE = Shortcut(
    "Shift+G", "input, reconstruction, residual and mask side by side, and back"
)

WHY = (NEXT_REGION, PREVIOUS_REGION, SIDE_BY_SIDE)
"""They act while the Why? page is there, whichever layer is selected."""

SHORTCUTS = (*ANNOTATE, *INSPECT, *WHY)
"""All that act over the canvas. napari's own are in its Preferences, under Shortcuts."""

GOOD = Shortcut("G", "in the table: the chosen image is good")
DEFECT = Shortcut("D", "in the table: the chosen image has a defect")
CLEAR = Shortcut("Backspace", "in the table: take back what you said of the chosen image")

TABLE = (GOOD, DEFECT, CLEAR)
"""They act only while the table has the focus, where napari's own do not."""
