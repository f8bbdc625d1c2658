"""A comparison from end to end on tiny folders: the same images and numbers as everywhere, files, and the page."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from skimage.io import imread

from napari_anomaly.cli import main
from napari_anomaly.core import comparing
from napari_anomaly.core.compared import distinct, first_of_each_kind
from napari_anomaly.core.comparing import compare, compare_steps
from napari_anomaly.core.data.files import write_mask, write_png
from napari_anomaly.core.data.folders import open_folder
from napari_anomaly.core.detector import load
from napari_anomaly.core.errors import DataError, DataWarning, RecipeError
from napari_anomaly.core.figures import map_limits
from napari_anomaly.core.fitting import fit
from napari_anomaly.core.markup import Markup, element, joined
from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.core.methods.settings import changed
from napari_anomaly.core.panels import ROWS, curves_figure, decisions_figure, kind_figure
from napari_anomaly.core.pictures import SIDE, map_picture, mask_picture, photograph
from napari_anomaly.core.report import evaluate, evaluate_steps

NASTY = '<b>&"x'
SMALL = {"size": [32, 32], "scales": [1], "patch": 4}
PATCHES = changed(RECIPES["linear"], SMALL)
WHOLE = changed(RECIPES["linear-image"], {"size": [32, 32]})


def picture(seed, spot=False):
    image = np.random.default_rng(seed).normal(128, 12, (32, 32))
    if spot:
        image[8:16, 10:20] += 90
    return image.clip(0, 255).astype(np.uint8)


def write_category(folder, kind, masks=True):
    for k in range(8):
        write_png(folder / f"train/good/{k}.png", picture(k))
    for k in range(3):
        write_png(folder / f"test/good/{k}.png", picture(100 + k))
        write_png(folder / f"test/{kind}/{k}.png", picture(200 + k, spot=True))
        mask = np.zeros((32, 32), bool)
        mask[8:16, 10:20] = True
        if masks:
            write_mask(folder / f"ground_truth/{kind}/{k}_mask.png", mask)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    plain = write_category(root / "cloth", "spot")
    return [plain, write_category(root / 'a<i>"&$x_1$', NASTY)]


@pytest.fixture(scope="module")
def found(folders):
    return compare(folders, {"patches": PATCHES, "<u>whole": WHOLE}, seed=3, review=0.7)


@pytest.fixture(scope="module")
def saved(found, tmp_path_factory):
    return found.save(tmp_path_factory.mktemp("out"))


class Tags(HTMLParser):
    """Every element with its attributes, and all text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.open = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_numbers_are_those_of_an_evaluation_alone(found, folders):
    alone = evaluate(fit(folders[0], PATCHES, seed=3, review=0.7), folders[0]).metrics
    (row,) = [
        r
        for r in found.table
        if (r["category"], r["method"], r["defect"]) == ("cloth", "patches", None)
    ]
    for name in ("image_auroc", "pixel_ap", "aupro_30", "escape_rate", "cpu_good"):
        assert row[name] == alone[name]
    assert found.categories[0].entries[0].report.metrics["method"] == "patches"
    assert [r["defect"] for r in found.table] == [None, "spot"] * 2 + [None, NASTY] * 2


def test_every_method_is_shown_on_the_first_images_of_each_kind(found, folders):
    for category, folder in zip(found.categories, folders, strict=True):
        names = [shot.sample.name for shot in category.shots]
        assert names == [s.name for s in first_of_each_kind(open_folder(folder), 2)]
        assert len(names) == 4
        assert {name.rpartition("/")[2] for name in names} == {"0.png", "1.png"}
        assert {len(entry.seen) for entry in category.entries} == {4}


def test_what_is_shown_is_what_the_detector_found(found, folders):
    detector = fit(folders[0], PATCHES, seed=3, review=0.7)
    category = found.categories[0]
    seen = category.entries[0].seen[category.places("spot")[0]]
    result = detector.inspect(picture(200, spot=True))
    assert (seen.score, seen.verdict) == (result.score, result.verdict)
    np.testing.assert_array_equal(seen.regions[..., 0] > 0, result.labels > 0)


def test_files(saved):
    names = sorted(str(path.relative_to(saved)) for path in saved.rglob("*") if path.is_file())
    figures = ("curves.png", "decisions.png", "good.png")
    assert names == sorted(
        [
            *(
                "comparison.csv",
                "comparison.json",
                "index.html",
                "cloth/spot.png",
                "a_i_x_1/b_x.png",
            ),
            *(f"{folder}/{name}" for folder in ("cloth", "a_i_x_1") for name in figures),
        ]
    )
    for path in saved.rglob("*.png"):
        assert np.ptp(imread(path)[..., :3]) > 200
    held = json.loads((saved / "comparison.json").read_text())
    assert held["about"]["seed"] == 3
    assert [entry["name"] for entry in held["entries"]] == ["patches", "<u>whole"] * 2
    assert held["entries"][0]["settings"]["method"]["patch"] == 4


