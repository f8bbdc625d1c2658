"""Inspections become layers that lie exactly on the layer they came from."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anomaly.core.types import Inspection
from napari_anomaly.ui.family import ANOMALY_MAP, RECONSTRUCTION, REGIONS, ROLE, belonging
from napari_anomaly.ui.numbering import BACKGROUND, DIGESTS, digest, region_rows, region_table
from napari_anomaly.ui.preferences import preferences

if TYPE_CHECKING:
    import pandas as pd
    from napari.components import ViewerModel
    from napari.layers import Image, Layer
    from napari.utils.colormaps import Colormap

ABOUT = ("path", "sample", "split", "defect", "mask_path")
"""Keys of metadata that say where an image came from; lists, one entry per slice, for stacks."""

MADE = {"made_by": "napari-anomaly"}
"""In the metadata of every layer that this plugin made of others: no input for a detector."""

_CYAN = "#00e5ff"
"""A lighter one than the plain: the colour that is nowhere in the map's colours."""


def add_to_viewer(
    viewer: "ViewerModel",
    inspection: Inspection | Sequence[Inspection],
    *,
    source: "Image | None" = None,
    name: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    reconstruction: bool = True,
) -> "list[Layer]":
    """Show one inspection, or those of a whole stack, as layers.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
    inspection : Inspection or sequence of Inspection
        A sequence, in C order of the leading axes, becomes stacks ``(n, y, x)``; all of one shape.
    source : napari.layers.Image, optional
        The inspected layer. Scale, translate, rotate, shear, affine, units and axis labels are
        taken from it, and its leading axes give a stack its shape.
    name : str, optional
        Start of the new layers' names; the source's name, or ``"inspection"``.
    metadata : mapping, optional
        Added to the layers' ``metadata`` beside the numbers; see :data:`ABOUT`.
    reconstruction : bool
        Whether the reconstruction, hidden at first, is added too.

    Returns
    -------
    list of Layer
        Reconstruction, anomaly map and anomaly regions; of a method that says only whether an image is
        unusual the regions alone, empty, for their metadata. Existing layers are never touched: napari
        numbers a name that is taken.
    """
    stacked = not isinstance(inspection, Inspection)
    results = [inspection] if isinstance(inspection, Inspection) else list(inspection)
    shape = _leading_shape(results, source) if stacked else ()
    base = name or (source.name if source is not None else "inspection")
    about = {**_origin(source), **(metadata or {}), **_numbers(results, stacked), **MADE}
    place = place_of(source, len(shape) + 2)
    kin = belonging(source, RECONSTRUCTION)
    colours = preferences()
    outline = _CYAN if colours.outline == "cyan" else colours.outline

    localises = results[0].localises
    added: list[Layer] = []
    if reconstruction and localises:
        pixels = _stack([r.reconstruction for r in results], shape)
        added.append(
            viewer.add_image(
                pixels,
                rgb=results[0].reconstruction.ndim == 3,
                name=f"{base} reconstruction",
                contrast_limits=(0, 1),
                visible=False,
                metadata=about | kin,
                **place,
            )
        )
    if localises:
        added.append(
            viewer.add_image(
                _stack([r.anomaly_map for r in results], shape),
                name=f"{base} anomaly map",
                colormap=_fading(colours.heat_map),
                blending="translucent_no_depth",
                contrast_limits=_limits(results),
                metadata=about | kin | {ROLE: ANOMALY_MAP},
                **place,
            )
        )
    labels, features = _regions(results)
    regions = viewer.add_labels(
        _stack(labels, shape),
        name=f"{base} anomaly regions",
        features=features,
        colormap={None: outline, 0: "transparent"},
        metadata=about | kin | {ROLE: REGIONS, DIGESTS: list(map(digest, labels))},
        **place,
    )
    regions.contour = 2
    added.append(regions)
    if not stacked:
        viewer.status = f"{base}: {in_words(results[0])}"
    return added


def in_words(inspection: Inspection) -> str:
    """Say what one inspection found: ``fail, score 7.31 (limit 5.02), p = 0.0227, 2 regions``."""
    count = len(inspection.regions)
    where = f"{count} region{'' if count == 1 else 's'}" if inspection.localises else "no map"
    return (
        f"{inspection.verdict}, score {inspection.score:.3g} (limit {inspection.threshold:.3g}), "
        f"p = {inspection.p_value:.3g}, {where}"
    )


def is_input(layer: "Layer") -> bool:
    """Tell whether a layer shows images that were not made by this plugin."""
    from napari.layers import Image

    return isinstance(layer, Image) and layer.metadata.get("made_by") != MADE["made_by"]


