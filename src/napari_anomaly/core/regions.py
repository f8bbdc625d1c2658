"""Anomaly map + threshold -> labelled regions with features."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Int

from napari_anomaly.core.types import AnomalyMap, Region

Labels = Int[np.ndarray, "y x"]

_EIGHT = np.ones((3, 3), dtype=bool)
_FOUR = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=bool)


def regions(
    anomaly_map: AnomalyMap,
    threshold: float,
    p_value: Callable[[float], float],
    *,
    min_area: int = 9,
    fill: bool = True,
) -> tuple[Labels, tuple[Region, ...]]:
    """Cut a map into 8-connected regions above a threshold.

    Parameters
    ----------
    anomaly_map : float array, ``(y, x)``
        Higher is stranger.
    threshold : float
        A pixel belongs to a region if it is strictly above.
    p_value : callable
        Highest value of a region -> its p-value, like `Calibration.map_p_value`.
    min_area : int
        Components of fewer pixels are noise and dropped, before holes are filled.
    fill : bool
        Whether the holes of a region belong to it.

    Returns
    -------
    labels : int32 array, ``(y, x)``
        0 is background, 1..N the regions without gaps, in order of their first pixel.
    regions : tuple of Region
        Ordered by label. Filled holes count towards area, centroid and mean.
    """
    if min_area < 1:
        raise ValueError(f"Found min_area={min_area}; a region has at least 1 pixel.")
    if np.isnan(anomaly_map).any():
        raise ValueError("The anomaly map holds NaN; no threshold can cut it.")
    # float64, or NumPy would round the threshold to the map's float32 and `>` would not be strict.
    mask = anomaly_map > np.float64(threshold)
    labels = np.zeros(mask.shape, np.int32)
    if mask.any():
        window = _window(mask)
        labels[window] = _labelled(mask[window], min_area, fill)
    return labels, _measure(labels, anomaly_map, p_value)


def _window(mask: Bool[np.ndarray, "y x"]) -> tuple[slice, slice]:
    """Smallest rectangle that holds all of a mask: labelling costs by the pixel."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _labelled(mask: Bool[np.ndarray, "y x"], min_area: int, fill: bool) -> Labels:
    mask = _without_small(mask, min_area)
    if fill:
        mask = _filled(mask)
    return _connected(mask, _EIGHT)


def _connected(mask: Bool[np.ndarray, "y x"], neighbours: Bool[np.ndarray, "3 3"]) -> Labels:
    from scipy.ndimage import label  # a quarter of a second, which a normal image need not wait for

    labels: Labels
    labels, _ = label(mask, neighbours, output=np.int32)
    return labels


def _without_small(mask: Bool[np.ndarray, "y x"], min_area: int) -> Bool[np.ndarray, "y x"]:
    labels = _connected(mask, _EIGHT)
    keep = np.bincount(labels.ravel()) >= min_area
    keep[0] = False
    kept: Bool[np.ndarray, "y x"] = keep[labels]
    return kept


def _filled(mask: Bool[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    """Add the holes: background that no 4-connected path (the dual of 8) leads out of."""
    background = _connected(~mask, _FOUR)
    open_ = np.zeros(background.max() + 1, dtype=bool)
    for edge in (background[0], background[-1], background[:, 0], background[:, -1]):
        open_[edge] = True
    open_[0] = False  # label 0 is the mask itself
    filled: Bool[np.ndarray, "y x"] = ~open_[background]
    return filled


def _measure(
    labels: Labels, anomaly_map: AnomalyMap, p_value: Callable[[float], float]
) -> tuple[Region, ...]:
    """Features of all regions at once, from the pixels inside regions only."""
    inside = np.flatnonzero(labels)
    if inside.size == 0:
        return ()
    index = labels.ravel()[inside] - 1
    y, x = np.divmod(inside, labels.shape[1])
    values = anomaly_map.ravel()[inside]
    n = int(index.max()) + 1

    area = np.bincount(index, minlength=n)
    low = np.full((2, n), np.iinfo(np.int64).max)
    high = np.zeros((2, n), dtype=np.int64)
    for axis, position in enumerate((y, x)):
        np.minimum.at(low[axis], index, position)
        np.maximum.at(high[axis], index, position + 1)
    peak = np.full(n, -np.inf)
    np.maximum.at(peak, index, values)
    centroid_y, centroid_x, mean = (np.bincount(index, weights=w) / area for w in (y, x, values))

    rows = zip(area, *low, *high, centroid_y, centroid_x, peak, mean, strict=True)
    return tuple(
        Region(
            label=i,
            area=int(a),
            bbox=(int(y0), int(x0), int(y1), int(x1)),
            centroid=(float(cy), float(cx)),
            max_score=float(top),
            mean_score=float(average),
            p_value=p_value(float(top)),
        )
        for i, (a, y0, x0, y1, x1, cy, cx, top, average) in enumerate(rows, start=1)
    )
