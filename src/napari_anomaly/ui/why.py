"""Why a region was marked: where it is, its numbers, and what they mean in words. Knows layers, but no window."""

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool

from napari_anomaly.core.errors import DataError, ImageError
from napari_anomaly.ui.family import REGIONS, ROLE, Family, number_shown
from napari_anomaly.ui.layers import slide_to
from napari_anomaly.ui.planes import planes
from napari_anomaly.ui.recutting import CUT_AT

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels, Layer

    from napari_anomaly.core.calibration import Calibration
    from napari_anomaly.core.detector import Detector

Box = tuple[int, int, int, int]
"""``(y0, x0, y1, x1)``, half open, pixels."""

_AROUND = 16
"""Pixels that are shown around a region at the least: a scratch of 3 px says nothing without them."""

_MARGIN = 0.05
"""Share of the view that stays free, as napari leaves it."""


@dataclass(frozen=True)
class Listed:
    """A region as it stands in the list.

    Attributes
    ----------
    label : int
        Its value in the layer.
    image : int
        Which image of the stack it is in, numbered as ``layers.slices`` does.
    p_value : float
        Share of normal images that hold a peak as high.
    peak : float
        Highest value of the map inside.
    area : int
        Pixels.
    """

    label: int
    image: int
    p_value: float
    peak: float
    area: int


@dataclass(frozen=True)
class Finding:
    """The numbers of one region.

    Attributes
    ----------
    label, image : int
    box : tuple of int
    area : int
        Pixels.
    size : str
        The area with the layer's scale and units, empty where they are pixels.
    centroid : tuple of float
        ``(y, x)``, pixels.
    peak, mean : float
        Of the anomaly map inside; NaN where its layer is gone.
    limit : float
        Value of the map above which a pixel belongs to a region.
    p_value : float
        Share of normal images that hold a peak as high; NaN where it is not known.
    inside, expected : float or None
        Mean intensity of the region and of its reconstruction, as the method sees it, of 0 to 1.
    """

    label: int
    image: int
    box: Box
    area: int
    size: str
    centroid: tuple[float, float]
    peak: float
    mean: float
    limit: float
    p_value: float
    inside: float | None = None
    expected: float | None = None


def listed(regions: "Labels") -> list[Listed]:
    """List the regions of a layer of ours, the least likely among normal images first."""
    table = regions.features
    columns = ["index", "image", "p_value", "max_score", "area"]
    if not set(columns) <= set(table.columns):
        return []
    rows = table[table["index"] > 0].dropna(
        subset=columns
    )  # rows of labels that are gone are empty
    named = zip(
        rows["index"], rows["image"], rows["p_value"], rows["max_score"], rows["area"], strict=True
    )
    found = [Listed(int(k), int(n), float(p), float(s), int(a)) for k, n, p, s, a in named]
    return sorted(found, key=lambda one: (one.p_value, -one.peak))


def region_at(viewer: "ViewerModel", position: Any) -> "tuple[Labels, int] | None":
    """Return the topmost visible region at a place in the world, with its layer; None where there is none."""
    for proxy in reversed(viewer.layers):
        layer: Any = getattr(proxy, "__wrapped__", proxy)
        if layer.metadata.get(ROLE) == REGIONS and (label := layer.get_value(position, world=True)):
            return layer, int(label)
    return None


def plane(layer: "Layer", number: int) -> np.ndarray:
    """Return one image of a stack, ``(y, x)`` or ``(y, x, c)``, numbered as ``layers.slices`` does."""
    return np.asarray(planes(layer)[number])


def finding(
    viewer: "ViewerModel", family: Family, label: int, detector: "Detector | None" = None
) -> Finding:
    """Measure a region from the layers as they are now.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
    family : Family
    label : int
        Value in the layer of regions.
    detector : Detector, optional
        The one that inspected; without it brightness cannot be compared.

    Raises
    ------
    DataError
        There is no such region.
    """
    regions = family.regions
    if regions is None:
        raise DataError("found no layer of regions; inspect an image first")
    known = next((one for one in listed(regions) if one.label == label), None)
    image = number_shown(viewer, regions) if known is None else known.image
    inside = plane(regions, image) == label
    if not label or not inside.any():
        raise DataError(
            f"{regions.name}: found no region {label}; it was erased or the limit was raised. Choose another"
        )
    y, x = np.nonzero(inside)
    scores = plane(family.anomaly_map, image)[inside] if family.anomaly_map else np.array([np.nan])
    seen, expected = _brightness(family, image, inside, detector)
    return Finding(
        label=label,
        image=image,
        box=(int(y.min()), int(x.min()), int(y.max()) + 1, int(x.max()) + 1),
        area=len(y),
        size=_size(len(y), regions),
        centroid=(float(y.mean()), float(x.mean())),
        peak=float(scores.max()),
        mean=float(scores.mean()),
        limit=limit_of(regions),
        p_value=float("nan") if known is None else known.p_value,
        inside=seen,
        expected=expected,
    )


def limit_of(regions: "Labels") -> float:
    """Return the value of the map above which a pixel belongs to a region; NaN while images differ in that."""
    known = regions.metadata.get(CUT_AT)
    return float("nan") if known is None else float(known)


