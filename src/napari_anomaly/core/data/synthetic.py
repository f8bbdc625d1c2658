"""Sample data that nobody has to download: a woven fabric and a welded plate, sound and not.

Everything follows from seeds; the masks are exact, since outside of them a picture with a defect
equals the one without.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from napari_anomaly.core.data.files import write_mask, write_png
from napari_anomaly.core.data.rendering import Picture, Shape
from napari_anomaly.core.data.weave import FABRIC_DEFECTS, fabric, fabric_with
from napari_anomaly.core.data.weld import PLATE_DEFECTS, plate, plate_with
from napari_anomaly.core.errors import DataError

__all__ = [
    "FABRIC_DEFECTS",
    "PLATE_DEFECTS",
    "Picture",
    "fabric",
    "fabric_with",
    "pictures",
    "plate",
    "plate_with",
    "sample_pictures",
    "with_defect",
    "write_sample_data",
]

Material = Literal["fabric", "plate"]

_TEST_SEED = 1000
_DEFECT_SEED = 2000


def with_defect(material: Material, kind: str, seed: int = 0, shape: Shape = (256, 256)) -> Picture:
    """Picture a material with a defect of a given kind.

    Parameters
    ----------
    material : {"fabric", "plate"}
    kind : str
        One of `FABRIC_DEFECTS` or `PLATE_DEFECTS`.
    seed : int
        Which piece and which defect; without the defect it is ``fabric(seed)`` or ``plate(seed)``.
    shape : (y, x)
        Pixels; at least 96 each way leaves the defect room.

    Returns
    -------
    Picture
        ``image``, ``mask`` and ``kind``.

    Raises
    ------
    DataError
        This material has no such defect.
    """
    kinds = FABRIC_DEFECTS if material == "fabric" else PLATE_DEFECTS
    if kind not in kinds:
        raise DataError(f"{material} with defect {kind!r}; expected one of {', '.join(kinds)}")
    draw = fabric_with if material == "fabric" else plate_with
    return draw(kind, seed, shape)


def pictures(
    material: Material, normals: int, defects: int, shape: Shape = (256, 256), seed: int = 0
) -> Iterator[Picture]:
    """Yield sound pictures, then ones with defects whose kinds take turns.

    Parameters
    ----------
    material : {"fabric", "plate"}
    normals, defects : int
        How many of each.
    shape : (y, x)
    seed : int
        Of the first picture of either; the others count up.
    """
    sound, kinds = _of(material)
    for k in range(normals):
        yield Picture(sound(seed + k, shape), np.zeros(shape, bool))
    for k in range(defects):
        yield with_defect(material, kinds[k % len(kinds)], seed + _DEFECT_SEED + k, shape)


def _of(material: Material) -> tuple[Callable[[int, Shape], np.ndarray], tuple[str, ...]]:
    if material == "fabric":
        return fabric, tuple(FABRIC_DEFECTS)
    return plate, tuple(PLATE_DEFECTS)


def sample_pictures(
    material: Material, shape: Shape = (128, 128), train: int = 80, good: int = 8, each: int = 3
) -> Iterator[tuple[str, Picture]]:
    """Yield the pictures of a small dataset with their names in the MVTec layout.

    Parameters
    ----------
    material : {"fabric", "plate"}
    shape : (y, x)
    train, good, each : int
        Sound pictures to train with and to test with, and pictures of each kind of defect.

    Yields
    ------
    name : str
        Such as ``test/hole/000``, without suffix.
    picture : Picture
    """
    sound, kinds = _of(material)
    clean = np.zeros(shape, bool)
    for k in range(train):
        yield f"train/good/{k:03d}", Picture(sound(k, shape), clean)
    for k in range(good):
        yield f"test/good/{k:03d}", Picture(sound(_TEST_SEED + k, shape), clean)
    for at, kind in enumerate(kinds):
        for k in range(each):
            seed = _DEFECT_SEED + 100 * at + k
            yield f"test/{kind}/{k:03d}", with_defect(material, kind, seed, shape)


def write_sample_data(
    folder: str | os.PathLike[str],
    shape: Shape = (128, 128),
    train: int = 80,
    good: int = 8,
    each: int = 3,
) -> Path:
    """Write ``fabric/`` and ``plate/`` in the MVTec layout into a folder, and return it.

    Parameters
    ----------
    folder : path
        Made if needed; files of the same names are replaced.
    shape, train, good, each
        As in `sample_pictures`.
    """
    folder = Path(folder)
    materials: tuple[Material, ...] = ("fabric", "plate")
    for material in materials:
        for name, picture in sample_pictures(material, shape, train, good, each):
            write_png(folder / material / f"{name}.png", picture.image)
            if picture.kind != "good":
                mask = name.replace("test", "ground_truth", 1)
                write_mask(folder / material / f"{mask}_mask.png", picture.mask)
    return folder
