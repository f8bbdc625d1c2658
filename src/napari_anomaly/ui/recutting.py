"""Regions follow the threshold: cut anew from the anomaly maps that are there; no network runs."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anomaly.core.regions import regions
from napari_anomaly.core.types import Inspection, Progress, Region
from napari_anomaly.ui.family import REGIONS, ROLE, Family, family_of, number_shown
from napari_anomaly.ui.numbering import DIGESTS, digest, region_rows, region_table

if TYPE_CHECKING:
    import pandas as pd
    from napari.components import ViewerModel
    from napari.layers import Labels, Layer

    from napari_anomaly.core.calibration import Calibration
    from napari_anomaly.core.detector import Detector

CUT_AT = "map_threshold"
"""Key of metadata of maps and regions; None in the latter while images differ."""


@dataclass(frozen=True, eq=False)
class Cut:
    """The regions of one image, without its background: that is most of it.

    Attributes
    ----------
    inside : int array, ``(k,)``
        Flat indices of the pixels in regions.
    labels : int array, ``(k,)``
        Number of each one's region, from 1.
    regions : tuple of Region
    """

    inside: np.ndarray
    labels: np.ndarray
    regions: tuple[Region, ...]


def cut(detector: "Detector", anomaly_map: np.ndarray) -> Cut:
    """Cut a map ``(y, x)`` as the detector does when it inspects."""
    calibration = detector.calibration
    labels, found = regions(
        anomaly_map,
        calibration.map_threshold,
        calibration.map_p_value,
        min_area=detector.recipe.min_area,
    )
    inside = np.flatnonzero(labels)
    return Cut(inside, labels.ravel()[inside], found)


def judged(detector: "Detector", result: Inspection) -> Inspection:
    """Return what an inspection says at the detector's present thresholds; its pixels are shared."""
    calibration = detector.calibration
    known = replace(
        result, verdict=calibration.verdict(result.score), threshold=calibration.threshold
    )
    if not result.localises or result.map_threshold == calibration.map_threshold:
        return known
    new = cut(detector, result.anomaly_map)
    labels = np.zeros_like(result.labels)
    np.put(labels, new.inside, new.labels)
    limit = calibration.map_threshold
    return replace(known, labels=labels, regions=new.regions, map_threshold=limit)


def families_of(viewer: "ViewerModel", detector: "Detector") -> list[Family]:
    """List what this detector inspected and can be cut anew, whatever its rates were then.

    Maps of another detector have another scale, and maps that are computed when they are looked at cannot be cut
    without running the network: both are left out, as is what an inspection still fills; that follows by itself.
    """
    families = [
        family_of(viewer, layer) for layer in viewer.layers if layer.metadata.get(ROLE) == REGIONS
    ]
    known = [one for one in families if one is not None and _in_memory(one) and _complete(one)]
    return [one for one in known if _made_by(detector.calibration, one.anomaly_map)]


def judge_anew(family: Family, calibration: "Calibration") -> None:
    """Write the present threshold and verdicts into the layers' metadata."""
    for layer in (family.reconstruction, family.anomaly_map, family.regions):
        if layer is not None:
            score: Any = layer.metadata["score"]
            stacked = isinstance(score, list)
            layer.metadata["threshold"] = calibration.threshold
            layer.metadata["verdict"] = (
                [None if np.isnan(one) else calibration.verdict(one) for one in score]
                if stacked
                else calibration.verdict(score)
            )


def recut_shown(viewer: "ViewerModel", family: Family, detector: "Detector") -> bool:
    """Cut the image on screen anew, at once.

    In a stack its regions get the numbers after those of the other images, so that numbers and rows agree until all
    images are cut, by `recut_all` and `show_all`.

    Returns
    -------
    bool
        False where a person painted into the image's regions: then nothing is changed.
    """
    layer: Any = family.regions
    number = number_shown(viewer, layer)
    if _is_painted(layer, number):
        return False
    new = cut(detector, _image(family.anomaly_map, number))
    others = np.flatnonzero(layer.features["image"].to_numpy() != number)
    first = int(others[-1]) + 1  # the rows of this image, if it was cut before, are the last ones
    _write(layer, number, new, first)
    rows = layer.features.iloc[:first]
    _show(layer, _only(rows, rows["image"] != number), region_rows(new.regions, number, first))
    layer.metadata[CUT_AT] = None  # as long as the others are not
    return True


