"""Images of any size, scored tile by tile in memory that does not grow with them."""

import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from napari_anomaly.core.calibrating import on_own_grid, score_of
from napari_anomaly.core.calibration import Calibration
from napari_anomaly.core.components import Outlines
from napari_anomaly.core.data.files import write_atomically
from napari_anomaly.core.data.large import Large, Rectangle, Sliceable, npy_file, opened
from napari_anomaly.core.detector import Detector
from napari_anomaly.core.errors import DataError, DataWarning, ImageError, RecipeError
from napari_anomaly.core.methods.fitted import Reach
from napari_anomaly.core.preprocess import (
    ChannelOrder,
    Colour,
    Crop,
    FalseColour,
    Pixels,
    Preprocessing,
    Resize,
    Undo,
)
from napari_anomaly.core.progress import watched
from napari_anomaly.core.scoring import Scorer
from napari_anomaly.core.tables import REGION_COLUMNS, csv_bytes, region_row
from napari_anomaly.core.threads import first_alone, in_order
from napari_anomaly.core.tiles import Axis, Overlaps, margin, moves
from napari_anomaly.core.types import AnomalyMap, Progress, Region, Verdict

LARGEST_KEPT = 2**26
"""Pixels up to which a map is returned in memory; a larger one needs a place to be written to."""

_TILES = (64, 4096)  # pixels
_LARGEST_WINDOW = 8192  # pixels of the method's grid
_THREADS = 2  # one reads and writes while the other computes; every tile in work costs memory
_POINTWISE = (Colour, FalseColour, ChannelOrder, Resize)


@dataclass(frozen=True, eq=False)
class Scan:
    """What a detector says about a large image.

    The image is judged in fields: cells of the training images' size, side by side from the upper left corner; those
    at the right and lower border may be smaller. **The false-alarm rate holds for each field**: of 400 normal fields,
    about 400 times the rate fail.

    Attributes
    ----------
    anomaly_map : array, ``(y, x)``
        On the image's own pixel grid: float32 in memory, the written file mapped, or the array that was given. Regions
        are where it is above `map_threshold`, with their holes filled.
    field : tuple of int
        Height and width of a field, pixels.
    scores, p_values : float64 array, ``(row, column)``
        Of each field.
    verdicts : array of str, ``(row, column)``
        ``"pass"``, ``"review"`` or ``"fail"``.
    threshold, map_threshold : float
        As for :class:`Inspection`.
    regions : tuple of Region
        Of the whole image; their p-values are shares of normal fields.
    """

    anomaly_map: Any
    field: tuple[int, int]
    scores: Float[np.ndarray, "row column"]
    p_values: Float[np.ndarray, "row column"]
    verdicts: np.ndarray
    threshold: float
    map_threshold: float
    regions: tuple[Region, ...]

    @property
    def worst(self) -> tuple[int, int]:
        """Row and column of the field with the highest score."""
        row, column = np.unravel_index(int(self.scores.argmax()), self.scores.shape)
        return int(row), int(column)

    @property
    def score(self) -> float:
        """Highest score of a field."""
        return float(self.scores[self.worst])

    @property
    def verdict(self) -> Verdict:
        """Verdict of the field with the highest score."""
        verdict: Verdict = self.verdicts[self.worst].item()
        return verdict


class Seen(NamedTuple):
    """Map of a tile, and latent scores of the windows that begin at ``(y, x)``, where the method has such."""

    anomaly_map: AnomalyMap
    latents: Mapping[tuple[int, int], float | None]


Look = Callable[[Rectangle], Seen]
Write = Callable[[Rectangle, AnomalyMap], None]


def scan(
    detector: Detector,
    image: Sliceable | str | PathLike[str],
    *,
    out: Any = None,
    tile: int = 512,
) -> Scan:
    """Find what does not belong in an image of any size, with a progress bar on standard error.

    Takes the arguments of :func:`scan_steps`; blocks until done.
    """
    return watched(scan_steps(detector, image, out=out, tile=tile))


