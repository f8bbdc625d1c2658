"""An evaluation whose every number can be worked out by hand.

The detector of these tests takes the image itself for the anomaly map and its brightest pixel for
the score; nine normals with scores 1..9 and a rate of .1 put both thresholds at 9.
"""

import csv
import json
import subprocess
import sys
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from skimage.io import imread

from napari_anomaly.core.calibration import Calibration
from napari_anomaly.core.charts import decision_figure
from napari_anomaly.core.data.files import write_mask, write_png
from napari_anomaly.core.data.folders import open_folder
from napari_anomaly.core.errors import DataError, DataWarning, ImageError
from napari_anomaly.core.figures import Exhibit, gallery_figure, png, score_figure, thinned
from napari_anomaly.core.regions import regions
from napari_anomaly.core.report import evaluate, evaluate_steps
from napari_anomaly.core.types import Inspection, Progress

POISON = 255
CAPABILITY = ("percentile", "percentile_at_most", "percentile_chance", "p_normal", "note")
PIXEL_KEYS = {
    *("pixel_auroc", "pixel_ap", "aupro_30", "aupro_05"),
    *("pixel_f1_at_threshold", "pixel_iou_at_threshold"),
}
DESIGN_KEYS = PIXEL_KEYS | {
    *("method", "seed", "version", "device", "n_train", "n_calibration", "fit_seconds"),
    *("n_test_good", "n_test_defect", "inspect_ms_per_image", "peak_rss_mb"),
    *("image_auroc", "image_ap", "false_alarm_target", "false_alarm_rate", "escape_rate"),
    "per_defect",
}
BAND_KEYS = {f"n_{truth}_{v}" for truth in ("good", "defect") for v in ("pass", "review", "fail")}
ANALYSIS_KEYS = {
    *("threshold", "review_threshold", "review_target", "review_load_expected"),
    *("review_rate_good", "review_rate_defect", "escape_rate_past_review"),
    *("aupimo", "aupimo_points", "aupimo_note", "cpu_good", "cpl_defect", "cpk"),
    *(f"{one}_{what}" for one in ("cpu_good", "cpl_defect") for what in CAPABILITY),
    *("prevalence", "cost_false_alarm", "cost_escape", "ppv_at_prevalence", "expected_cost"),
    *("hindsight_cost", "hindsight_threshold"),
}


@dataclass(frozen=True)
class FakeProvenance:
    method: str = "brightest pixel"
    seed: int = 7
    version: str = "0.0"
    device: str = "none"
    n_train: int = 20
    n_calibration: int = 9
    fit_seconds: float = 1.5


@dataclass(frozen=True)
class FakeDetector:
    calibration: Calibration = field(
        default_factory=lambda: Calibration(np.arange(1.0, 10), np.arange(1.0, 10), 0.1)
    )
    provenance: FakeProvenance = FakeProvenance()

    def inspect(self, image):
        if image.max() == POISON:
            raise ImageError("the brightest pixel is too bright")
        anomaly_map = image.astype(np.float32)
        score = float(anomaly_map.max())
        fitted = self.calibration
        labels, found = regions(anomaly_map, fitted.map_threshold, fitted.map_p_value, min_area=1)
        return Inspection(
            reconstruction=np.zeros_like(anomaly_map),
            anomaly_map=anomaly_map,
            score=score,
            p_value=fitted.p_value(score),
            verdict=fitted.verdict(score),
            threshold=fitted.threshold,
            map_threshold=fitted.map_threshold,
            labels=labels,
            regions=found,
        )


def add(root, name, pixels=(), mask=None, shape=(8, 8)):
    """Write a black image with some pixels set, ``{(y, x): value}``, and its mask."""
    image = np.zeros(shape, np.uint8)
    for position, value in dict(pixels).items():
        image[position] = value
    write_png(root / f"{name}.png", image)
    if mask is not None:
        truth = np.zeros(mask.get("shape", shape), bool)
        truth[mask["where"]] = True
        write_mask(root / f"{name.replace('test', 'ground_truth')}_mask.png", truth)


