"""Inspections become layers that lie exactly on the layer they came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anomaly.core.types import Inspection
from napari_anomaly.ui.family import ANOMALY_MAP, RECONSTRUCTION, REGIONS, ROLE, belonging
from napari_anomaly.ui.numbering import BACKGROUND, DIGESTS, digest, numbered, region_table
from napari_anomaly.ui.planes import CHANNELS, array_of, channel_axis, counting, planes
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
    localises = results[0].localises
    labels, features = _regions(results)
    sheets = Sheets(
        _stack([r.reconstruction for r in results], shape) if reconstruction and localises else None,
        _stack([r.anomaly_map for r in results], shape) if localises else None,
        _stack(labels, shape),
        features,
        map_limits(results[0].map_threshold, max(float(r.anomaly_map.max()) for r in results)),
        {**(metadata or {}), **_numbers(results, stacked)},
    )  # fmt: skip
    added = add_sheets(viewer, sheets, source=source, name=name)
    added[-1].metadata[DIGESTS] = list(map(digest, labels))
    if not stacked:
        viewer.status = f"{_base(source, name)}: {in_words(results[0])}"
    return added


@dataclass(frozen=True, eq=False)
class Sheets:
    """What was found, as arrays that lie over what was inspected.

    Attributes
    ----------
    reconstruction : float32 array or None
        Not wanted, or there is none.
    anomaly_map : float32 array or None
        None of a method that says only whether an image is unusual.
    labels : int32 array
        ``(y, x)``, or with the axes of :func:`~napari_anomaly.ui.planes.counting` before.
    features : DataFrame
        Row k is about label k.
    limits : tuple of float
        Values of the map at which its colours begin and end.
    numbers : dict
        For the layers' metadata.
    """

    reconstruction: np.ndarray | None
    anomaly_map: np.ndarray | None
    labels: np.ndarray
    features: "pd.DataFrame"
    limits: tuple[float, float]
    numbers: dict[str, Any]


def add_sheets(
    viewer: "ViewerModel", sheets: Sheets, *, source: "Image | None", name: str | None = None
) -> "list[Layer]":
    """Show arrays as the layers that :func:`add_to_viewer` describes; they are shared, not copied."""
    base = _base(source, name)
    # results have no channels, whatever the label of an axis says that they share with the image
    about = {**_origin(source), **sheets.numbers, **MADE, CHANNELS: None}
    about |= belonging(source, RECONSTRUCTION)
    place = place_over(source, sheets.labels.ndim)
    colours = preferences()
    outline = _CYAN if colours.outline == "cyan" else colours.outline
    added: list[Layer] = []
    if sheets.reconstruction is not None:
        added.append(
            viewer.add_image(
                sheets.reconstruction,
                rgb=sheets.reconstruction.ndim > sheets.labels.ndim,
                name=f"{base} reconstruction",
                contrast_limits=(0, 1),
                visible=False,
                metadata=about,
                **place,
            )
        )
    if sheets.anomaly_map is not None:
        added.append(
            viewer.add_image(
                sheets.anomaly_map,
                name=f"{base} anomaly map",
                colormap=_fading(colours.heat_map),
                blending="translucent_no_depth",
                contrast_limits=sheets.limits,
                metadata=about | {ROLE: ANOMALY_MAP},
                **place,
            )
        )
    regions = viewer.add_labels(
        sheets.labels,
        name=f"{base} anomaly regions",
        features=sheets.features,
        colormap={None: outline, 0: "transparent"},
        metadata=about | {ROLE: REGIONS},
        **place,
    )
    regions.contour = 2
    return [*added, regions]


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


def slices(layer: "Image") -> list[Any]:
    """List a layer's images, ``(y, x)`` or ``(y, x, c)``, in C order of the axes that count them, unread.

    Views of an array in memory, else what ``np.asarray`` reads; see :class:`~napari_anomaly.ui.planes.Plane`.
    """
    images = planes(layer)
    return [image[...] for image in images] if isinstance(array_of(layer), np.ndarray) else images


def slide_to(viewer: "ViewerModel", layer: "Layer", number: int) -> None:
    """Move the sliders to one image of a stack, numbered as :func:`slices` lists them, wherever the stack lies.

    A slider that shows it already stays where it is, and so does that of the channels.
    """
    leading, channels = counting(layer), channel_axis(layer)
    if not leading:
        return
    now = np.round(layer.world_to_data(np.asarray(viewer.dims.point)[-layer.ndim :])).astype(int)
    wanted = np.unravel_index(number, leading)
    place = [now[axis] if axis == channels else int(k) for axis, k in enumerate(wanted)]
    for axis, value in enumerate(layer.data_to_world((*place, 0, 0))[:-2]):
        if place[axis] != now[axis]:
            viewer.dims.set_point(viewer.dims.ndim - layer.ndim + axis, value)


def _base(source: "Image | None", name: str | None) -> str:
    return name or (source.name if source is not None else "inspection")


def _origin(source: "Image | None") -> dict[str, Any]:
    return {key: source.metadata[key] for key in ABOUT if source and key in source.metadata}


def _leading_shape(results: Sequence[Inspection], source: "Image | None") -> tuple[int, ...]:
    shape = (len(results),)
    if source is None or source.ndim <= 2:
        return shape
    leading = counting(source)
    return leading if np.prod(leading) == len(results) else shape


def _stack(images: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    return np.stack(images).reshape(*shape, *images[0].shape)


def map_limits(threshold: float, highest: float) -> tuple[float, float]:
    """Tie the colours to the detector, not to the image, so that normal images stay dark."""
    if np.isfinite(threshold) and threshold > 0:
        return threshold / 2, 2 * threshold
    return 0.0, float(max(highest, 1e-6))


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
    rows = [BACKGROUND]
    labels = [numbered(result, image, rows) for image, result in enumerate(results)]
    return labels, region_table(rows)


def place_over(source: Any, ndim: int) -> dict[str, Any]:
    """Place a result over its source; the one step that it has along the channels reaches over all of them."""
    place = place_of(source, ndim)
    channels = None if source is None else channel_axis(source)
    if channels is not None and ndim == source.ndim:
        n = array_of(source).shape[channels]
        place["translate"] = np.array(place["translate"])
        place["translate"][channels] += (n - 1) / 2 * place["scale"][channels]
        place["scale"] = np.array(place["scale"])
        place["scale"][channels] *= n
    return place


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
