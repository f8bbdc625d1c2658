"""Regions of a map that comes tile by tile, equal to those of `regions` of the whole map, which is never held.

Each tile is cut into connected parts of foreground (8-connected) and background (4-connected). What stays of them is a
table of features and the pairs of parts that lie side by side; the rest is connected components of graphs.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import find_objects, label
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_anomaly.core.types import AnomalyMap, Region

Line = Int[np.ndarray, " k"]
"""Numbers of parts along a line of pixels: from 1, negative in the background, 0 outside the map."""

Pairs = Int[np.ndarray, "pair 2"]

_EIGHT = np.ones((3, 3), dtype=bool)


class Features(NamedTuple):
    """Of each part: what adds up, and the lowest and the highest of what counts."""

    sums: Float[np.ndarray, "part 4"]  # pixels, y, x, value
    lows: Float[np.ndarray, "part 3"]  # y, x, place of the first pixel in reading order
    highs: Float[np.ndarray, "part 3"]  # y + 1, x + 1, value


class Outlines:
    """Takes the tiles of a map from left to right in bands from top to bottom, and returns the regions at the end.

    Parameters
    ----------
    shape : tuple of int
        ``(y, x)`` of the whole map.
    threshold : float
        A pixel belongs to a region if it is strictly above.
    """

    def __init__(self, shape: tuple[int, int], threshold: float) -> None:
        self._shape, self._threshold = shape, threshold
        self._count = 0
        self._features: list[Features] = []
        self._inside: list[Bool[np.ndarray, " part"]] = []
        self._outer: list[Line] = []  # parts at the map's own border
        self._pairs: list[Pairs] = []  # parts side by side; diagonally, too, if both are foreground
        self._above = self._below = np.zeros(shape[1], np.int64)  # pixels next to the tile to come
        self._left = np.zeros(0, np.int64)

    def add(self, y0: int, x0: int, tile: AnomalyMap) -> None:
        """Take the map from ``(y0, x0)`` on."""
        # float64, or NumPy would round the threshold to the map's float32 and `>` would not be strict.
        mask = tile > np.float64(self._threshold)
        foreground, n = label(mask, structure=_EIGHT, output=np.int64)
        # most tiles are background alone
        background, m = label(~mask, output=np.int64) if n else (np.ones_like(foreground), 1)
        index = np.where(mask, foreground, background + n)  # from 1
        measured = _measured if n else _measured_as_one
        self._features.append(measured(tile, index, (y0, x0), self._shape[1]))
        self._inside.append(np.arange(n + m) < n)
        numbers = np.where(mask, index, -index) + np.where(mask, self._count, -self._count)
        self._count += n + m
        self._pair(numbers, y0, x0)

    def regions(self, p_value: Callable[[float], float], min_area: int) -> tuple[Region, ...]:
        """Return the regions: parts of fewer than ``min_area`` pixels dropped, then holes filled.

        Parameters
        ----------
        p_value : callable
            Highest value of a region -> its p-value.
        min_area : int
        """
        features = Features(*map(np.concatenate, zip(*self._features, strict=True)))
        group, count = self._grouped(features.sums[:, 0], min_area)
        found = _gathered(features, group, count)
        order = np.argsort(found.lows[:, 2])  # as labels are numbered
        rows = zip(*(column[order] for column in found), strict=True)
        return tuple(_region(k, Features(*row), p_value) for k, row in enumerate(rows, start=1))

    def _pair(self, numbers: Int[np.ndarray, "y x"], y0: int, x0: int) -> None:
        """Note which parts lie side by side, in the tile and across its upper and left border."""
        (height, width), whole = numbers.shape, self._shape
        if x0 == 0:
            self._above, self._below = self._below, np.zeros(whole[1], np.int64)
            self._left = np.zeros(height, np.int64)
        above = np.pad(self._above, 1)[x0 : x0 + width + 2]  # with both corners
        top, first, left = numbers[0], numbers[:, 0], self._left
        for a, b in (
            (numbers[:, :-1].ravel(), numbers[:, 1:].ravel()),
            (numbers[:-1].ravel(), numbers[1:].ravel()),
        ):
            self._pairs.append(_pairs_of(a, b, a != b))
        self._pairs += [_pairs_of(above[1:-1], top, top != 0), _pairs_of(left, first, first != 0)]
        diagonal = [(above[:-2], top), (above[2:], top)]
        for a, b in [*diagonal, (left[:-1], first[1:]), (left[1:], first[:-1])]:
            self._pairs.append(_pairs_of(a, b, (a > 0) & (b > 0)))
        ends = (y0 == 0, x0 == 0, y0 + height == whole[0], x0 + width == whole[1])
        lines = (top, first, numbers[-1], numbers[:, -1])
        self._outer += [np.unique(line) for line, end in zip(lines, ends, strict=True) if end]
        self._below[x0 : x0 + width], self._left = numbers[-1], numbers[:, -1].copy()

    def _grouped(self, area: Float[np.ndarray, " part"], min_area: int) -> tuple[Line, int]:
        """Number of the region that each part belongs to, -1 if none; and how many regions there are."""
        inside, pairs = np.concatenate(self._inside), np.concatenate(self._pairs)
        outer = np.abs(np.concatenate(self._outer)) - 1

        kind = inside[pairs]
        whole = _merged(len(inside), pairs[kind[:, 0] == kind[:, 1]])
        solid = (np.bincount(whole, area) >= min_area) & _any(whole, inside)
        pairs = whole[pairs]

        ground = _merged(len(solid), pairs[~solid[pairs].any(1)])  # what was dropped is background
        solid, pairs = _any(ground, solid), ground[pairs]
        hole = ~(solid | _any(ground[whole], np.isin(np.arange(len(whole)), outer)))

        group = _merged(len(solid), pairs[(solid | hole)[pairs].all(1)])
        real = _any(group, solid)
        number = np.where(real, np.cumsum(real) - 1, -1)
        return number[group[ground[whole]]], int(real.sum())


def _pairs_of(a: Line, b: Line, which: Bool[np.ndarray, " k"]) -> Pairs:
    """Pairs of parts ``(a, b)``, counted from 0, each once; pixels outside the map are no part."""
    which = which & (a != 0)
    if not which.any():
        return np.empty((0, 2), np.int64)
    return np.unique(np.stack([np.abs(a[which]), np.abs(b[which])], 1) - 1, axis=0)


def _measured(
    tile: AnomalyMap, index: Int[np.ndarray, "y x"], corner: tuple[int, int], whole_width: int
) -> Features:
    """Features of a tile's parts 1, 2, ..., in places of the whole map."""
    part, value = index.ravel() - 1, tile.ravel()
    count = int(part.max()) + 1
    y, x = np.divmod(np.arange(part.size), tile.shape[1])
    y, x = y + corner[0], x + corner[1]
    first = np.empty(count)
    first[part[::-1]] = (y * whole_width + x)[::-1]  # the last one written stays
    peak = np.full(count, -np.inf)
    np.maximum.at(peak, part, value.astype(np.float64))
    boxes = np.array(
        [
            [(rows.start, rows.stop), (columns.start, columns.stop)]
            for rows, columns in find_objects(index)
        ]
    )
    boxes = boxes + np.reshape(corner, (2, 1))  # (part, axis, end)
    sums = [np.bincount(part, weights, count) for weights in (None, y, x, value)]
    return Features(
        np.stack(sums, axis=1).astype(np.float64),
        np.column_stack([boxes[..., 0], first]),
        np.column_stack([boxes[..., 1], peak]),
    )


