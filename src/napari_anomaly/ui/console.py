"""The verbs of the pages for napari's console: they block, with napari's progress bar, and make the same layers."""

from collections.abc import Callable, Generator
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from napari_anomaly.core.progress import finished
from napari_anomaly.core.types import Progress
from napari_anomaly.ui.family import number_shown
from napari_anomaly.ui.inspected import Inspected
from napari_anomaly.ui.inspecting import Found, inspect_folder, show_stack
from napari_anomaly.ui.normals import LayerNormals
from napari_anomaly.ui.opening import looking_at, show_looked
from napari_anomaly.ui.scanning import is_large, scan_layer, show_scan
from napari_anomaly.ui.streaming import Stream

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_anomaly.core.detector import Detector
    from napari_anomaly.core.methods.recipes import AnyMethod, Recipe

Result = TypeVar("Result")


def fit_layer(
    layer: "Image", recipe: "str | Recipe | AnyMethod" = "linear", **choices: Any
) -> "Detector":
    """Fit a detector to a layer's images, without those whose metadata names a defect.

    Parameters
    ----------
    layer : napari.layers.Image
        A stack of normal images; ``layer.metadata["channel_axis"]`` says which axis holds colours.
    recipe : str, method knobs or Recipe
    **choices
        Of :func:`napari_anomaly.fit`: ``seed``, ``false_alarm``, ``review``, ``calibration``, ``budget``, ...

    Raises
    ------
    DataError
        Every image shows a defect, and what :func:`napari_anomaly.fit` raises.
    """
    from napari_anomaly.core.fitting import fit_steps  # loads JAX

    return _watched(fit_steps(LayerNormals.of(layer).images, recipe, **choices))


def inspect_layer(
    viewer: "ViewerModel", layer: "Image", detector: "Detector", *, reconstruction: bool = True
) -> "list[Layer]":
    """Inspect a layer's images and show the results as Inspect does, the image on screen first.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
    layer : napari.layers.Image
        One image or a stack.
    detector : Detector
        Becomes the one that the docked pages show.
    reconstruction : bool
        Whether reconstructions are added, too.

    Returns
    -------
    list of Layer
        Reconstruction, anomaly map, anomaly regions; they fill while it works. Of one image that is much larger than
        the training images, which is scanned (:func:`napari_anomaly.scan`), the last two, once it is done.

    Raises
    ------
    ImageError
        None of the images can be inspected.
    RecipeError
        The image is to be scanned, and the detector cannot.
    """
    from napari_anomaly.ui.session import session_of  # its signals come with napari

    session = session_of(viewer)
    if is_large(detector, layer):
        scanned = _watched(scan_layer(detector, layer))
        added = show_scan(viewer, scanned)
        session.detector, session.inspected = detector, scanned.inspected
        return added
    start = number_shown(viewer, layer)
    stream = Stream(detector, layer, start=start, reconstruction=reconstruction)
    _watched(stream.steps(), lambda _: stream.show(viewer))
    session.detector, session.inspected = detector, stream.inspected
    return stream.show(viewer)


def inspect_images_of(
    folder: str | PathLike[str],
    detector: "Detector",
    *,
    viewer: "ViewerModel | None" = None,
    reconstruction: bool = True,
) -> Found:
    """Inspect the test images of an MVTec folder, or all images of a plain one; show them if there is a viewer.

    Raises
    ------
    DataError
        No image can be used.
    """
    folder = Path(folder)
    found = _watched(inspect_folder(detector, folder, reconstruction=reconstruction))
    if viewer is not None:
        from napari_anomaly.ui.session import session_of  # its signals come with napari

        session = session_of(viewer)
        session.detector = detector
        session.inspected = _shown(viewer, found, detector, folder.name, reconstruction)
    return found


def _shown(
    viewer: "ViewerModel", found: Found, detector: "Detector", name: str, reconstruction: bool
) -> Inspected:
    """Show a folder as stacks, or the image with the highest score; return the list of its images."""
    listed = found.inspected
    if found.results:
        source, *_ = show_stack(viewer, found, name)
        return replace(listed, layer=str(source.unique_id))
    number = int(np.nanargmax(listed.scores))
    looking = looking_at(detector, listed, number, reconstruction=reconstruction)
    show_looked(viewer, listed, number, _watched(looking))
    return listed


def _watched(
    steps: Generator[Progress, None, Result], seen: Callable[[Progress], object] = lambda _: None
) -> Result:
    """Run steps to their end under napari's progress bar, or one in the terminal where there is no window."""
    from napari.utils import progress

    with progress(total=0) as bar:

        def show(now: Progress) -> None:
            bar.total = now.total
            bar.set_description(now.stage)
            bar.update(now.step - bar.n)
            seen(now)

        return finished(steps, show)