BLOCK = {"where": np.s_[2:4, 2:4]}
ROW = {"where": np.s_[6, 1:5]}
NOTHING = {"where": np.s_[0:0]}


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "part"
    add(root, "train/good/0", {(0, 0): POISON})  # evaluation must not touch it
    add(root, "test/good/0", {(0, 0): 5})
    add(root, "test/good/1", {(0, 7): 20})
    add(root, "test/crack/0", {(2, 2): 30, (2, 3): 30, (3, 2): 30}, BLOCK)
    add(root, "test/crack/1", {(6, 1): 7}, ROW)
    add(root, "test/hole/0", {(4, 4): 40, (4, 5): 40})
    return root


@pytest.fixture
def report(folder):
    with pytest.warns(DataWarning, match="defect image without mask"):
        return evaluate(FakeDetector(), folder)


def test_every_promised_number_is_there(report):
    assert set(report.metrics) == DESIGN_KEYS | BAND_KEYS | ANALYSIS_KEYS
    assert report.metrics["method"] == "brightest pixel"
    assert (report.metrics["seed"], report.metrics["n_train"]) == (7, 20)
    assert report.metrics["n_test_good"] == 2
    assert report.metrics["n_test_defect"] == 3


def test_image_metrics_by_hand(report):
    # Good 5, 20; defects 30, 7, 40: five of six pairs, precision 1, 1, 3/4.
    assert report.metrics["image_auroc"] == 5 / 6
    assert report.metrics["image_ap"] == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert report.metrics["false_alarm_target"] == 0.1
    assert report.metrics["false_alarm_rate"] == 1 / 2  # 20 > 9
    assert report.metrics["escape_rate"] == pytest.approx(1 / 3)  # 7 <= 9


def test_pixel_metrics_by_hand(report):
    # Four images have known pixels: 8 defective (30 three times, 7, 0 four times) and 248 free
    # ones (20, 5, 0 246 times).
    metrics = report.metrics
    won = 3 * 248 + 247 + 4 * 246 / 2
    assert metrics["pixel_auroc"] == pytest.approx(won / (8 * 248))
    assert metrics["pixel_ap"] == pytest.approx(3 / 8 * 1 + 1 / 8 * 4 / 5 + 4 / 8 * 8 / 256)
    # At 9: 3 hits, 1 false (20), 5 missed.
    assert metrics["pixel_f1_at_threshold"] == 6 / 12
    assert metrics["pixel_iou_at_threshold"] == 3 / 9


@pytest.mark.parametrize(("key", "limit"), [("aupro_30", 0.3), ("aupro_05", 0.05)])
def test_aupro_by_hand(report, key, limit):
    # PRO is 3/8 up to the pixel of 20, 1/2 up to that of 5, then a straight line to (1, 1).
    step, rest = 1 / 248, limit - 2 / 248
    area = 3 / 8 * step + 1 / 2 * step + rest * (1 / 2 + 1 / 2 * rest / (246 / 248) / 2)
    assert report.metrics[key] == pytest.approx(area / limit)


def test_each_kind_of_defect_is_judged_against_all_good_images(report):
    crack, hole = report.per_defect["crack"], report.per_defect["hole"]

    assert (crack["n"], crack["n_masks"]) == (2, 2)
    assert crack["image_auroc"] == 3 / 4
    assert crack["escape_rate"] == 1 / 2
    # The hole has no mask, so all known defective pixels are cracks.
    assert {k: crack[k] for k in PIXEL_KEYS} == {k: report.metrics[k] for k in PIXEL_KEYS}

    assert (hole["n"], hole["n_masks"]) == (1, 0)
    assert hole["image_auroc"] == hole["image_ap"] == 1
    assert hole["escape_rate"] == 0
    assert {hole[k] for k in PIXEL_KEYS} == {None}