def test_the_page_needs_nothing_else_and_escapes_every_text(saved):
    html = (saved / "index.html").read_text()
    page = Tags(html)
    assert page.open == []
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert not {"b", "i", "u"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        if "src" in attributes:
            assert re.match(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=]+$", attributes["src"])
    assert "url(" not in html
    assert "http" not in html
    assert "@import" not in html
    text = "".join(page.text)
    for name in (NASTY, 'a<i>"&$x_1$', "<u>whole", "patches"):
        assert name in text
    alts = {attributes["alt"] for tag, attributes in page.tags if tag == "img"}
    assert f"original, {NASTY}" in alts
    assert len(html) < 600_000


def test_an_element_escapes_texts_and_values_but_not_markup():
    made = element("p", 'a<b>&"', element("i", "x"), class_='"><script>')
    assert made == '<p class="&quot;&gt;&lt;script&gt;">a&lt;b&gt;&amp;&quot;<i>x</i></p>'
    assert joined("<", Markup("<")) == "&lt;<"


def test_maps_of_a_method_have_one_scale_tied_to_its_threshold():
    threshold = 4.0
    assert map_limits(threshold) == (0, 8)
    grey = [
        float(map_picture(np.full((4, 4), v, np.float32), threshold).sum()) for v in (0, 1, 4, 8)
    ]
    assert grey == sorted(grey)
    assert len(set(grey)) == 4
    faint = map_picture(
        np.array([[0, 0.4]], np.float32), threshold
    )  # its own highest value stays dark
    assert faint.max() < 60


def test_shrinking_keeps_what_is_small():
    wide = np.zeros((3 * SIDE, 2 * SIDE + 1), bool)
    wide[100, 100] = True
    small = mask_picture(wide)
    assert small.shape == (SIDE, 107, 3)  # blocks of 3 x 3
    assert (small[..., 0] > 0).sum() == 1
    assert small[33, 33, 0] == 255
    peak = map_picture(wide.astype(np.float32), 0.5)
    np.testing.assert_array_equal(peak[33, 33], map_picture(np.ones((1, 1), np.float32), 0.5)[0, 0])
    photo = photograph(np.repeat(np.array([[0, 90]], np.uint8), SIDE, axis=1))
    assert photo.shape == (1, SIDE, 3)
    assert photo[0, [0, -1]].tolist() == [[0] * 3, [90] * 3]


def test_figures_hold_every_picture_once_and_wrap(found):
    category = found.categories[0]
    many = replace(category, entries=category.entries * 3)  # 6 methods, 2 images each: 4 to a strip
    figure = kind_figure(many, "spot")
    shown = [axes for part in figure.subfigs for axes in part.axes if axes.images]
    assert len(shown) == 6 * 2 * len(ROWS)
    assert len(figure.subfigs) == 2
    used = [axes for axes in decisions_figure(many).axes if axes.lines]
    assert len(used) == 6 * 2


def test_each_method_has_its_own_sign_in_the_legend(folders):
    """Also where one, without maps, draws no curve of pixels."""
    blind = changed(RECIPES["one-class-svm"], {"size": [32, 32], "components": 4})
    category = compare(folders[:1], {"blind": blind, "patches": PATCHES}).categories[0]

    figure = curves_figure(category)

    (legend,) = figure.legends
    roc, *_, pro = figure.axes
    assert [text.get_text() for text in legend.get_texts()] == ["blind", "patches"]
    assert [line.get_color() for line in legend.get_lines()] == [
        line.get_color() for line in roc.lines
    ]
    assert [line.get_color() for line in pro.lines] == [legend.get_lines()[1].get_color()]


def test_a_method_without_maps_shows_none(folders, tmp_path):
    blind = changed(RECIPES["one-class-svm"], {"size": [32, 32], "components": 4})

    found = compare(folders[:1], {"blind": blind})

    (entry,) = found.categories[0].entries
    assert {(one.reconstruction, one.anomaly_map, one.regions) for one in entry.seen} == {
        (None,) * 3
    }
    assert all(exhibit.anomaly_map is None for exhibit in entry.report.exhibits)
    assert (found.save(tmp_path) / "index.html").stat().st_size > 0
    assert (entry.report.save(tmp_path) / "gallery.png").stat().st_size > 0


def test_a_method_that_cannot_be_fitted_is_left_out_with_the_reason(folders):
    too_large = changed(PATCHES, {"size": [8, 8], "patch": 32})
    with pytest.warns(DataWarning, match="cloth, large: .*left out"):
        found = compare(folders[:1], {"large": too_large, "patches": PATCHES})
    assert [entry.method for entry in found.categories[0].entries] == ["patches"]
    assert found.problems[0].startswith("cloth, large: ")
    with (
        pytest.warns(DataWarning, match="left out"),
        pytest.raises(DataError, match="no method could be measured on any folder: cloth, large"),
    ):
        compare(folders[:1], {"large": too_large})


def test_each_method_that_the_budget_cut_is_told_by_its_name(folders, monkeypatch):
    monkeypatch.setattr("napari_anomaly.core.nn.steps._MOST_STEPS", 1)
    knobs = {"size": [32, 32], "widths": [2, 4], "duration": 5, "batch": 4}
    small = changed(RECIPES["autoencoder"], knobs)

    with pytest.warns(DataWarning) as caught:
        compare(folders[:1], {"one": small, "two": small}, budget=1e-9)

    assert [str(one.message) for one in caught] == [
        f"cloth, {name}: the budget ended training at step 1 of 5" for name in ("one", "two")
    ]


def test_what_is_wrong_is_told_before_any_work(folders, tmp_path):
    for k in range(4):
        write_png(tmp_path / f"train/good/{k}.png", picture(k))
    cases = [
        (folders, ["linear", "magic"], RecipeError, "found the method 'magic'"),
        (folders, [], DataError, "found no methods to compare"),
        ([], ["linear"], DataError, "found no folders"),
        ([tmp_path], ["linear"], DataError, "no test images"),
    ]
    for where, methods, error, message in cases:
        with pytest.raises(error, match=message):
            next(compare_steps(where, methods))


def test_kept_detectors_never_replace_each_other(tmp_path):
    where = [write_category(tmp_path / name, "spot") for name in ("a b", "a+b")]
    out = tmp_path / "out"

    found = compare(where, {"x y": PATCHES, "x+y": WHOLE}, keep=out)

    assert found._folders() == ["a_b", "a_b_2"]  # where figures are saved
    for folder in ("a_b", "a_b_2"):
        kept = [load(out / folder / f"{name}.anomaly") for name in ("x_y", "x_y_2")]
        assert [one.provenance.method for one in kept] == ["x y", "x+y"]
        assert [one.provenance.data for one in kept] == [{"a_b": "a b"}.get(folder, "a+b")] * 2


def test_only_what_is_documented_reaches_the_fits(folders, tmp_path):
    with pytest.raises(TypeError, match="state_file"):
        compare_steps(folders, ["linear"], state_file=tmp_path / "state")


def test_between_folders_what_is_finished_is_told(folders):
    told = []

    whole = compare(folders, {"patches": PATCHES}, so_far=told.append)

    (part,) = told
    assert [one.name for one in part.categories] == ["cloth"]
    assert part.problems == (f"{folders[1].name}, patches: not measured yet",)
    assert (len(whole.categories), whole.problems) == (2, ())


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ZeroDivisionError])
def test_a_stopped_command_leaves_a_report_of_what_was_finished(
    folders, tmp_path, capsys, monkeypatch, stop
):
    evaluated = []

    def evaluate_until_stopped(detector, *arguments, **choices):
        evaluated.append(detector)
        if len(evaluated) == 2:
            raise stop
        return evaluate_steps(detector, *arguments, **choices)

    monkeypatch.setattr(comparing, "evaluate_steps", evaluate_until_stopped)
    words = ["compare", str(folders[0]), "--methods", "linear-image,one-class-svm"]

    if stop is KeyboardInterrupt:
        assert main([*words, "--out", str(tmp_path)]) == 130
    else:
        with pytest.raises(stop):
            main([*words, "--out", str(tmp_path)])

    assert f"Report of what was finished: {tmp_path / 'index.html'}" in capsys.readouterr().err
    held = json.loads((tmp_path / "comparison.json").read_text())
    assert [entry["name"] for entry in held["entries"]] == ["linear-image"]
    assert held["problems"] == ["cloth, one-class-svm: not measured yet"]
    assert "one-class-svm: not measured yet" in (tmp_path / "index.html").read_text()


