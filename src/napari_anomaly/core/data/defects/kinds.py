"""The kinds of defects, by name."""

from collections.abc import Mapping
from types import MappingProxyType

from napari_anomaly.core.data.defects.changes import (
    blur,
    brightness,
    colour,
    missing,
    shift,
    twist,
)
from napari_anomaly.core.data.defects.cutouts import patch, scar, seamless, texture
from napari_anomaly.core.data.defects.marks import dent, scratch, speck, stain
from napari_anomaly.core.data.defects.place import Draw

KINDS: Mapping[str, Draw] = MappingProxyType(
    {
        "scratch": scratch,
        "dent": dent,
        "speck": speck,
        "stain": stain,
        "patch": patch,
        "scar": scar,
        "seamless": seamless,
        "texture": texture,
        "blur": blur,
        "brightness": brightness,
        "colour": colour,
        "twist": twist,
        "shift": shift,
        "missing": missing,
    }
)
"""Every kind of defect that can be planted; ``colour`` on colour images only."""