def scan_steps(
    detector: Detector,
    image: Sliceable | str | PathLike[str],
    *,
    out: Any = None,
    tile: int = 512,
) -> Generator[Progress, None, Scan]:
    """Find what does not belong in an image of any size, tile by tile, in memory that does not grow with the image.

    The image is looked at on the scale of the training images, as if it were made of many of them. A method that sees
    only the surroundings of a pixel gives the map that it would give of the whole image at once: tiles are read with
    the margin that it sees. A larger image has no places to compare with those of the training images: their statistics
    are pooled, and thresholds are those of held-out normals seen that way. Methods that
    see a whole image (a dense latent, whole-image components), and recipes with steps or scores that do (equalisation,
    latent scores), look at windows of the training images' size, half overlapping and blended.

    Parameters
    ----------
    detector : Detector
        Fitted to images of one size.
    image : array-like or path
        ``(y, x)`` or ``(y, x, c)``, anything that is sliced as NumPy does (zarr, dask, a mapped file), or a file:
        ``.npy``, ``.zarr``, ``.tif``.
    out : path or array-like, optional
        Where the map goes: a ``.npy`` file, or a float32 array ``(y, x)`` that takes slices. Needed above 2^26 pixels.
    tile : int
        Side in pixels of what is scored at once, 64 to 4096; rounded down to whole fields, at least one.

    Yields
    ------
    Progress

    Returns
    -------
    Scan

    Raises
    ------
    ImageError
        If the image, or a part of it, cannot be used; names the part.
    RecipeError
        If the detector's scale is unknown, or its recipe has no meaning for a larger image.
    DataError
        If the map cannot go to ``out``.

    Warns
    -----
    DataWarning
        If an earlier version fitted the detector, and left no thresholds for pooled statistics of places.
    """
    preprocess = detector.recipe.preprocess
    field = _field(preprocess)
    if not _TILES[0] <= tile <= _TILES[1]:
        raise DataError(f"found tiles of {tile} pixels; expected {_TILES[0]} to {_TILES[1]}")
    with opened(image) as large, _canvas(out, large.shape) as (write, written):
        if large.shape[0] < field[0] or large.shape[1] < field[1]:
            raise ImageError(
                f"{large.name}: found {large.shape[0]} x {large.shape[1]} pixels; expected at least the {field[0]} x "
                f"{field[1]} of the training images. Inspect it instead."
            )
        tiles = tuple(max(1, tile // side) * side for side in field)
        local = _pointwise(preprocess, field) and detector.recipe.score == "map"
        reaches = detector.fitted.reach() if local else None
        look = (
            _by_windows(detector, large, field)
            if reaches is None
            else _by_margins(detector, large, field, tiles, reaches)
        )
        calibration = detector.calibration if reaches is None else _calibration(detector)
        outlines = Outlines(large.shape, calibration.map_threshold)
        areas = list(_areas(large.shape, tiles))
        scores = np.empty([-(-side // one) for side, one in zip(large.shape, field, strict=True)])
        with closing(in_order(first_alone(look), areas, threads=_THREADS)) as seen:
            for done, (area, one) in enumerate(zip(areas, seen, strict=True), start=1):
                write(area, one.anomaly_map)
                outlines.add(area[0].start, area[1].start, one.anomaly_map)
                for row, column, score in _scores(detector, area, one, field, large.shape):
                    scores[row, column] = score
                yield Progress("scanning", done, len(areas))
    return Scan(
        written(),
        field,
        scores,
        np.vectorize(calibration.p_value, otypes=[float])(scores),
        np.vectorize(calibration.verdict, otypes=[str])(scores),
        calibration.threshold,
        calibration.map_threshold,
        outlines.regions(calibration.map_p_value, detector.recipe.min_area),
    )


def scan_into(
    folder: Path, detector: Detector, image: Path, *, tile: int = 512
) -> Generator[Progress, None, Scan]:
    """Scan an image file and write ``map.npy``, ``regions.csv``, and last ``fields.csv``; see :func:`scan_steps`."""
    result = yield from scan_steps(detector, image, out=folder / "map.npy", tile=tile)
    regions = [region_row(image.name, one) for one in result.regions]
    write_atomically(folder / "regions.csv", csv_bytes(REGION_COLUMNS, regions))
    rows = [
        {
            "row": row,
            "column": column,
            "y0": row * result.field[0],
            "x0": column * result.field[1],
            "score": float(score),
            "p_value": float(result.p_values[row, column]),
            "verdict": str(result.verdicts[row, column]),
        }
        for (row, column), score in np.ndenumerate(result.scores)
    ]
    write_atomically(folder / "fields.csv", csv_bytes(list(rows[0]), rows))
    return result


def _field(preprocess: Preprocessing) -> tuple[int, int]:
    if any(isinstance(step, Crop) for step in preprocess.steps):
        raise RecipeError(
            "found a crop among the detector's steps: a region of the training images, which a larger image does not "
            "have. Crop the images beforehand, and fit without that step."
        )
    if preprocess.field is None:
        raise RecipeError(
            "the detector does not know the scale to look at a larger image on: its training images differed in size, "
            "or an earlier version fitted it. Fit anew, to images of one size."
        )
    return preprocess.field


def _pointwise(preprocess: Preprocessing, field: tuple[int, int]) -> bool:
    """Whether the steps look at each place of an image alone, once its scale is that of the method."""
    resizes = [step for step in preprocess.steps if isinstance(step, Resize)]
    padded = any(
        one.keep_aspect and one.size[0] * field[1] != one.size[1] * field[0] for one in resizes
    )
    alone = all(isinstance(step, _POINTWISE) for step in preprocess.steps)
    return alone and len(resizes) <= 1 and not padded


def _areas(shape: tuple[int, int], tiles: tuple[int, ...]) -> Iterator[Rectangle]:
    for y in range(0, shape[0], tiles[0]):
        for x in range(0, shape[1], tiles[1]):
            yield slice(y, min(y + tiles[0], shape[0])), slice(x, min(x + tiles[1], shape[1]))


def _calibration(detector: Detector) -> Calibration:
    """Return the thresholds for maps whose places are not known."""
    calibration = detector.calibration
    if detector.standardisation.mean[0].size > 1 and calibration.anywhere is None:
        warnings.warn(
            "the detector compares each place with the same place of the training images, which a larger image does "
            "not have: statistics are pooled, and more normal fields than wanted may fail, as an earlier version left "
            "no thresholds for that. Fit or calibrate anew.",
            DataWarning,
            stacklevel=3,
        )
    return calibration.for_any_place()


def _by_margins(
    detector: Detector,
    large: Large,
    field: tuple[int, int],
    tiles: tuple[int, ...],
    reaches: tuple[Reach, ...],
) -> Look:
    """Look at tiles with the margin that the method sees."""
    recipe, standardisation = detector.recipe, detector.standardisation
    grid = recipe.preprocess.grid or (*field, 1)
    moved = moves(reaches, recipe.residual)
    axes = [
        Axis.of(*sides, moved, margin(reaches, recipe.residual, *sides[1:3]))
        for sides in zip(large.shape, field, grid[:2], tiles, strict=True)
    ]
    preprocess = _resized(recipe.preprocess, *(axis.fine * axis.steps for axis in axes))
    scorer = Scorer.of(recipe, detector.fitted, standardisation.pooled())

    def look(area: Rectangle) -> Seen:
        rows, columns = (axis.window(one.start) for axis, one in zip(axes, area, strict=True))
        pixels, undo = _named(preprocess, large, (rows, columns))
        anomaly_map = on_own_grid(scorer(pixels)[0], undo)
        y, x = area[0].start - rows.start, area[1].start - columns.start
        height, width = (one.stop - one.start for one in area)
        return Seen(anomaly_map[y : y + height, x : x + width], {})

    return look


def _resized(preprocess: Preprocessing, height: int, width: int) -> Preprocessing:
    """Return the same steps for a window of this size on the method's grid."""
    if max(height, width) > _LARGEST_WINDOW:
        raise RecipeError(
            f"found windows of {height} x {width} pixels on the method's grid; expected at most {_LARGEST_WINDOW}. "
            "Take smaller tiles, or fit to smaller images."
        )
    steps = tuple(
        replace(step, size=(height, width), keep_aspect=False) if isinstance(step, Resize) else step
        for step in preprocess.steps
    )
    grid = preprocess.grid and (height, width, preprocess.grid[2])
    return replace(preprocess, steps=steps, grid=grid)


def _by_windows(detector: Detector, large: Large, field: tuple[int, int]) -> Look:
    """Look at windows as large as the training images, and blend them."""
    recipe = detector.recipe
    axes = [Overlaps.of(*sides) for sides in zip(large.shape, field, strict=True)]
    scorer = Scorer.of(recipe, detector.fitted, detector.standardisation, detector.space)

    def look(area: Rectangle) -> Seen:
        anomaly_map = np.zeros([one.stop - one.start for one in area], np.float32)
        latents: dict[tuple[int, int], float | None] = {}
        across = (axis.touching(one) for axis, one in zip(axes, area, strict=True))
        for (y, rows, in_y, along_y), (x, columns, in_x, along_x) in product(*across):
            window = slice(y, y + field[0]), slice(x, x + field[1])
            pixels, undo = _named(recipe.preprocess, large, window)
            standardised, _, latents[y, x] = scorer(pixels)
            one = on_own_grid(standardised, undo)[in_y, in_x]
            anomaly_map[rows, columns] += along_y[:, None] * along_x * one
        return Seen(anomaly_map, latents)

    return look


def _named(preprocess: Preprocessing, large: Large, window: Rectangle) -> tuple[Pixels, Undo]:
    """Preprocess a window, whose part beyond the image repeats its edge; an error tells where it is."""
    inside = tuple(
        slice(one.start, min(one.stop, end)) for one, end in zip(window, large.shape, strict=True)
    )
    beyond = [(0, one.stop - cut.stop) for one, cut in zip(window, inside, strict=True)]
    try:
        pixels = large.read((inside[0], inside[1]))
        beyond += [(0, 0)] * (pixels.ndim - 2)
        return preprocess.apply(np.pad(pixels, beyond, mode="edge"))
    except ImageError as error:
        (y0, y1), (x0, x1) = ((one.start, one.stop) for one in inside)
        raise ImageError(
            f"{large.name}, rows {y0} to {y1}, columns {x0} to {x1}: {error}"
        ) from error


def _scores(
    detector: Detector,
    area: Rectangle,
    seen: Seen,
    field: tuple[int, int],
    shape: tuple[int, int],
) -> Iterator[tuple[int, int, float]]:
    """Yield row, column and score of each field of a tile."""
    rows, columns = area
    for y, x in product(
        range(rows.start, rows.stop, field[0]), range(columns.start, columns.stop, field[1])
    ):
        begin = y - rows.start, x - columns.start
        cell = seen.anomaly_map[begin[0] :, begin[1] :][: field[0], : field[1]]
        # the window that shows a smaller field at the border was moved into the image
        place = min(y, shape[0] - field[0]), min(x, shape[1] - field[1])
        latent = seen.latents.get(place)
        score = score_of(detector.recipe, detector.calibration, cell, latent)
        yield y // field[0], x // field[1], score


@contextmanager
def _canvas(out: Any, shape: tuple[int, int]) -> Iterator[tuple[Write, Callable[[], Any]]]:
    """Yield what writes a rectangle of the map, and what returns the map after the block."""
    if isinstance(out, (str, PathLike)):
        path = Path(out)
        if path.suffix != ".npy":
            raise DataError(f"found out={str(path)!r}; expected a name ending in .npy, or an array")
        with npy_file(path, shape) as write:
            yield write, partial(np.load, path, mmap_mode="r", allow_pickle=False)
        return
    if out is None and shape[0] * shape[1] > LARGEST_KEPT:
        raise DataError(
            f"found an image of {shape[0]} x {shape[1]} pixels; expected at most {LARGEST_KEPT} where the map stays in "
            "memory. Give out: the name of a .npy file, or an array that is written to disk."
        )
    target = np.empty(shape, np.float32) if out is None else out
    if tuple(getattr(target, "shape", ())) != shape:
        raise DataError(
            f"found out of shape {getattr(target, 'shape', None)}; expected {shape}, as the image"
        )
    yield target.__setitem__, lambda: target