def test_rows_by_hand(report):
    rows = {
        r.name: (r.defect, r.score, r.p_value, r.verdict, r.n_regions, r.mask, r.iou)
        for r in report.per_image
    }
    assert rows == {
        "test/crack/0.png": ("crack", 30, 0.1, "fail", 1, True, 3 / 4),
        "test/crack/1.png": ("crack", 7, 0.4, "pass", 0, True, 0),
        "test/good/0.png": ("good", 5, 0.6, "pass", 0, True, None),
        "test/good/1.png": ("good", 20, 0.1, "fail", 1, True, None),
        "test/hole/0.png": ("hole", 40, 0.1, "fail", 1, False, None),
    }


def test_capability_by_hand(report):
    # Limit 9. Good 5, 20: mean 12.5, deviation 15 / sqrt(2). Defects 30, 7, 40: mean 77 / 3.
    cpu, cpl = report.metrics["cpu_good"], report.metrics["cpl_defect"]
    assert cpu == pytest.approx((9 - 12.5) / (3 * 15 / 2**0.5))
    assert cpl == pytest.approx((77 / 3 - 9) / (3 * np.std([30, 7, 40], ddof=1)))
    assert report.metrics["cpk"] == cpu
    assert report.metrics["cpu_good_percentile"] is None  # two scores do not reach 99.865 %
    assert "needs 740 scores; 2 reach" in report.metrics["cpu_good_note"]
    assert report.per_defect["hole"]["cpl_defect"] is None  # one score has no spread


def test_what_was_known_of_the_use_gives_precision_and_cost(folder):
    with pytest.warns(DataWarning, match="defect image without mask"):
        metrics = evaluate(FakeDetector(), folder, prevalence=0.02, costs=(1, 50)).metrics
    # At 9: 1 of 2 good images fails, 1 of 3 defects escapes.
    assert metrics["ppv_at_prevalence"] == pytest.approx(0.02 * 2 / 3 / (0.02 * 2 / 3 + 0.98 / 2))
    assert metrics["expected_cost"] == pytest.approx(0.98 / 2 + 50 * 0.02 / 3)
    # Lowest above 20, where no good image fails: still one escape.
    assert metrics["hindsight_threshold"] == 20
    assert metrics["hindsight_cost"] == pytest.approx(50 * 0.02 / 3)
    assert metrics["threshold"] == 9  # as calibrated, whatever the cost


@pytest.mark.parametrize(
    ("use", "message"),
    [
        ({"prevalence": 1.5}, "found the prevalence 1.5; expected a share between 0 and 1"),
        ({"prevalence": 0.1, "costs": (-1, 2)}, "found the costs -1 .* not both 0"),
        ({"costs": (1, 2)}, "found costs but no prevalence; expected both"),
    ],
)
def test_a_use_that_cannot_be(folder, use, message):
    with pytest.raises(DataError, match=message):
        evaluate(FakeDetector(), folder, **use)


def test_three_bands(folder):
    normals = np.arange(1.0, 10)
    detector = FakeDetector(Calibration(normals, normals, 0.1, review=0.4))  # fail > 9, review > 6
    with pytest.warns(DataWarning, match="defect image without mask"):
        report = evaluate(detector, folder)
    # Good 5, 20; defects 30, 7, 40.
    assert {key: report.metrics[key] for key in BAND_KEYS} == {
        "n_good_pass": 1,
        "n_good_review": 0,
        "n_good_fail": 1,
        "n_defect_pass": 0,
        "n_defect_review": 1,
        "n_defect_fail": 2,
    }
    assert report.metrics["review_load_expected"] == pytest.approx(0.3)  # ranks 4 and 1 of 10
    assert report.metrics["escape_rate"] == pytest.approx(1 / 3)
    assert report.metrics["escape_rate_past_review"] == 0
    assert report.per_defect["crack"]["n_review"] == 1
    assert [row.outcome for row in report.per_image] == [
        *("hit", "review", "pass", "false alarm", "hit"),
    ]
    figure = decision_figure(
        report.scores(good=True), report.scores(good=False), report.metrics, {"fail above": 9.0}
    )
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["1\n50 %", "0\n0 %", "1\n50 %", "0\n0 %", "1\n33.3 %", "2\n66.7 %"]


