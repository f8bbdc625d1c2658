"""One image of a list, read and inspected when it is asked for, and put away again unless a person painted in it."""

from collections.abc import Generator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_anomaly.core.data.files import read_image
from napari_anomaly.core.data.reading import named
from napari_anomaly.core.types import Inspection, Progress
from napari_anomaly.ui.family import ROLE, Family, family_of
from napari_anomaly.ui.inspected import Inspected
from napari_anomaly.ui.inspecting import lean
from napari_anomaly.ui.layers import add_to_viewer, slide_to
from napari_anomaly.ui.masks import add_truth, mask_if_any
from napari_anomaly.ui.painted import DIRTY, numbers_of
from napari_anomaly.ui.readers import sample_metadata

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_anomaly.core.detector import Detector

OPENED = "opened"
"""Key in the metadata of an image that was opened by itself; its value says whether its regions were painted in."""


class Looked(NamedTuple):
    """An image, what was found in it, and its folder's mask, if there is one."""

    image: np.ndarray
    result: Inspection
    mask: np.ndarray | None


def looking_at(
    detector: "Detector", inspected: Inspected, number: int, *, reconstruction: bool = True
) -> Generator[Progress, None, Looked]:
    """Read one image of a folder, inspect it, and read its mask.

    Raises
    ------
    ImageError
        It cannot be; the message names it.
    """
    sample = inspected.samples[number]
    yield Progress(f"opening {sample.name}", 0, 1)
    image = read_image(sample.path, sample.page)
    result = lean(named(sample, lambda: detector.inspect(image)), reconstruction)
    return Looked(image, result, mask_if_any(sample, image.shape))


def show_looked(
    viewer: "ViewerModel", inspected: Inspected, number: int, looked: Looked
) -> "list[Layer]":
    """Show an image, its results, and its mask as ground truth; what was opened before is put away.

    The view stays where it is if the image before was as large: defects of two images can then be compared.
    """
    image, result, mask = looked
    before = _size_opened(viewer)
    put_away(viewer)
    about = _about(inspected, number) | {OPENED: {"painted": False}}
    source = viewer.add_image(
        image, name=inspected.names[number], rgb=image.ndim == 3, metadata=about
    )
    kept = result.reconstruction.size > 0
    added = add_to_viewer(viewer, result, source=source, reconstruction=kept)
    added[-1].events.paint.connect(lambda _: about_of(source).update(painted=True))
    if before != image.shape[:2]:
        viewer.reset_view()
    return [source, *added, *add_truth(viewer, source, [mask])]


def shown(viewer: "ViewerModel", inspected: Inspected, number: int) -> Family | None:
    """Return the layers that show an image of the list, in a stack or by itself; None if there are none."""
    for layer in reversed([getattr(one, "__wrapped__", one) for one in viewer.layers]):
        if str(layer.unique_id) == inspected.layer or OPENED in layer.metadata:
            family = family_of(viewer, layer)
            if family is not None and number in numbers_of(inspected, layer):
                return family
    return None


def bring(viewer: "ViewerModel", inspected: Inspected, number: int) -> bool:
    """Bring an image that is shown already into view; False if it is not shown."""
    family = shown(viewer, inspected, number)
    if family is None or family.source is None:
        return False
    put_away(viewer, but=family.source)
    if OPENED in family.source.metadata:
        _show(family)
    else:
        slide_to(viewer, family.source, number)
    return True


def put_away(viewer: "ViewerModel", but: "Layer | None" = None) -> None:
    """Remove images that were opened by themselves, with their layers; hide those that a person painted in."""
    for source in _opened(viewer):
        family = family_of(viewer, source)
        if source is but or family is None:
            continue
        for layer in _members(family):
            if _painted_in(family):
                layer.visible = False
            else:
                viewer.layers.remove(layer)


def about_of(source: "Layer") -> dict[str, bool]:
    """Return what is remembered of an image that was opened by itself."""
    about: dict[str, bool] = source.metadata[OPENED]
    return about


def _opened(viewer: "ViewerModel") -> "list[Layer]":
    layers = [getattr(one, "__wrapped__", one) for one in viewer.layers]
    return [layer for layer in layers if OPENED in layer.metadata]


def _members(family: Family) -> "list[Layer]":
    """List a family's layers; the truth only if it was made for it, not a mask that was opened by other means."""
    own = [family.source, family.reconstruction, family.anomaly_map, family.regions]
    truth = [family.truth] if family.truth is not None and ROLE in family.truth.metadata else []
    return [layer for layer in (*own, *truth) if layer is not None]


def _painted_in(family: Family) -> bool:
    """Tell whether something would be lost; of ground truth only an empty set of unsaved images says no."""
    truth, source = family.truth, family.source
    if source is not None and about_of(source)["painted"]:
        return True
    if truth is None:
        return False
    ours = ROLE in truth.metadata
    return bool(truth.metadata.get(DIRTY, ours))


def _show(family: Family) -> None:
    for layer in _members(family):
        layer.visible = layer is not family.reconstruction


def _size_opened(viewer: "ViewerModel") -> tuple[int, ...] | None:
    sizes = [layer.data.shape[:2] for layer in _opened(viewer) if layer.visible]
    return sizes[-1] if sizes else None


def _about(inspected: Inspected, number: int) -> dict[str, object]:
    if inspected.dataset is None:
        return {}
    about = sample_metadata(inspected.dataset, [inspected.samples[number]])
    return {key: row[0] if isinstance(row, list) else row for key, row in about.items()}
