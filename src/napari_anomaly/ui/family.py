"""Which layers belong together: an image, what was made of it, and what a person knows about it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anomaly.ui.planes import counting

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer

FAMILY = "family"
"""Key of metadata: the ``unique_id`` of the inspected layer, the same in all that was made of it."""

ROLE = "role"
"""Key of metadata: one of the four below."""

RECONSTRUCTION, ANOMALY_MAP, REGIONS, TRUTH = (
    "reconstruction",
    "anomaly map",
    "anomaly regions",
    "ground truth",
)

BEGUN_EMPTY = "begun empty"
"""Key of metadata of a ground truth: whether it began without the folder's masks, and says nothing of them."""


@dataclass(frozen=True, eq=False)
class Family:
    """The layers of one inspected image or stack; of each kind the one that was added last.

    Attributes
    ----------
    source : Image or None
        What was inspected; None once it is removed.
    reconstruction, anomaly_map : Image or None
    regions : Labels or None
        What the machine found.
    truth : Labels or None
        What a person painted, or the masks of a folder. Never written by the machine.
    """

    source: "Image | None"
    reconstruction: "Image | None"
    anomaly_map: "Image | None"
    regions: "Labels | None"
    truth: "Labels | None"


def belonging(source: "Layer | None", role: str) -> dict[str, Any]:
    """Return the metadata that says so; of an inspection without a layer the caller makes one up with None."""
    from uuid import uuid4

    return {FAMILY: str(source.unique_id if source is not None else uuid4()), ROLE: role}


def family_of(viewer: "ViewerModel", layer: "Layer | None" = None) -> Family | None:
    """Return the family of a layer, or of the active one, or else the last in the viewer; None if there is none.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
    layer : Layer, optional
        Any member. None: the active layer if it is a member, else the member that was added last.
    """
    layers = [getattr(one, "__wrapped__", one) for one in viewer.layers]
    wanted = [layer] if layer is not None else [viewer.layers.selection.active, *reversed(layers)]
    known = {one.metadata[FAMILY] for one in layers if FAMILY in one.metadata}
    for one in wanted:
        if one is None:
            continue
        name = one.metadata.get(FAMILY) or _of_truth(one, layers, known) or str(one.unique_id)
        if name in known:
            return _gathered(layers, name)
    return None


def number_shown(viewer: "ViewerModel", layer: "Layer") -> int:
    """Return which image of a stack the sliders show, numbered as ``layers.slices`` does; 0 of a single one."""
    leading = counting(layer)
    if not leading:
        return 0
    point = np.asarray(viewer.dims.point)[-layer.ndim :]
    place = np.round(layer.world_to_data(point)).astype(int)[: len(leading)]
    return int(np.ravel_multi_index(tuple(np.clip(place, 0, np.array(leading) - 1)), leading))


def _gathered(layers: "list[Layer]", name: str) -> Family:
    of_role: dict[str, Any] = {}
    for one in layers:
        if one.metadata.get(FAMILY) == name:
            of_role[one.metadata[ROLE]] = one
    source: Any = next((one for one in layers if str(one.unique_id) == name), None)
    painted = [one for one in layers if source is not None and is_truth_of(one, source)]
    return Family(
        source,
        of_role.get(RECONSTRUCTION),
        of_role.get(ANOMALY_MAP),
        of_role.get(REGIONS),
        of_role.get(TRUTH) or (painted[-1] if painted else None),
    )


def is_truth_of(layer: "Layer", source: "Layer") -> bool:
    """Tell whether a layer holds the masks of the images of another, as ``readers`` opens them."""
    from napari.layers import Labels

    return (
        isinstance(layer, Labels)
        and FAMILY not in layer.metadata
        and "sample" in source.metadata
        and all(layer.metadata.get(key) == source.metadata.get(key) for key in ("path", "sample"))
    )


def _of_truth(layer: "Layer", layers: "list[Layer]", known: set[str]) -> str | None:
    for source in layers:
        if str(source.unique_id) in known and is_truth_of(layer, source):
            return str(source.unique_id)
    return None
