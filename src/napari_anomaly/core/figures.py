"""What a report looks like: scores, curves and the images that were hardest to judge.

Figures are plain `matplotlib.figure.Figure` objects, never pyplot's, so nothing global is touched
and they can be drawn in any thread.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import ndimage

from napari_anomaly.core.types import AnomalyMap, Image

Line = tuple[Float[np.ndarray, " _"], Float[np.ndarray, " _"]]
Limits = Mapping[str, float]

_POINTS = 2000
_LINES = {"images": "tab:blue", "pixels": "tab:green"}
_MAP_COLOURS = "inferno"
_OUTLINE = (0.0, 0.9, 1.0)  # cyan: nowhere among the map's colours
_NORMAL, _DEFECT, _LIMIT = "tab:blue", "tab:orange", "black"


@dataclass(frozen=True, eq=False)
class Exhibit:
    """One inspected image as the gallery shows it.

    Attributes
    ----------
    title : str
    image : array, ``(y, x)`` or ``(y, x, 3)``
    anomaly_map : float array, ``(y, x)``, or None
        None: the detector does not localise.
    labels : int array, ``(y, x)``
        Regions that were found.
    gt_mask : bool array, ``(y, x)``, or None
        Ground truth, where it is known.
    score : float
    """

    title: str
    image: Image
    anomaly_map: AnomalyMap | None
    labels: Int[np.ndarray, "y x"]
    gt_mask: Bool[np.ndarray, "y x"] | None
    score: float


def score_figure(normal: Sequence[float], defective: Sequence[float], limits: Limits) -> Figure:
    """Histogram of image scores, normal against defective, with the named limits as lines."""
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    draw_scores(axes, normal, defective, limits)
    axes.legend()
    return figure


def draw_scores(
    axes: Axes, normal: Sequence[float], defective: Sequence[float], limits: Limits
) -> None:
    """Draw the histogram of `score_figure`, without its legend."""
    bins = np.histogram_bin_edges([*normal, *defective, *limits.values()], bins=40).tolist()
    axes.hist(normal, bins, alpha=0.6, color=_NORMAL, label=f"good ({len(normal)})")
    axes.hist(defective, bins, alpha=0.6, color=_DEFECT, label=f"defect ({len(defective)})")
    for style, (name, value) in zip(("--", ":"), limits.items(), strict=False):
        axes.axvline(value, color=_LIMIT, linestyle=style, label=f"{name} ({value:.3g})")
    axes.set(xlabel="image score", ylabel="test images")


def curve_figure(curves: Mapping[str, Mapping[str, Line]]) -> Figure:
    """Draw one panel for each of ``"ROC"``, ``"precision-recall"``, ``"PRO"`` that has lines."""
    labels = {
        "ROC": ("false-positive rate", "true-positive rate"),
        "precision-recall": ("recall", "precision"),
        "PRO": ("false-positive rate", "mean overlap of regions"),
    }
    panels = [name for name in labels if curves.get(name)]
    figure = Figure(figsize=(4 * max(len(panels), 1), 3.8), layout="constrained")
    for k, name in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), k)
        for line, (x, y) in curves[name].items():
            axes.plot(x, y, label=line, color=_LINES[line])
        axes.set(title=name, xlim=(0, 1), ylim=(0, 1.02), aspect="equal")
        axes.set(xlabel=labels[name][0], ylabel=labels[name][1])
        axes.legend(loc="lower right" if name != "precision-recall" else "lower left")
    return figure


def gallery_figure(exhibits: Sequence[Exhibit], map_threshold: float) -> Figure:
    """Image, map, ground truth and outlined regions, one row each; all maps share one scale."""
    rows = max(len(exhibits), 1)
    figure = Figure(figsize=(10, 2.5 * rows), layout="constrained")
    grid = figure.subplots(rows, 4, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    shown = None
    low, high = _shared_scale(exhibits, map_threshold)
    for row, exhibit in zip(grid, exhibits, strict=False):
        if exhibit.anomaly_map is not None:
            shown = row[1].imshow(exhibit.anomaly_map, cmap="magma", vmin=low, vmax=high)
        _draw_exhibit(list(row), exhibit)
    if exhibits:
        for axes, title in zip(
            grid[0, 1:], ("anomaly map", "ground truth", "regions"), strict=True
        ):
            axes.set_title(title, fontsize="small")
    if shown is not None:
        label = "anomaly map (line: threshold of regions)"
        bar = figure.colorbar(shown, ax=grid, shrink=1 / rows, extend="both", label=label)
        bar.ax.axhline(map_threshold, color="tab:cyan", linewidth=2)
    return figure


def map_limits(map_threshold: float) -> tuple[float, float]:
    """Colour limits for all maps of one detector: its threshold half way, not each map's own range.

    Scaled each by itself, normal images would look full of defects.
    """
    if map_threshold > 0:
        return 0.0, 2 * map_threshold
    return map_threshold - 1, map_threshold + 1


def overlay(
    image: Image, anomaly_map: AnomalyMap, labels: Int[np.ndarray, "y x"], map_threshold: float
) -> UInt8[np.ndarray, "y x2 3"]:
    """Put the image and its map side by side, the regions outlined in both.

    Parameters
    ----------
    image : array, ``(y, x)`` or ``(y, x, 3)``
    anomaly_map : float array, ``(y, x)``
        Coloured between `map_limits`.
    labels : int array, ``(y, x)``
        The outline lies just outside of the regions, wide enough to be seen on large images.
    map_threshold : float

    Returns
    -------
    uint8 array, ``(y, 2 * x, 3)``
    """
    grey = viewable(image)
    shown = np.repeat(grey[..., None], 3, axis=2) if grey.ndim == 2 else grey
    low, high = map_limits(map_threshold)
    colours = colormaps[_MAP_COLOURS]((anomaly_map - low) / (high - low))[..., :3]
    found = labels > 0
    width = max(1, round(max(found.shape) / 500))
    outline = ndimage.binary_dilation(found, np.ones((3, 3)), iterations=width) & ~found
    both = np.concatenate([shown[..., :3], colours], axis=1)
    both[np.concatenate([outline, outline], axis=1)] = _OUTLINE
    return np.round(255 * both).astype(np.uint8)


def scale_figure(map_threshold: float) -> Figure:
    """Draw the colours of `overlay` with their values and the threshold."""
    low, high = map_limits(map_threshold)
    figure = Figure(figsize=(6, 1), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(
        np.linspace(low, high, 256)[None], _MAP_COLOURS, extent=(low, high, 0, 1), aspect="auto"
    )
    axes.axvline(map_threshold, color=_OUTLINE, linewidth=2)
    axes.set(yticks=[], xlabel=f"anomaly map (line: threshold of regions, {map_threshold:.4g})")
    return figure


def png(figure: Figure) -> bytes:
    """Render to the bytes of a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    return file.getvalue()