def _measured_as_one(
    tile: AnomalyMap, index: Int[np.ndarray, "y x"], corner: tuple[int, int], whole_width: int
) -> Features:
    """Features of a tile that is one part."""
    (y0, x0), (height, width) = corner, tile.shape
    middle = y0 + (height - 1) / 2, x0 + (width - 1) / 2
    sums = [tile.size, *(tile.size * one for one in middle), tile.sum(dtype=np.float64)]
    lows, highs = [y0, x0, y0 * whole_width + x0], [y0 + height, x0 + width, tile.max()]
    return Features(*(np.asarray(one, np.float64)[None] for one in (sums, lows, highs)))


def _gathered(features: Features, group: Line, count: int) -> Features:
    """Features of groups of parts; those of group -1 are left out."""
    kept = np.flatnonzero(group >= 0)
    result = Features(
        np.zeros((count, 4)), np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
    )
    for gather, into, one in zip((np.add, np.minimum, np.maximum), result, features, strict=True):
        gather.at(into, group[kept], one[kept])
    return result


def _merged(count: int, pairs: Pairs) -> Line:
    """Connected component of each of ``count`` nodes."""
    graph = coo_array((np.ones(len(pairs), bool), tuple(pairs.T)), (count, count))
    component: Line = connected_components(graph, directed=False)[1].astype(np.int64)
    return component


def _any(group: Line, true: Bool[np.ndarray, " part"]) -> Bool[np.ndarray, " group"]:
    """Whether something is true of any member of each group."""
    result = np.zeros(int(group.max()) + 1, bool)
    result[group[true]] = True
    return result


def _region(number: int, one: Features, p_value: Callable[[float], float]) -> Region:
    area, y, x, value = one.sums
    peak = float(one.highs[2])
    return Region(
        label=number,
        area=int(area),
        bbox=(int(one.lows[0]), int(one.lows[1]), int(one.highs[0]), int(one.highs[1])),
        centroid=(float(y / area), float(x / area)),
        max_score=peak,
        mean_score=float(value / area),
        p_value=p_value(peak),
    )