def recut_all(
    families: Sequence[Family], detector: "Detector"
) -> Generator[Progress, None, list[list[Cut]]]:
    """Cut all images of some families anew; for a thread. Nothing is shown: see `show_all`."""
    maps = [_images(family.anomaly_map) for family in families]
    total, done = sum(len(images) for images in maps), 0
    cuts: list[list[Cut]] = []
    for images in maps:
        cuts.append([])
        for anomaly_map in images:
            cuts[-1].append(cut(detector, anomaly_map))
            done += 1
            yield Progress("cutting regions", done, total)
    return cuts


def show_all(family: Family, cuts: Sequence[Cut], calibration: "Calibration") -> list[int]:
    """Show what `recut_all` found in one family, numbered over all images.

    Returns
    -------
    list of int
        The images that a person painted in. They stay as they are, as do the numbers in them.
    """
    layer: Any = family.regions
    painted = [number for number in range(len(cuts)) if _is_painted(layer, number)]
    kept = _rows_kept(layer, painted)
    counts = np.ravel(layer.metadata["regions"]).tolist()
    rows: list[dict[str, Any]] = []
    for number, new in enumerate(cuts):
        if number not in painted:
            first = len(kept) + len(rows)
            _write(layer, number, new, first)
            rows += region_rows(new.regions, number, first)
            counts[number] = len(new.regions)
    _show(layer, kept, rows)
    stacked = isinstance(layer.metadata["regions"], list)
    for member in (family.reconstruction, family.anomaly_map, layer):
        if member is not None:
            member.metadata["regions"] = list(counts) if stacked else counts[0]
    anomaly_map: Any = family.anomaly_map
    for one in (anomaly_map, layer):
        one.metadata[CUT_AT] = calibration.map_threshold
    return painted


def is_stale(family: Family, calibration: "Calibration") -> bool:
    """Tell whether some of the regions were cut at another threshold."""
    layer: Any = family.regions
    return bool(layer.metadata[CUT_AT] != calibration.map_threshold)


def _in_memory(family: Family) -> bool:
    layers = (family.anomaly_map, family.regions)
    return all(layer is not None and isinstance(layer.data, np.ndarray) for layer in layers)


def _complete(family: Family) -> bool:
    """Tell whether no inspection writes into the layers any more."""
    return family.regions is not None and DIGESTS in family.regions.metadata


def _made_by(calibration: "Calibration", layer: "Layer | None") -> bool:
    """Thresholds are always among the numbers of the held-out normals, and those are a detector's own."""
    about: Any = layer.metadata if layer is not None else {}
    return about.get("threshold") in calibration.scores and (about.get(CUT_AT) in calibration.peaks)


def _images(layer: Any) -> Any:
    return layer.data.reshape(-1, *layer.data.shape[-2:])


def _image(layer: Any, number: int) -> Any:
    """Return one image of a stack, in C order of the leading axes, as a view."""
    leading = layer.data.shape[:-2]
    return layer.data[np.unravel_index(number, leading)] if leading else layer.data


def _is_painted(layer: Any, number: int) -> bool:
    known: int = layer.metadata[DIGESTS][number]
    return digest(_image(layer, number)) != known


def _rows_kept(layer: Any, painted: Sequence[int]) -> "pd.DataFrame":
    """Keep the background's row, and those of a person's images up to their highest number; others there are empty."""
    highest = max((int(_image(layer, number).max()) for number in painted), default=0)
    rows = layer.features.reindex(range(highest + 1))
    return _only(rows, rows["image"].isin(painted))


def _only(rows: "pd.DataFrame", kept: "pd.Series") -> "pd.DataFrame":
    """Empty the other rows: their numbers stay free, so that row k is about label k."""
    import pandas as pd  # comes with napari

    images = [image if keep else None for image, keep in zip(rows["image"], kept, strict=True)]
    return rows.where(kept).assign(
        index=range(len(rows)), image=pd.Series(images, rows.index, object)
    )


def _write(layer: "Labels", number: int, new: Cut, first: int) -> None:
    image = _image(layer, number)
    image[...] = 0
    np.put(image, new.inside, new.labels + (first - 1))
    layer.metadata[DIGESTS][number] = digest(image)


def _show(layer: "Labels", kept: "pd.DataFrame", rows: Sequence[dict[str, Any]]) -> None:
    import pandas as pd  # comes with napari

    layer.features = pd.concat([kept, region_table(rows)], ignore_index=True)
    layer.refresh(extent=False, thumbnail=False, highlight=False)