def slices(layer: "Image") -> list[np.ndarray]:
    """List a layer's images, ``(y, x)`` or ``(y, x, c)``, in C order of the other axes, unread."""
    data = layer.data[0] if layer.multiscale else layer.data
    pixel_axes = 3 if layer.rgb else 2
    leading = tuple(data.shape[: data.ndim - pixel_axes])
    return [data[index] for index in np.ndindex(leading)] if leading else [data]


def slide_to(viewer: "ViewerModel", layer: "Layer", number: int) -> None:
    """Move the sliders to one image of a stack, numbered as :func:`slices` lists them, wherever the stack lies."""
    pixel_axes = 3 if getattr(layer, "rgb", False) else 2
    data = layer.data[0] if layer.multiscale else layer.data
    leading = data.shape[: data.ndim - pixel_axes]
    place = (*np.unravel_index(number, leading), 0, 0) if leading else ()
    for axis, value in enumerate(layer.data_to_world(place)[:-2] if place else ()):
        viewer.dims.set_point(viewer.dims.ndim - layer.ndim + axis, value)


def _origin(source: "Image | None") -> dict[str, Any]:
    return {key: source.metadata[key] for key in ABOUT if source and key in source.metadata}


def _leading_shape(results: Sequence[Inspection], source: "Image | None") -> tuple[int, ...]:
    shape = (len(results),)
    if source is None or source.ndim <= 2:
        return shape
    data = source.data[0] if source.multiscale else source.data
    leading = tuple(data.shape[: source.ndim - 2])
    return leading if np.prod(leading) == len(results) else shape


def _stack(images: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    return np.stack(images).reshape(*shape, *images[0].shape)


def _limits(results: Sequence[Inspection]) -> tuple[float, float]:
    """Tie the colours to the detector, not to the image, so that normal images stay dark."""
    limit = results[0].map_threshold
    if np.isfinite(limit) and limit > 0:
        return limit / 2, 2 * limit
    return 0.0, float(max(np.max([r.anomaly_map.max() for r in results]), 1e-6))


def _fading(name: str) -> "Colormap":
    """Make a colormap fade in from nothing, so that the image shows through, all of it where it is normal."""
    from napari.utils.colormaps import Colormap, ensure_colormap

    colours = np.array(ensure_colormap(name).colors)
    colours[:, 3] = 0.6 * np.sqrt(np.linspace(0, 1, len(colours)))
    return Colormap(colours, name="anomaly")


def _numbers(results: Sequence[Inspection], stacked: bool) -> dict[str, Any]:
    columns: dict[str, list[Any]] = {
        "score": [r.score for r in results],
        "p_value": [r.p_value for r in results],
        "verdict": [r.verdict for r in results],
        "regions": [len(r.regions) for r in results],
    }
    limits = {"threshold": results[0].threshold, "map_threshold": results[0].map_threshold}
    own = columns if stacked else {key: row[0] for key, row in columns.items()}
    return {**own, **limits}


def _regions(results: Sequence[Inspection]) -> "tuple[list[np.ndarray], pd.DataFrame]":
    """Number the regions over all images."""
    labels: list[np.ndarray] = []
    rows = [BACKGROUND]
    for image, result in enumerate(results):
        numbers = np.zeros(int(result.labels.max(initial=0)) + 1, np.int32)
        for label, region in enumerate(result.regions, len(rows)):
            numbers[region.label] = label
        rows += region_rows(result.regions, image, len(rows))
        labels.append(numbers[result.labels])
    return labels, region_table(rows)


def place_of(source: Any, ndim: int) -> dict[str, Any]:
    """Take over where a layer lies; of its trailing axes where the result has fewer."""
    if source is None:
        return {}
    if source.ndim < ndim:
        raise ValueError(f"{source.name!r} has {source.ndim} axes, the inspections have {ndim}")
    last = slice(source.ndim - ndim, None)
    shear = np.eye(source.ndim)
    shear[np.triu_indices(source.ndim, 1)] = source.shear
    return {
        "scale": np.asarray(source.scale)[last],
        "translate": np.asarray(source.translate)[last],
        "rotate": np.asarray(source.rotate)[last, last],
        "shear": shear[last, last][np.triu_indices(ndim, 1)],
        "affine": np.asarray(source.affine.affine_matrix)[last, last],
        "units": tuple(source.units)[last],
        "axis_labels": tuple(source.axis_labels)[last],
    }