def test_names_are_told_apart():
    assert distinct(["a", "A", "b", "a"]) == ["a", "A (2)", "b", "a (3)"]


def test_the_command_compares_names_and_files(folders, tmp_path, capsys):
    mine = fit(folders[0], PATCHES).save(tmp_path / "mine.anomaly")
    words = [str(folders[0]), "--methods", "linear-image", "--detectors", str(mine)]
    out = tmp_path / "out"
    assert main(["compare", *words, "--out", str(out), "--each", "1", "--prevalence", "0.1"]) == 0
    said = capsys.readouterr()
    assert [line.split()[:2] for line in said.out.splitlines()] == [
        *(["cloth", "linear-image"], ["cloth", "mine"]),
    ]
    assert f"Report: {out / 'index.html'}." in said.err
    kept = load(out / "cloth/linear-image.anomaly")
    assert (kept.provenance.method, kept.provenance.n_train) == ("linear-image", 6)
    assert not (out / "cloth/mine.anomaly").exists()
    assert "precision in use" in (out / "index.html").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--methods", "linear"], "found no folders; expected one or more"),
        (["DATA"], "found neither --methods nor --detectors"),
        (["DATA", "--methods", "linear,magic"], "found the method 'magic'"),
        (["DATA", "--detectors", "no.anomaly"], "no.anomaly: no such file"),
        (["DATA", "--methods", "linear", "--costs", "1", "2"], "found costs but no prevalence"),
    ],
)
def test_wrong_words(folders, tmp_path, capsys, words, message):
    given = [word.replace("DATA", str(folders[0])) for word in words]
    assert main(["compare", *given, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