def test_a_defect_that_fails_for_another_place_is_told_apart(tmp_path):
    add(tmp_path, "train/good/0")
    add(tmp_path, "test/good/0")
    add(tmp_path, "test/dent/0", {(7, 7): 30}, BLOCK)
    add(tmp_path, "test/dent/1", {(2, 2): 40}, BLOCK)
    add(tmp_path, "test/dent/2", {(2, 2): 8}, BLOCK)
    add(tmp_path, "test/dent/3", {(2, 2): 3}, BLOCK)
    report = evaluate(FakeDetector(), tmp_path)
    assert [(row.name, row.outcome) for row in report.failures] == [
        ("test/dent/3.png", "escape"),
        ("test/dent/2.png", "escape"),
        ("test/dent/0.png", "hit elsewhere"),
    ]


def test_aupimo_reaches_rows_and_kinds(tmp_path):
    class Noisy(FakeDetector):
        def inspect(self, image):
            noise = np.random.default_rng(int(image[0, 0])).random(image.shape, np.float32)
            return replace(super().inspect(image), anomaly_map=image + noise)

    add(tmp_path, "train/good/0")
    add(tmp_path, "test/good/0", {(0, 0): 1}, shape=(600, 600))
    add(tmp_path, "test/good/1", {(0, 0): 2}, shape=(600, 600))
    add(tmp_path, "test/dent/0", {(2, 2): 30, (2, 3): 30}, BLOCK)
    add(tmp_path, "test/dent/1", {(2, 2): 40}, BLOCK)
    add(tmp_path, "test/hole/0", {(0, 0): 20})
    with pytest.warns(DataWarning, match="defect image without mask"):
        report = evaluate(Noisy(), tmp_path)
    # Noise below 1 is never above all but 1e-4 of the good images' pixels, the bright pixels always are.
    assert [row.aupimo for row in report.per_image] == [0.5, 0.25, None, None, None]
    assert report.metrics["aupimo"] == report.per_defect["dent"]["aupimo"] == 0.375
    assert report.per_defect["hole"]["aupimo"] is None
    # Of 720,000 pixels the 8th to the 72nd, less those that tie in single precision.
    assert 60 <= report.metrics["aupimo_points"] <= 65
    assert report.metrics["aupimo_note"].startswith("coarse")


def test_worst_first(report):
    titles = [exhibit.title.splitlines() for exhibit in report.exhibits]
    assert [name for name, _ in titles] == [
        *("test/crack/1.png", "test/crack/0.png", "test/hole/0.png"),
        *("test/good/1.png", "test/good/0.png"),
    ]
    assert titles[0][1] == "pass, score 7, p = 0.4"


@pytest.mark.filterwarnings("ignore::napari_anomaly.core.errors.DataWarning")
def test_steps_count_to_the_end(folder):
    told = []
    evaluate(FakeDetector(), open_folder(folder), progress=told.append)
    assert told == list(evaluate_steps(FakeDetector(), folder))
    assert told[:5] == [Progress("inspecting", k, 5) for k in range(1, 6)]
    assert told[5:] == [Progress("measuring", k, 3) for k in range(4)]


def test_nothing_is_inspected_before_the_first_step(folder):
    class Untouched(FakeDetector):
        def inspect(self, image):
            raise AssertionError

    evaluate_steps(Untouched(), folder).close()


def test_without_masks_pixels_are_unknown(tmp_path):
    add(tmp_path, "train/good/0")
    add(tmp_path, "test/good/0", {(0, 0): 5})
    add(tmp_path, "test/dent/0", {(0, 0): 30})
    report = evaluate(FakeDetector(), tmp_path)

    assert {report.metrics[key] for key in PIXEL_KEYS} == {None}
    assert report.metrics["image_auroc"] == 1
    saved = json.loads((report.save(tmp_path / "out") / "report.json").read_text())
    assert saved["pixel_auroc"] is None


