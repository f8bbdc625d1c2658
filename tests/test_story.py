"""One folder from end to end: script, command line and reloaded file say exactly the same."""

import csv
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import napari_anomaly as na
from napari_anomaly.cli import main
from napari_anomaly.core.data.files import read_image
from napari_anomaly.core.data.synthetic import write_sample_data
from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.core.methods.settings import changed

KNOBS = {"size": [64, 64], "scales": [1, 2], "components": 5, "pool": "top"}
SETTINGS = ["--seed", "3", "--calibration", "0.4", "--false-alarm", "0.25"]
OPTIONS = [word for name, value in KNOBS.items() for word in ("--set", f"{name}={value}")]


@pytest.fixture(scope="module")
def fabric(tmp_path_factory):
    return write_sample_data(tmp_path_factory.mktemp("data"), (96, 96), 12, 2, 1) / "fabric"


@pytest.fixture(scope="module")
def detector(fabric):
    recipe = changed(RECIPES["linear"], KNOBS)
    return na.fit(na.open_folder(fabric), recipe, seed=3, calibration=0.4, false_alarm=0.25)


@pytest.fixture(scope="module")
def file(fabric):
    out = fabric.parent / "by_command.anomaly"
    assert main(["fit", str(fabric), "--out", str(out), *SETTINGS, *OPTIONS]) == 0
    return out


def same(one, other):
    for name in ("reconstruction", "anomaly_map", "labels"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), strict=True)
    for name in ("score", "p_value", "verdict", "threshold", "map_threshold", "regions"):
        assert getattr(one, name) == getattr(other, name)


def test_a_script_a_file_and_the_command_line_inspect_alike(fabric, detector, file, tmp_path):
    reloaded = na.load(detector.save(tmp_path / "by_script.anomaly"))
    by_command = na.load(file)
    labelled = 0
    for sample in na.open_folder(fabric).test:
        image = read_image(sample.path)
        result = detector.inspect(image)
        same(result, reloaded.inspect(image))
        same(result, by_command.inspect(image))
        labelled += len(result.regions)
    assert labelled  # otherwise equal labels would say little


def test_the_files_that_the_command_line_writes_hold_the_same_numbers(
    fabric, detector, file, tmp_path
):
    assert main(["inspect", str(file), str(fabric / "test"), "--out", str(tmp_path)]) == 0
    with (tmp_path / "scores.csv").open() as lines:
        rows = {row["name"]: row for row in csv.DictReader(lines)}
    samples = na.open_folder(fabric).test
    assert sorted(rows) == sorted(s.name.removeprefix("test/")[:-4] for s in samples)
    for sample in samples:
        name = sample.name.removeprefix("test/")[:-4]
        result = detector.inspect(read_image(sample.path))
        assert (float(rows[name]["score"]), rows[name]["verdict"]) == (result.score, result.verdict)
        assert float(rows[name]["p_value"]) == result.p_value
        anomaly_map = tifffile.imread(tmp_path / "maps" / f"{name}.tif")
        np.testing.assert_array_equal(anomaly_map, result.anomaly_map, strict=True)
        mask = np.asarray(Image.open(tmp_path / "masks" / f"{name}.png"))
        np.testing.assert_array_equal(mask, np.uint8(255) * (result.labels > 0), strict=True)


def test_a_report_holds_the_same_scores(fabric, detector, file):
    by_script = na.evaluate(detector, fabric)
    by_file = na.evaluate(na.load(file), fabric)
    for mine, theirs in zip(by_script.per_image, by_file.per_image, strict=True):
        assert replace(mine, inspect_ms=0) == replace(theirs, inspect_ms=0)
    timed = {"fit_seconds", "inspect_ms_per_image", "peak_rss_mb"}
    assert {k: v for k, v in by_script.metrics.items() if k not in timed} == {
        k: v for k, v in by_file.metrics.items() if k not in timed
    }


OPENED: list[str] = []
WATCHING = False


def _note(event, arguments):
    if WATCHING and event == "open":
        OPENED.append(str(arguments[0]))


def test_no_image_or_mask_of_the_test_side_is_opened_while_fitting(fabric, monkeypatch):
    sys.addaudithook(_note)  # sees every file that Python opens; cannot be taken away again
    monkeypatch.setitem(globals(), "WATCHING", True)
    na.fit(fabric, changed(RECIPES["linear"], KNOBS), false_alarm=0.25)
    monkeypatch.setitem(globals(), "WATCHING", False)
    opened = {Path(path) for path in OPENED}
    dataset = na.open_folder(fabric)
    assert {sample.path for sample in dataset.train} <= opened
    assert not {sample.path for sample in dataset.test} & opened
    assert not {sample.mask_path for sample in dataset.test} & opened
