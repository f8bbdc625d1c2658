"""Figures of a comparison: methods beside each other, on the same images and in the same axes."""

from collections.abc import Sequence
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from napari_anomaly.core.charts import draw_errors
from napari_anomaly.core.compared import Category, Entry
from napari_anomaly.core.costs import error_rates
from napari_anomaly.core.figures import draw_scores
from napari_anomaly.core.pictures import Picture
from napari_anomaly.core.report import limits_of

ROWS = ("original", "reconstruction", "anomaly map", "regions found", "true mask")
_COLUMNS = 8  # pictures side by side, then a new strip
_INCHES = 1.45  # of a picture
_ACROSS = 4  # methods side by side
_DASHES = ("-", "--", "-.", ":")
_LEGIBLE = 28  # letters of a name above a picture


def kind_figure(category: Category, kind: str) -> Figure:
    """Original, reconstruction, map, regions and mask in rows; a block of columns for each method.

    Parameters
    ----------
    category : Category
    kind : str
        Which images: a kind of defect, or ``"good"``.
    """
    places = category.places(kind)
    strips = strips_of(category, kind)
    blocks = len(strips[0])
    size = (0.7 + _INCHES * blocks * len(places), 0.5 + (5 * _INCHES + 0.55) * len(strips))
    figure = Figure(figsize=size, layout="constrained")
    title = f"{category.name}: {kind}"
    figure.suptitle(title, fontsize="medium", parse_math=False)
    parts = figure.subfigures(len(strips), 1, squeeze=False)
    for part, entries in zip(parts[:, 0], strips, strict=True):
        _draw_strip(part, category, entries, places, blocks)
    return figure


def strips_of(category: Category, kind: str) -> list[tuple[Entry, ...]]:
    """Split the methods into groups whose pictures of a kind fit side by side."""
    across = max(1, _COLUMNS // len(category.places(kind)))
    starts = range(0, len(category.entries), across)
    return [category.entries[start : start + across] for start in starts]


def pictures_of(category: Category, entry: Entry, place: int) -> tuple[Picture | None, ...]:
    """Return the pictures of one image in the order of `ROWS`; None where there is none."""
    shot, seen = category.shots[place], entry.seen[place]
    if seen is None:
        return (shot.photograph, None, None, None, shot.truth)
    return (shot.photograph, seen.reconstruction, seen.anomaly_map, seen.regions, shot.truth)


def curves_figure(category: Category) -> Figure:
    """ROC, precision-recall and PRO of all methods in the same axes."""
    panels = (
        ("ROC", "images", "false-positive rate", "true-positive rate"),
        ("precision-recall", "images", "recall", "precision"),
        ("ROC", "pixels", "false-positive rate", "true-positive rate"),
        ("PRO", "pixels", "false-positive rate", "mean overlap of regions"),
    )
    known = [p for p in panels if any(e.report.curves[p[0]].get(p[1]) for e in category.entries)]
    figure = Figure(figsize=(3.9 * max(len(known), 1), 4.4), layout="constrained")
    styles = _styles(category)
    for k, (name, of, x_label, y_label) in enumerate(known, start=1):
        axes = figure.add_subplot(1, len(known), k)
        for entry, style in zip(category.entries, styles, strict=True):
            if (line := entry.report.curves[name].get(of)) is not None:
                axes.plot(*line, **style)
        axes.set(title=f"{name}, {of}", xlim=(0, 1), ylim=(0, 1.02), aspect="equal")
        axes.set(xlabel=x_label, ylabel=y_label)
    if known:
        legend = figure.legend(
            [Line2D([], [], **style) for style in styles],  # some methods have no pixels to draw
            [entry.method for entry in category.entries],
            loc="outside lower center",
            ncols=4,
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
    return figure


def decisions_figure(category: Category) -> Figure:
    """Scores with thresholds, and below them errors against the threshold; a column for each method."""
    across = min(_ACROSS, len(category.entries))
    bands = -(-len(category.entries) // across)
    figure = Figure(figsize=(4.2 * across, 6.4 * bands), layout="constrained")
    grid = figure.subplots(2 * bands, across, squeeze=False)
    cells = [
        (grid[2 * band, k], grid[2 * band + 1, k]) for band in range(bands) for k in range(across)
    ]
    for axes in (one for cell in cells[len(category.entries) :] for one in cell):
        axes.set_axis_off()
    for (top, bottom), entry in zip(cells, category.entries, strict=False):
        report = entry.report
        good, defective = report.scores(good=True), report.scores(good=False)
        limits = limits_of(report.calibration)
        draw_scores(top, good.tolist(), defective.tolist(), limits)
        top.set_title(entry.method, parse_math=False)
        top.legend(fontsize="x-small")
        if len(good) and len(defective):
            draw_errors(bottom, error_rates(good, defective), limits)
        else:
            bottom.set_axis_off()
    return figure


def _draw_strip(
    part: SubFigure,
    category: Category,
    entries: Sequence[Entry],
    places: Sequence[int],
    blocks: int,
) -> None:
    grid = part.subplots(len(ROWS), blocks * len(places), squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[], frame_on=False)
    for axes, row in zip(grid[:, 0], ROWS, strict=True):
        axes.set_ylabel(row, fontsize="small")
    columns = [(entry, place) for entry in entries for place in places]
    for column, (entry, place) in zip(grid.T, columns, strict=False):
        for axes, picture in zip(column, pictures_of(category, entry, place), strict=True):
            _draw_picture(axes, picture)
        column[0].set_title(_above(category, entry, place), fontsize="x-small", parse_math=False)


def _draw_picture(axes: Axes, picture: Picture | None) -> None:
    if picture is None:
        axes.text(0.5, 0.5, "none", ha="center", fontsize="small", transform=axes.transAxes)
    else:
        axes.imshow(picture)


def _above(category: Category, entry: Entry, place: int) -> str:
    seen = entry.seen[place]
    found = "not usable" if seen is None else f"{seen.verdict}, {seen.score:.3g}"
    name = category.shots[place].sample.name.rpartition("/")[2]
    return "\n".join(_short(text) for text in (entry.method, name, found))


def _short(text: str) -> str:
    return text if len(text) <= _LEGIBLE else f"{text[: _LEGIBLE - 3]}..."


def _styles(category: Category) -> list[dict[str, Any]]:
    """Colours and dashes, so that curves that lie on each other are all seen."""
    return [
        {"color": colormaps["tab10"](k % 10), "linestyle": _DASHES[k % len(_DASHES)]}
        for k in range(len(category.entries))
    ]
