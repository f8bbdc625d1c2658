"""File > Open Sample: pictures the package draws itself, as the folder reader would show them."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import scipy.ndimage

from napari_anomaly.core.data.synthetic import Picture, sample_pictures
from napari_anomaly.core.data.synthetic import plate as draw_plate
from napari_anomaly.core.synthesising import synthesise
from napari_anomaly.ui.numbering import DIGESTS, digest
from napari_anomaly.ui.readers import MASK_COLOUR, LayerData


def fabric() -> list[LayerData]:
    """Draw a woven fabric: normal images, and test images with their defects as labels."""
    return _layers(sample_pictures("fabric"), "woven fabric")


def plate() -> list[LayerData]:
    """Draw a welded plate: normal images, and test images with their defects as labels."""
    return _layers(sample_pictures("plate"), "welded plate")


def planted() -> list[LayerData]:
    """Draw welded plates and plant two defects of every kind: to see the kinds, and to try a detector on them."""
    return _layers(_planted(), "planted defects")


def _planted(train: int = 40, good: int = 8, defects: int = 28) -> Iterator[tuple[str, Picture]]:
    """Yield pictures by their names in the MVTec layout; defects lie in those of ``test/good``."""
    sound = [draw_plate(seed, (128, 128)) for seed in range(train + good)]
    clean = np.zeros((128, 128), bool)
    for k, image in enumerate(sound):
        name = f"train/good/{k:03d}" if k < train else f"test/good/{k - train:03d}"
        yield name, Picture(image, clean)
    for k, one in enumerate(synthesise(np.stack(sound[train:]), defects)):
        pixels = np.round(255 * one.image).astype(np.uint8)
        yield f"test/{one.kind}/{k:03d}", Picture(pixels, one.mask, one.kind)


def _layers(pictures: Iterable[tuple[str, Picture]], name: str) -> list[LayerData]:
    sides: dict[str, list[tuple[str, Picture]]] = {"train": [], "test": []}
    for sample, picture in pictures:
        sides[sample.partition("/")[0]].append((sample, picture))
    truth = _numbered(np.stack([picture.mask for _, picture in sides["test"]]))
    return [
        _image(sides["train"], f"{name} normal", after=len(sides["test"])),
        _image(sides["test"], f"{name} test"),
        (
            truth,
            {
                "name": f"{name} ground truth",
                "metadata": _about(sides["test"]) | {DIGESTS: list(map(digest, truth))},
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