def test_without_defects_only_false_alarms_are_known(tmp_path):
    add(tmp_path, "train/good/0")
    add(tmp_path, "test/good/0", {(0, 0): 30})
    add(tmp_path, "test/good/1")
    report = evaluate(FakeDetector(), tmp_path)

    assert report.metrics["false_alarm_rate"] == 1 / 2
    unknown = {"image_auroc", "image_ap", "escape_rate", *PIXEL_KEYS}
    assert {report.metrics[key] for key in unknown} == {None}
    assert report.per_defect == {}
    report.save(tmp_path / "out")


def test_without_good_images_false_alarms_are_unknown(tmp_path):
    add(tmp_path, "train/good/0")
    add(tmp_path, "test/dent/0", {(2, 2): 30}, BLOCK)
    report = evaluate(FakeDetector(), tmp_path)

    assert report.metrics["false_alarm_rate"] is None
    assert report.metrics["image_auroc"] is None
    assert report.metrics["escape_rate"] == 0
    assert report.metrics["pixel_iou_at_threshold"] == 1 / 4  # defect-free pixels are there
    report.save(tmp_path / "out")


def test_images_of_several_sizes_keep_their_own(tmp_path):
    add(tmp_path, "train/good/0")
    block = {(y, x): 30 for y in (2, 3) for x in (2, 3)}
    add(tmp_path, "test/dent/0", block, BLOCK)
    add(tmp_path, "test/dent/1", block, BLOCK, shape=(9, 14))
    add(tmp_path, "test/good/0", shape=(20, 8))
    metrics = evaluate(FakeDetector(), tmp_path).metrics
    assert {metrics[k] for k in PIXEL_KEYS} == {1.0}


@pytest.mark.parametrize(
    ("mask", "text"),
    [
        ({**BLOCK, "shape": (16, 16)}, "mask left out"),
        (NOTHING, "all zero although test/dent/1.png shows dent"),
    ],
)
def test_a_useless_mask_leaves_the_image_to_the_image_metrics(tmp_path, mask, text):
    add(tmp_path, "train/good/0")
    add(tmp_path, "test/good/0")
    add(tmp_path, "test/dent/0", {(2, 2): 30}, BLOCK)
    add(tmp_path, "test/dent/1", {(7, 7): 30}, mask)
    with pytest.warns(DataWarning, match=text):
        report = evaluate(FakeDetector(), tmp_path)

    assert report.metrics["n_test_defect"] == 2
    assert report.per_defect["dent"]["n_masks"] == 1
    assert report.metrics["pixel_iou_at_threshold"] == 1 / 4  # with 1/dent it would be 1/5
    assert [row.iou for row in report.per_image if row.name == "test/dent/1.png"] == [None]


def test_an_image_the_detector_cannot_use_is_left_out_by_name(tmp_path):
    add(tmp_path, "train/good/0")
    add(tmp_path, "test/good/0")
    add(tmp_path, "test/dent/0", {(0, 0): 30})
    add(tmp_path, "test/dent/1", {(0, 0): POISON})
    (tmp_path / "test" / "dent" / "2.png").write_bytes(b"not an image")
    with pytest.warns(DataWarning) as told:
        report = evaluate(FakeDetector(), tmp_path)

    texts = [str(one.message) for one in told]
    assert "test/dent/1.png: the brightest pixel is too bright (left out)" in texts
    assert report.metrics["n_test_defect"] == 1
    assert report.problems == (
        "test/dent/1.png: could not be used; left out",
        "test/dent/2.png: could not be used; left out",
    )


def test_no_test_images(tmp_path):
    add(tmp_path, "train/good/0")
    with pytest.raises(DataError, match=r"no test images; expected some in test/good/"):
        evaluate(FakeDetector(), tmp_path)


def test_no_usable_test_image(tmp_path):
    add(tmp_path, "train/good/0")
    add(tmp_path, "test/good/0", {(0, 0): POISON})
    with (
        pytest.warns(DataWarning, match="too bright"),
        pytest.raises(DataError, match="could use none of the test images"),
    ):
        evaluate(FakeDetector(), tmp_path)


