"""A comparison as one HTML file that needs nothing else: no scripts, no fonts, no files, no network."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from napari_anomaly.core.compared import IN_USE, OF_A_KIND, OVERALL, Category, Entry
from napari_anomaly.core.markup import Markup, element, joined
from napari_anomaly.core.panels import ROWS, pictures_of, strips_of
from napari_anomaly.core.pictures import data_uri, png_uri

_LOSSY = {"original", "reconstruction"}
_WORST = 5  # failures named for each method

_STYLE = """
:root { color-scheme: light dark; --line: #c4c4c4; --soft: #f3f3f3; --bad: #b3261e; --unsure: #7a5900; }
@media (prefers-color-scheme: dark) {
  :root { --line: #555; --soft: #262626; --bad: #ff8a80; --unsure: #ffd54f; }
  body { background: #161616; color: #e8e8e8; }
}
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem auto; padding: 0 1rem; max-width: 84rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.3rem; border-top: 2px solid var(--line); padding-top: 1rem; }
h3 { font-size: 1.05rem; margin-top: 1.6rem; }
h1, h2, h3, p, li { overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .5rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .5rem; text-align: right; border-bottom: 1px solid var(--line); }
th { font-weight: 600; background: var(--soft); }
th.text, td.text { text-align: left; max-width: 16rem; overflow-wrap: break-word; }
table.pictures th, table.pictures td { text-align: center; border: 0; padding: 2px; font-size: .8rem; }
table.pictures th { font-weight: 400; background: none; vertical-align: bottom; max-width: 132px;
  overflow-wrap: anywhere; }
table.pictures th.method { font-weight: 600; border-bottom: 2px solid var(--line); }
table.pictures td.first, table.pictures th.first { padding-left: 14px; }
table.pictures th.row { text-align: right; vertical-align: middle; white-space: nowrap; }
table.pictures img { display: block; width: 128px; height: auto; image-rendering: auto; }
figure { margin: 1rem 0; } figure img { max-width: 100%; background: #fff; }
.fail { color: var(--bad); font-weight: 600; } .review { color: var(--unsure); font-weight: 600; }
pre { background: var(--soft); padding: .6rem; overflow-x: auto; font-size: .8rem; }
@page { size: landscape; margin: 1cm; }
@media print {
  body { max-width: none; margin: 0; font-size: 10pt; color: #000; background: #fff; }
  .wide { overflow: visible; } table.pictures img { width: 84px; }
  table.pictures th { max-width: 88px; } h2 { break-before: page; }
  tr, figure { break-inside: avoid; } th, td { padding: .1rem .2rem; font-size: 7pt; }
}
"""

_HEADS = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "aupro_30": "AU-PRO .3",
    "aupro_05": "AU-PRO .05",
    "aupimo": "AUPIMO",
    "pixel_f1_at_threshold": "pixel F1",
    "false_alarm_target": "wanted false alarms",
    "false_alarm_rate": "false alarms",
    "escape_rate": "escapes",
    "escape_rate_past_review": "escapes past review",
    "ppv_at_prevalence": "precision in use",
    "expected_cost": "cost per image",
    "cpu_good": "Cpu",
    "cpl_defect": "Cpl",
    "fit_seconds": "fit s",
    "inspect_ms_per_image": "ms / image",
}


@dataclass(frozen=True, eq=False)
class Figures:
    """PNG files of a category."""

    curves: bytes
    decisions: bytes


def page(
    categories: Sequence[Category],
    figures: Sequence[Figures],
    rows: Sequence[Mapping[str, Any]],
    about: Mapping[str, Any],
    problems: Sequence[str],
) -> str:
    """Write the page.

    Parameters
    ----------
    categories : sequence of Category
    figures : sequence of Figures
        One per category.
    rows : sequence of mapping
        Of `compared.table`.
    about, problems
        As in `Comparison`.
    """
    methods = dict.fromkeys(entry.method for one in categories for entry in one.entries)
    title = f"Comparison of {', '.join(methods)}"
    parts = [_category(*both, rows) for both in zip(categories, figures, strict=True)]
    body = joined(
        element("h1", title),
        element("p", f"{about['date']}, seed {about['seed']}, {about['seconds']} s in all."),
        _problems(problems),
        _overall(rows),
        _reading(about),
        *parts,
        element("h2", "Settings"),
        *(_settings(category) for category in categories),
        element("h3", "Run"),
        element("pre", json.dumps(about, indent=2, default=str)),
    )
    head = joined(
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Markup(_STYLE)),
    )
    html = element("html", element("head", head), element("body", body), lang="en")
    return f"<!doctype html>\n{html}\n"


def _overall(rows: Sequence[Mapping[str, Any]]) -> Markup:
    all_kinds = [row for row in rows if row["defect"] is None]
    columns = (*OVERALL, *(name for name in IN_USE if _known(all_kinds, name)))
    return joined(
        element("h2", "All defects"), _numbers(all_kinds, ("category", "method"), columns)
    )


def _reading(about: Mapping[str, Any]) -> Markup:
    return element(
        "p",
        "A dash: cannot be computed (no masks, or too few images or pixels). Thresholds come from normal images that "
        "were held out of training; test images only measure. Maps of a method share one colour scale, from 0 to "
        "twice its own threshold, so a normal image stays dark; maps are shrunk by their highest values. Scores "
        f"compare within a method, not between methods. Images shown: {about['images shown']}.",
    )


def _category(category: Category, figures: Figures, rows: Sequence[Mapping[str, Any]]) -> Markup:
    of_kinds = [
        row for row in rows if row["category"] == category.name and row["defect"] is not None
    ]
    of_kinds.sort(key=lambda row: row["defect"])  # the methods of a kind beside each other
    return joined(
        element("h2", category.name),
        _numbers(of_kinds, ("defect", "method", "n"), OF_A_KIND) if of_kinds else Markup(),
        _figure(figures.curves, "Curves of all methods; pixels where there are masks."),
        _figure(
            figures.decisions,
            "Above: scores of the test images and the thresholds. Below: the errors of any other threshold.",
        ),
        *(_pictures(category, kind) for kind in category.kinds),
        element("h3", "Images judged wrongly"),
        element("ul", *(_failures(entry) for entry in category.entries)),
    )


def _numbers(
    rows: Sequence[Mapping[str, Any]], keys: Sequence[str], columns: Sequence[str]
) -> Markup:
    head = element(
        "tr",
        *(element("th", key, class_="text") for key in keys),
        *(element("th", _HEADS[column]) for column in columns),
    )
    lines = [
        element(
            "tr",
            *(element("td", _plain(row[key]), class_="text") for key in keys),
            *(element("td", _plain(row[column])) for column in columns),
        )
        for row in rows
    ]
    return element("div", element("table", head, *lines), class_="wide")


def _pictures(category: Category, kind: str) -> Markup:
    strips = [_strip(category, kind, entries) for entries in strips_of(category, kind)]
    return joined(element("h3", f"{category.name}: {kind}"), *strips)


def _strip(category: Category, kind: str, entries: Sequence[Entry]) -> Markup:
    """One table: a block of columns for each method, a row for each kind of picture."""
    places = category.places(kind)
    columns = [(entry, place) for entry in entries for place in places]
    methods = [
        element("th", entry.method, colspan=str(len(places)), class_="method first")
        for entry in entries
    ]
    above = [
        element("th", *_verdict(category, entry, place), class_=_first(place, places))
        for entry, place in columns
    ]
    cells = [pictures_of(category, entry, place) for entry, place in columns]
    lines = []
    for number, row in enumerate(ROWS):
        found = [
            element("td", _picture(one[number], row, kind), class_=_first(place, places))
            for one, (_, place) in zip(cells, columns, strict=True)
        ]
        lines.append(element("tr", element("th", row, class_="row"), *found))
    table = element(
        "table",
        element("tr", element("td"), *methods),
        element("tr", element("td"), *above),
        *lines,
        class_="pictures",
    )
    return element("div", table, class_="wide")


def _picture(picture: Any, row: str, kind: str) -> str | Markup:
    if picture is None:
        return "none"
    return element("img", src=data_uri(picture, lossy=row in _LOSSY), alt=f"{row}, {kind}")


def _verdict(category: Category, entry: Entry, place: int) -> Iterable[str | Markup]:
    seen = entry.seen[place]
    yield category.shots[place].sample.name.rpartition("/")[2]
    yield Markup("<br>")
    if seen is None:
        yield "not usable"
        return
    yield element("span", seen.verdict, class_=seen.verdict)
    yield f", {seen.score:.3g}, p {seen.p_value:.2g}"


def _failures(entry: Entry) -> Markup:
    rows = entry.report.failures
    named = [f"{row.name} ({row.outcome}, {row.score:.3g})" for row in rows[:_WORST]]
    more = f" and {len(rows) - _WORST} more" if len(rows) > _WORST else ""
    told = f": {', '.join(named)}{more}" if named else ": none"
    return element("li", element("strong", f"{entry.method}, {len(rows)}"), told)


def _settings(category: Category) -> Markup:
    found = []
    for entry in category.entries:
        metrics, notes = entry.report.metrics, _notes(entry)
        made = (
            f"{category.name}, {entry.method}: seed {metrics['seed']}, {metrics['n_train']} trained on, "
            f"{metrics['n_calibration']} held out, {metrics['device']}, version {metrics['version']}"
        )
        recipe = element("pre", json.dumps(entry.settings, indent=1))
        found.append(element("details", element("summary", made), *notes, recipe))
    return joined(*found)


def _notes(entry: Entry) -> Iterable[Markup]:
    for name in ("aupimo", "cpu_good", "cpl_defect"):
        if note := entry.report.metrics[f"{name}_note"]:
            yield element("p", f"{_HEADS[name]}: {note}")
    for problem in entry.report.problems:
        yield element("p", problem)


def _problems(problems: Sequence[str]) -> Markup:
    if not problems:
        return Markup()
    return element("ul", *(element("li", f"left out: {one}", class_="fail") for one in problems))


def _figure(png: bytes, caption: str) -> Markup:
    picture = element("img", src=png_uri(png), alt=caption)
    return element("figure", picture, element("figcaption", caption))


def _first(place: int, places: Sequence[int]) -> str:
    return "first" if place == places[0] else "later"


def _known(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    return any(row.get(name) is not None for row in rows)


def _plain(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
