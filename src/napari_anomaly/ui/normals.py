"""The normal images of a layer."""

from typing import TYPE_CHECKING, Any

from napari_anomaly.core.errors import DataError
from napari_anomaly.ui.layers import slices

if TYPE_CHECKING:
    from napari.layers import Image


def normals_of(layer: "Image") -> list[Any]:
    """List a layer's images without those whose metadata names a defect; read when training asks for them.

    Raises
    ------
    DataError
        None is left.
    """
    images = slices(layer)
    defects = layer.metadata.get("defect")
    if isinstance(defects, list) and len(defects) == len(images):
        images = [
            image for image, kind in zip(images, defects, strict=True) if kind in (None, "good")
        ]
    if not images:
        raise DataError(f"{layer.name}: every image shows a defect; expected normal images")
    return images