# --- the folder -------------------------------------------------------------------------------


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_saved_tables_hold_the_same_numbers(report, tmp_path):
    folder = report.save(tmp_path / "new" / "report")

    saved = json.loads((folder / "report.json").read_text())
    (problem,) = saved.pop("problems")
    assert "defect image without mask" in problem
    names = [(one["name"], one["outcome"]) for one in saved.pop("failures")]
    assert names == [("test/crack/1.png", "escape"), ("test/good/1.png", "false alarm")]
    assert saved == report.metrics

    scores = rows_of(folder / "scores.csv")
    assert [row["name"] for row in scores] == [row.name for row in report.per_image]
    assert [float(row["score"]) for row in scores] == [30, 7, 5, 20, 40]
    assert [row["iou"] for row in scores] == ["0.75", "0.0", "", "", ""]
    assert [row["outcome"] for row in scores] == ["hit", "escape", "pass", "false alarm", "hit"]

    found = rows_of(folder / "regions.csv")
    assert [(row["name"], row["area"]) for row in found] == [
        *(("test/crack/0.png", "3"), ("test/good/1.png", "1"), ("test/hole/0.png", "2")),
    ]
    hole = {key: float(value) for key, value in found[2].items() if key != "name"}
    box = {"label": 1, "area": 2, "y0": 4, "x0": 4, "y1": 5, "x1": 6}
    assert hole == box | {
        "centroid_y": 4,
        "centroid_x": 4.5,
        "max_score": 40,
        "mean_score": 40,
        "p_value": 0.1,
    }


def test_saved_pictures_can_be_opened_and_nothing_else_is_left(report, tmp_path):
    for _ in range(2):  # the second time over the first
        report.save(tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    pictures = ["curves.png", "decisions.png", "gallery.png", "scores.png"]
    assert names == sorted([*pictures, "regions.csv", "report.json", "scores.csv"])
    for name in pictures:
        assert np.ptp(imread(tmp_path / "out" / name)[..., :3]) > 200


def test_report_json_means_complete(report, tmp_path):
    (tmp_path / "gallery.png").mkdir()
    with pytest.raises(OSError, match=r"gallery\.png"):
        report.save(tmp_path)
    assert not (tmp_path / "report.json").exists()


def test_limits_are_drawn_where_they_are():
    (axes,) = score_figure([1.0, 2.0], [8.0], {"fail above": 5.0, "review above": 3.0}).axes
    assert [line.get_xdata()[0] for line in axes.lines] == [5, 3]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        *("good (2)", "defect (1)", "fail above (5)", "review above (3)"),
    ]


def test_names_in_the_gallery_are_no_formulas(report):
    exhibit = replace(report.exhibits[0], title="part$_$1.png")
    assert png(gallery_figure([exhibit], 1.0)).startswith(b"\x89PNG")


def test_all_maps_of_the_gallery_share_one_scale(report):
    figure = gallery_figure(report.exhibits, 9.0)
    maps = [a.images[0] for a in figure.axes[: 4 * len(report.exhibits)][1::4]]
    assert len(maps) == 5
    assert len({image.get_clim() for image in maps}) == 1
    low, high = maps[0].get_clim()
    assert low <= 0
    assert high > 9


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 3)])
def test_any_image_can_be_shown(dtype, shape):
    image = np.linspace(0, 1 if dtype == np.float32 else 255, np.prod(shape)).astype(dtype)
    blank = np.zeros((8, 9), np.float32)
    exhibit = Exhibit("one", image.reshape(shape), blank, blank.astype(np.int32), None, 0.0)
    shown = gallery_figure([exhibit], 1.0).axes[0].images[0].get_array()
    assert shown.min() == 0
    assert shown.max() == 1


def test_a_thinned_curve_keeps_its_ends_and_its_area():
    x = np.linspace(0, 1, 100_001)
    y = np.minimum(1, 50 * x) ** 0.5
    few_x, few_y = thinned((x, y))
    assert len(few_x) <= 2002
    assert (few_x[0], few_x[-1], few_y[-1]) == (0, 1, 1)
    assert np.trapezoid(few_y, few_x) == pytest.approx(np.trapezoid(y, x), abs=1e-4)


def test_drawing_leaves_pyplot_alone():
    code = "import sys, napari_anomaly.core.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
