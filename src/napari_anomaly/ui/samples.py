"""File > Open Sample: pictures the package draws itself, as the folder reader would show them."""

from typing import Any, Literal

import numpy as np
import scipy.ndimage

from napari_anomaly.core.data.synthetic import Picture, sample_pictures
from napari_anomaly.ui.readers import MASK_COLOUR, LayerData


def fabric() -> list[LayerData]:
    """Draw a woven fabric: normal images, and test images with their defects as labels."""
    return _layers("fabric", "woven fabric")


def plate() -> list[LayerData]:
    """Draw a welded plate: normal images, and test images with their defects as labels."""
    return _layers("plate", "welded plate")


def _layers(material: Literal["fabric", "plate"], name: str) -> list[LayerData]:
    sides: dict[str, list[tuple[str, Picture]]] = {"train": [], "test": []}
    for sample, picture in sample_pictures(material):
        sides[sample.partition("/")[0]].append((sample, picture))
    masks = np.stack([picture.mask for _, picture in sides["test"]])
    return [
        _image(sides["train"], f"{name} normal", after=len(sides["test"])),
        _image(sides["test"], f"{name} test"),
        (
            _numbered(masks),
            {
                "name": f"{name} ground truth",
                "metadata": _about(sides["test"]),
                "colormap": MASK_COLOUR,
                "opacity": 0.4,
                "axis_labels": ("image", "y", "x"),
            },
            "labels",
        ),
    ]


def _image(pictures: list[Any], name: str, after: int = 0) -> LayerData:
    pixels = np.stack([picture.image for _, picture in pictures])
    attributes = {
        "name": name,
        "rgb": pixels.ndim == 4,
        "translate": (after, 0, 0),  # one slider for all: test images first
        "metadata": _about(pictures),
        "axis_labels": ("image", "y", "x"),
    }
    if pixels.ndim == 3:
        attributes["contrast_limits"] = (0, 255)
    return pixels, attributes, "image"


def _about(pictures: list[Any]) -> dict[str, Any]:
    return {
        "sample": [f"{name}.png" for name, _ in pictures],
        "split": [name.partition("/")[0] for name, _ in pictures],
        "defect": [name.split("/")[1] for name, _ in pictures],
    }


def _numbered(masks: np.ndarray) -> np.ndarray:
    """Number the regions 1..N over the stack, none reaching from one image into the next."""
    within = np.zeros((3, 3, 3), bool)
    within[1] = True
    return np.asarray(scipy.ndimage.label(masks, within)[0], np.int32)