def in_words(found: Finding, calibration: "Calibration | None" = None) -> dict[str, str]:
    """Say what the numbers of a region mean, by their names; what is not known is left out.

    Parameters
    ----------
    found : Finding
    calibration : Calibration, optional
        Of the detector: says whether any held-out normal image has such a peak at all.
    """
    y0, x0, y1, x1 = found.box
    size = f" ({found.size})" if found.size else ""
    told = {
        "area": f"{found.area} px{size}",
        "place": f"y {y0} to {y1 - 1}, x {x0} to {x1 - 1} px; "
        f"centre y {found.centroid[0]:.1f}, x {found.centroid[1]:.1f}",
    }
    if not np.isnan(found.peak):
        told["peak"] = f"{found.peak:.3g}{_times(found.peak, found.limit)}"
        told["mean"] = f"{found.mean:.3g}{_times(found.mean, found.limit)}"
    if not np.isnan(found.p_value):
        told["chance"] = _chance(found.p_value, None if calibration is None else calibration.n)
    if found.inside is not None and found.expected is not None:
        told["brightness"] = _compared(found.inside, found.expected)
    return told


def look_at(viewer: "ViewerModel", regions: "Labels", found: Finding) -> None:
    """Bring a region into view with what is around it, and select its label."""
    slide_to(viewer, regions, found.image)
    regions.selected_label = found.label
    low, high = _in_world(viewer, regions, found)
    shown = list(viewer.dims.displayed)
    extent = (high - low)[shown[-2:]]
    room = np.array(viewer.canvas.viewbox_size(viewer.layers))
    viewer.scene.camera.center = tuple(((low + high) / 2)[shown])
    viewer.scene.camera.zoom = float((1 - _MARGIN) * (room / extent).min())


def with_surroundings(box: Box, shape: tuple[int, ...], least: int = _AROUND) -> Box:
    """Grow a box by its own size to every side, by `least` pixels at the least, within an image of this shape."""
    y0, x0, y1, x1 = box
    dy, dx = max(y1 - y0, least), max(x1 - x0, least)
    return max(y0 - dy, 0), max(x0 - dx, 0), min(y1 + dy, shape[0]), min(x1 + dx, shape[1])


def _in_world(
    viewer: "ViewerModel", regions: "Labels", found: Finding
) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and highest world coordinates of a region and its surroundings, on all of the viewer's axes."""
    data = regions.data[0] if regions.multiscale else regions.data
    y0, x0, y1, x1 = with_surroundings(found.box, data.shape[-2:])
    leading = np.unravel_index(found.image, data.shape[:-2]) if data.ndim > 2 else ()
    corners = product((y0 - 0.5, y1 - 0.5), (x0 - 0.5, x1 - 0.5))
    world = np.array([regions.data_to_world((*leading, *corner)) for corner in corners])
    others = np.asarray(viewer.dims.point)[: viewer.dims.ndim - regions.ndim]
    return np.concatenate([others, world.min(0)]), np.concatenate([others, world.max(0)])


def _size(area: int, layer: "Layer") -> str:
    """Give an area in the layer's units, empty where they are pixels."""
    unit_y, unit_x = layer.units[-2:]
    if any(str(unit) == "pixel" for unit in (unit_y, unit_x)):
        return ""
    size = area * abs(float(np.prod(layer.scale[-2:]))) * unit_y * unit_x
    return f"{size.to(unit_y**2):.4g~P}"


def _brightness(
    family: Family, image: int, inside: Bool[np.ndarray, "y x"], detector: "Detector | None"
) -> tuple[float | None, float | None]:
    """Compare with the reconstruction what it was made of: the image after the recipe's steps."""
    if family.source is None or family.reconstruction is None or detector is None:
        return None, None
    try:
        pixels, undo = detector.recipe.preprocess.apply(plane(family.source, image))
    except ImageError:  # a detector for other images
        return None, None
    seen, expected = undo(pixels), plane(family.reconstruction, image)
    return float(seen[inside].mean()), float(expected[inside].mean())


def _times(value: float, limit: float) -> str:
    return f", {value / limit:.2g} x the limit of {limit:.3g}" if limit > 0 else ""


def _chance(p_value: float, normals: int | None) -> str:
    """Put a p-value as a count of images: people read those right."""
    least = normals is not None and p_value * (normals + 1) < 1.5  # only the image itself counts
    often = f"1 in {1 / p_value:.0f}" if p_value < 0.2 else f"{p_value:.0%}"
    some = f"{'at most ' if least else ''}{often} {'' if p_value < 0.2 else 'of '}normal images"
    verb = "has" if p_value < 0.2 else "have"
    none = f"; none of the {normals} held out" if least else ""
    return f"{some} {verb} a peak this high anywhere{none}"


def _compared(inside: float, expected: float) -> str:
    if f"{inside:.2f}" == f"{expected:.2f}":
        return f"as bright as reconstructed ({inside:.2f}, from 0 to 1)"
    how = "darker" if inside < expected else "brighter"
    return f"{how} than reconstructed by {abs(inside - expected):.2f} ({inside:.2f}, not {expected:.2f}, from 0 to 1)"