def thinned(line: Line) -> Line:
    """Keep at most some thousand corners of a monotone curve, evenly along its way."""
    x, y = line
    if len(x) <= _POINTS:
        return line
    way = np.append(0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y))))
    keep = np.unique(np.searchsorted(way, np.linspace(0, way[-1], _POINTS)))
    return x[keep], y[keep]


def _draw_exhibit(row: Sequence[Axes], exhibit: Exhibit) -> None:
    row[0].set_title(exhibit.title, fontsize="small", loc="left", parse_math=False)
    for axes in (row[0], row[3]):
        axes.imshow(viewable(exhibit.image), cmap="gray", vmin=0, vmax=1)
    if exhibit.gt_mask is None:
        row[2].text(0.5, 0.5, "no mask", ha="center", transform=row[2].transAxes)
    else:
        row[2].imshow(exhibit.gt_mask, cmap="gray", vmin=0, vmax=1)
    found = exhibit.labels > 0
    if found.any() and not found.all():
        row[3].contour(found, levels=[0.5], colors="red", linewidths=1)


def _shared_scale(exhibits: Sequence[Exhibit], map_threshold: float) -> tuple[float, float]:
    """One scale for all maps: scaled each by itself, normal images would look full of defects."""
    maps = [e.anomaly_map for e in exhibits if e.anomaly_map is not None]
    if not maps:
        return 0.0, 1.0
    low = min(float(np.percentile(one, 1)) for one in maps)
    high = max(float(np.percentile(one, 99.9)) for one in maps)
    low, high = min(low, map_threshold), max(high, map_threshold)
    return low, high + 0.1 * (high - low) + 1e-6 * (abs(high) + 1)  # keeps the threshold inside


def viewable(image: Image) -> Float[np.ndarray, "..."]:
    """Bring an image to [0, 1], for the eye only: uint8 as it is, the rest stretched between percentiles."""
    if image.dtype == np.uint8:
        return image / 255
    low, high = np.percentile(image, [0.5, 99.5])
    width = max(high - low, np.finfo(np.float32).tiny)
    return np.asarray(np.clip((image - low) / width, 0, 1))
