"""The command line: exit codes, what it says, what it writes, and Ctrl-C."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import tifffile

from napari_anomaly.cli import main
from napari_anomaly.core import demo
from napari_anomaly.core.data.files import write_mask, write_png
from napari_anomaly.core.detector import load
from napari_anomaly.core.errors import CheckpointError
from napari_anomaly.core.fitting import fit_steps
from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.core.methods.settings import changed, knobs_of
from napari_anomaly.options import UsageError, knobs_from

COMMAND = [sys.executable, "-m", "napari_anomaly"]
LINEAR = ["--set", "size=[32,32]", "--set", "scales=[1]", "--set", "patch=4"]
TINY = {"size": [16, 16], "widths": [2], "batch": 4, "method.training.clip": None}


def picture(seed, spot=False):
    image = np.random.default_rng(seed).normal(128, 12, (32, 32))
    if spot:
        image[8:16, 10:20] += 90
    return image.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """MVTec layout: 12 good images to train with, 3 good ones and 3 with a spot to test with."""
    folder = tmp_path_factory.mktemp("data") / "noise"
    for k in range(12):
        write_png(folder / f"train/good/{k}.png", picture(k))
    for k in range(3):
        write_png(folder / f"test/good/{k}.png", picture(100 + k))
        write_png(folder / f"test/spot/{k}.png", picture(200 + k, spot=True))
        mask = np.zeros((32, 32), bool)
        mask[8:16, 10:20] = True
        write_mask(folder / f"ground_truth/spot/{k}_mask.png", mask)
    return folder


@pytest.fixture(scope="module")
def detector(data):
    out = data.parent / "noise.anomaly"
    assert main(["fit", str(data), "--out", str(out), *LINEAR]) == 0
    return out


def quietly(words, **options):
    """Run a command in a process of its own."""
    return subprocess.run(words, check=False, capture_output=True, text=True, **options)


def run(capsys, *words):
    code = main([str(word) for word in words])
    said = capsys.readouterr()
    return code, said.out, said.err


def table(path):
    with path.open() as lines:
        return list(csv.DictReader(lines))


# what is typed


def test_help_answers_without_loading_what_is_heavy():
    script = (
        "import sys; from napari_anomaly.cli import main; code = main(['--help'])\n"
        "heavy = {'jax', 'flax', 'matplotlib', 'skimage', 'scipy', 'numpy', 'napari', 'qtpy'}\n"
        "sys.exit(f'loaded {heavy & set(sys.modules)}' if heavy & set(sys.modules) else code)"
    )
    done = quietly([sys.executable, "-c", script])
    assert (done.returncode, done.stderr) == (0, "")
    for command in ("demo", "fit", "inspect", "evaluate", "compare", "methods", "napari"):
        assert f" {command} " in done.stdout


def test_the_module_is_the_command():
    done = quietly([*COMMAND, "--version"])
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "0.1.0", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit", "DATA", "--out", "x.anomaly", "--sed", "1"], "Unknown option: --sed"),
        (["fit", "DATA"], "--out requires an argument"),
        (["paint"], 'Unknown command "paint"'),
        (["fit", "DATA", "--out", "x.anomaly", "--device", "tpu"], '"auto", "cpu", "gpu"'),
        (["fit", "DATA", "--out", "x.anomaly", "--budget", "0"], "Must be > 0"),
        (["fit", "DATA", "--out", "x.npz"], "expected a name ending in .anomaly"),
        (["fit", "DATA/nowhere", "--out", "x.anomaly"], "nowhere: no such folder"),
        (["fit", "DATA", "--out", "DATA/train/good/0.png/x.anomaly"], "0.png: a file; expected a"),
        (["fit", "DATA", "--out", "x.anomaly", "--method", "magic"], "found the method 'magic'"),
        (["fit", "DATA", "--out", "x.anomaly", "--set", "patch"], "found --set patch; expected"),
        (["fit", "DATA", "--out", "x.anomaly", "--set", "pach=3"], "found the knob 'pach'"),
        (["fit", "DATA", "--out", "x.anomaly", "--set", "patch=1"], "found 1; input should be"),
        (["fit", "DATA", "--out", "x.anomaly", "--false-alarm", "0.01"], "needs 99"),
        (["fit", "DATA", "--out", "x.anomaly", "--group", "("], "is no regular expression"),
        (["fit", "DATA", "--out", "x.anomaly", "--seed", "9" * 20], "at most 18 digits"),
        (["inspect", "no.anomaly", "DATA", "--out", "o"], "no.anomaly: no such file"),
        (["inspect", "no.anomaly", "--out", "o"], "found no images; expected files or folders"),
        (["evaluate", "DATA", "--detector", "d.anomaly", "--seed", "1"], "expected one of them"),
        (
            ["fit", "DATA", "--out", "x.anomaly", "--false-alarm=.4", "--review=.3"],
            "is below the f",
        ),
        (["evaluate", "DATA", "--set=patch=4", "--costs", "1", "2"], "found costs but no prevale"),
        (["methods", "magic"], "found the method 'magic'; expected one of linear, "),
    ],
)
def test_errors_are_one_message_and_code_2(data, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *(word.replace("DATA", str(data)) for word in words))
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_looked_at_twice_is_told_once(data, tmp_path, capsys):
    folder = shutil.copytree(data / "train/good", tmp_path / "good")
    (folder / "x.png").write_bytes(b"")
    _, _, err = run(capsys, "fit", folder, "--out", tmp_path / "x.anomaly", *LINEAR)
    assert err.count("x.png: empty file") == 1


def test_a_method_that_ends_by_itself_was_not_stopped(data, tmp_path, capsys):
    words = ("fit", data, "--out", tmp_path / "x.anomaly", "--method", "linear-image")
    code, out, err = run(capsys, *words, "--budget", "1000")
    assert (code, "(linear-image, cpu, " in out, "budget" in err) == (0, True, False)


def test_a_method_set_as_a_knob_is_named(data, tmp_path, capsys):
    knob = 'method={"name": "linear", "support": "image"}'
    words = ("fit", data, "--out", tmp_path / "x.anomaly", "--method", "vae", "--set", knob)
    assert "held out (linear, " in run(capsys, *words)[1]


def test_values_of_knobs_are_read_as_json_where_they_are():
    typed = ["a=3", "b=[8,16]", "c=null", "d=0.5", "e=stride", "f=true", "g=x=y", "h="]
    read = {
        "a": 3,
        "b": [8, 16],
        "c": None,
        "d": 0.5,
        "e": "stride",
        "f": True,
        "g": "x=y",
        "h": "",
    }
    assert knobs_from(typed) == read
    with pytest.raises(UsageError, match=r"found --set a=\.\.\. twice; expected once"):
        knobs_from(["a=1", "a=2"])


def test_a_gpu_that_is_not_there(data, tmp_path):
    words = ["fit", str(data), "--out", str(tmp_path / "x.anomaly"), "--device", "gpu"]
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "ROCR_VISIBLE_DEVICES": ""}
    done = quietly([*COMMAND, *words], env=hidden)
    assert done.returncode == 2
    assert "error: found no GPU that JAX can use; expected one." in done.stderr
    assert "Traceback" not in done.stderr


# fit


def test_fit_says_what_was_done_and_what_it_promises(data, tmp_path, capsys):
    out = tmp_path / "x.anomaly"
    code, said, err = run(capsys, "fit", data, "--out", out, "--seed", 7, *LINEAR)
    fitted = load(out)
    assert code == 0
    # 12 images, a quarter held out. Of 3 normals the highest is the threshold: 1 / (3 + 1), and the
    # rate above it is Beta(1, 3), whose 95 % quantile is 1 - 0.05 ** (1 / 3) = 0.632.
    assert said.splitlines()[0].startswith("Trained on 9 good images, 3 held out (linear, cpu, ")
    assert said.splitlines()[1:] == [
        f"An image fails above a score of {fitted.calibration.scores.max():.4g}",
        "At most 1 in 4 good images is expected to fail; 95 % sure that it is below 63 %",
        f"Written to {out}",
    ]
    assert "reading 9/9" in err
    assert "calibrating 6/6" in err  # each image is looked at, then scored by the others
    assert fitted.provenance.seed == 7


def test_knobs_and_options_reach_the_detector(data, tmp_path):
    out = tmp_path / "x.anomaly"
    options = ["--calibration", "0.5", "--false-alarm", "0.3", "--data-range", "-10", "300"]
    knobs = ["--set", "components=3", "--set", "normalise.kind=range", "--set", "pool=top"]
    assert main(["fit", str(data), "--out", str(out), *options, *knobs, *LINEAR]) == 0
    fitted = load(out)
    assert fitted.recipe.method.components == 3
    assert fitted.recipe.method.scales == (1,)
    assert fitted.recipe.preprocess.normalise.kind == "range"
    assert fitted.recipe.preprocess.data_range == (-10, 300)
    assert fitted.recipe.pool == "top"
    assert fitted.calibration.n == 6
    assert fitted.calibration.false_alarm == 0.3


def test_a_changed_preset_keeps_its_name(data, tmp_path):
    out = tmp_path / "x.anomaly"
    knobs = ["--set", "size=[16,16]"]
    assert main(["fit", str(data), "--out", str(out), "--method", "linear-image", *knobs]) == 0
    assert load(out).provenance.method == "linear-image"


def test_an_unreadable_training_image_is_one_line(data, tmp_path, capsys):
    for k in range(4):
        write_png(tmp_path / f"{k}.png", picture(k))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    code, _, err = run(capsys, "fit", tmp_path, "--out", tmp_path / "x.anomaly", *LINEAR)
    lines = [line for line in err.splitlines() if "broken.png" in line]
    assert code == 0
    assert lines
    assert all(line.startswith("warning: ") and line.endswith("(skipped)") for line in lines)
    assert "DataWarning" not in err


def test_the_state_of_an_interrupted_training_is_not_lost_unasked(data, tmp_path, capsys):
    out, state = tmp_path / "x.anomaly", tmp_path / "x.anomaly.partial"
    state.write_bytes(b"hours of work")
    code, _, err = run(capsys, "fit", data, "--out", out, *LINEAR)
    assert code == 2
    assert f"{state}: the state of an interrupted training. Give --resume" in err
    assert state.read_bytes() == b"hours of work"
    state.unlink()
    code, _, err = run(capsys, "fit", data, "--out", out, "--resume", *LINEAR)
    assert code == 0
    assert "so there is nothing to resume; starting anew" in err


@pytest.fixture
def step_by_step(monkeypatch):
    """Tiny steps are taken many in a call; here one at a time."""
    monkeypatch.setattr("napari_anomaly.core.nn.steps._MOST_STEPS", 1)


def test_a_training_cut_short_by_its_budget_says_so(data, tmp_path, capsys, step_by_step):
    knobs = [f"--set={name}={json.dumps(value)}" for name, value in TINY.items()]
    words = ["fit", data, "--method", "autoencoder", "--budget", 1e-9, "--set=duration=5", *knobs]
    code, _, err = run(capsys, *words, "--out", tmp_path / "x.anomaly")
    assert code == 0
    assert (
        "warning: noise, autoencoder: the budget ended training at step 1 of 5" in err.splitlines()
    )
    assert err.count("budget") == 1
    code, _, err = run(
        capsys, *words[:4], *words[6:], "--budget=100", "--out", tmp_path / "x.anomaly"
    )
    assert "budget" not in err


# Ctrl-C


def fitted_from(steps):
    """What is yielded, and the arrays of the detector in the end."""
    stages = []
    while True:
        try:
            stages.append(next(steps))
        except StopIteration as end:
            return stages, end.value.fitted.arrays()


def test_a_stopped_training_resumes_to_the_same_weights(data, tmp_path, step_by_step):
    recipe = changed(RECIPES["autoencoder"], {**TINY, "duration": 12})
    _, whole = fitted_from(fit_steps(data, recipe, seed=1))
    state = tmp_path / "state"
    steps = fit_steps(data, recipe, seed=1, state_file=state)
    assert any((now.stage, now.step) == ("training", 5) for now in steps)
    steps.close()
    with pytest.raises(CheckpointError, match="the state of another training"):
        fitted_from(fit_steps(data, recipe, seed=2, state_file=state))
    stages, resumed = fitted_from(fit_steps(data, recipe, seed=1, state_file=state))
    steps = [now.step for now in stages if now.stage == "training"]
    assert steps == list(range(steps[0], 13))
    assert steps[0] in (6, 7)  # the device was at work on the next step already
    assert whole.keys() == resumed.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(array, resumed[name], strict=True)
    assert not state.exists()


def test_stopping_after_the_training_does_not_lose_it(data, tmp_path):
    recipe = changed(RECIPES["autoencoder"], {**TINY, "duration": 3})
    _, whole = fitted_from(fit_steps(data, recipe))
    steps = fit_steps(data, recipe, state_file=tmp_path / "state")
    assert any(now.stage == "calibrating" for now in steps)
    steps.close()
    stages, resumed = fitted_from(fit_steps(data, recipe, state_file=tmp_path / "state"))
    assert {now.stage for now in stages} == {"reading", "calibrating"}
    for name, array in whole.items():
        np.testing.assert_array_equal(array, resumed[name])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
def test_ctrl_c_leaves_a_state_and_resume_gives_the_same_detector(data, tmp_path):
    knobs = [f"--set={name}={json.dumps(value)}" for name, value in TINY.items()]
    words = [*COMMAND, "fit", str(data), "--method", "autoencoder", *knobs, "--set=duration=20000"]
    out, state = tmp_path / "stopped.anomaly", tmp_path / "stopped.anomaly.partial"

    with subprocess.Popen(
        [*words, "--out", str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        seen = [next(line for line in running.stderr if line.startswith("training 1/20000"))]
        running.send_signal(signal.SIGINT)
        said, rest = running.communicate(timeout=120)
    assert running.returncode == 130, (seen, rest)
    assert rest.splitlines()[-2:] == [
        f"Stopped. The state of the training is in {state}",
        "To go on, run the same command again with --resume",
    ]
    assert said == ""
    assert state.exists()
    assert not out.exists()

    resumed = quietly([*words, "--out", str(out), "--resume"])
    whole = quietly([*words, "--out", str(tmp_path / "whole.anomaly")])
    assert (resumed.returncode, whole.returncode) == (0, 0)
    one, other = load(out), load(tmp_path / "whole.anomaly")
    for name, array in other.fitted.arrays().items():
        np.testing.assert_array_equal(one.fitted.arrays()[name], array, strict=True)
    assert one.calibration.threshold == other.calibration.threshold
    assert not state.exists()


def test_stopped_before_training(data, tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("napari_anomaly.core.progress.watched", interrupted)
    code, _, err = run(capsys, "fit", data, "--out", tmp_path / "x.anomaly")
    assert (code, err) == (130, "Stopped before there was anything to resume.\n")
    code, _, err = run(capsys, "evaluate", data)
    assert (code, err) == (130, "Stopped.\n")


# inspect


def test_inspect_writes_what_it_found(data, detector, tmp_path, capsys):
    code, said, err = run(capsys, "inspect", detector, data / "test/spot", "--out", tmp_path)
    assert code == 0
    assert [line.split()[0] for line in said.splitlines()] == ["fail", "fail", "fail"]
    assert "3 of 3 images fail" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("maps", "masks", "overlays", "regions.csv", "scale.png", "scores.csv")
    ]
    anomaly_map = tifffile.imread(tmp_path / "maps/1.tif")
    assert (anomaly_map.dtype, anomaly_map.shape) == (np.float32, (32, 32))
    regions = [row for row in table(tmp_path / "regions.csv") if row["name"] == "1"]
    highest = max(float(row["max_score"]) for row in regions)
    assert highest == anomaly_map.max() == float(table(tmp_path / "scores.csv")[1]["score"])


def test_images_of_the_same_name_do_not_overwrite_each_other(detector, tmp_path, capsys):
    stack = np.stack([picture(1), picture(2)])
    for folder in ("a", "b"):
        write_png(tmp_path / folder / "0.png", picture(0))
        tifffile.imwrite(tmp_path / folder / "0.TIF", stack, photometric="minisblack")
    sources = [tmp_path / "a", tmp_path / "b", tmp_path / "a/0.png"]
    code, _, _ = run(capsys, "inspect", detector, *sources, "--out", tmp_path / "out")
    rows = table(tmp_path / "out/scores.csv")
    assert code == 0
    assert [(row["name"], row["page"]) for row in rows] == [
        *(("0", "0"), ("0_2", "0"), ("0_page1", "1")),
        *(("0_3", "0"), ("0_4", "0"), ("0_page1_2", "1")),
    ]
    assert len({row["path"] for row in rows}) == 4
    for row in rows:
        fitted = tifffile.imread(tmp_path / "out/maps" / f"{row['name']}.tif")
        assert fitted.max() == float(row["score"])


def test_a_bad_image_is_named_and_skipped(data, detector, tmp_path, capsys):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"not a picture")
    tifffile.imwrite(tmp_path / "wide.tif", np.full((32, 32), 7.0, np.float32))
    sources = [data / "test/good/0.png", bad, tmp_path / "wide.tif", tmp_path / "gone.png"]
    code, said, err = run(capsys, "inspect", detector, *sources, "--out", tmp_path / "out")
    assert code == 1
    assert len(said.splitlines()) == 1
    for name in ("bad.png", "wide.tif", "gone.png"):
        assert sum(f"{tmp_path / name}:" in line for line in err.splitlines()) == 1
    assert "expected [0, 1]" in err
    assert "3 image(s) skipped" in err
    assert len(table(tmp_path / "out/scores.csv")) == 1


def test_no_readable_image_is_an_error(detector, tmp_path, capsys):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"not a picture")
    code, _, err = run(capsys, "inspect", detector, bad, "--out", tmp_path / "out")
    assert code == 2
    assert "error: none of 1 image(s) could be inspected" in err
    assert not (tmp_path / "out/scores.csv").exists()


@pytest.fixture(scope="module")
def banded(data):
    """Twelve normals, half held out: ranks 1 and 3 of 7."""
    out = data.parent / "banded.anomaly"
    words = ["--calibration", "0.5", "--false-alarm", "0.15", "--review", "0.45"]
    assert main(["fit", str(data), "--out", str(out), *words, *LINEAR]) == 0
    return out


def test_a_review_band_is_fitted_promised_and_kept(data, banded, tmp_path, capsys):
    fitted = load(banded).calibration
    third, _, highest = sorted(fitted.scores)[-3:]
    assert (fitted.threshold, fitted.review_threshold) == (highest, third)
    assert list(map(fitted.verdict, (third, highest, highest + 1))) == ["pass", "review", "fail"]
    words = ["--calibration", "0.5", "--false-alarm", "0.15", "--review", "0.45", *LINEAR]
    _, said, _ = run(capsys, "fit", data, "--out", tmp_path / "x.anomaly", *words)
    # 2 of 7 between the ranks; above the third of 6 the rate is Beta(3, 4), 95 % quantile .729
    assert "Of 100 good images 29 are expected in review; at most 1 in 2 does not pass" in said
    assert "95 % sure that it is below 73 %" in said


def test_inspect_takes_a_review_rate_of_its_own(data, detector, tmp_path, capsys):
    """Of 3 held-out scores the highest is the threshold, the lowest that of review."""
    source = data / "test/good"
    code, _, err = run(capsys, "inspect", detector, source, "--out", tmp_path, "--review", 0.75)
    low, _, high = sorted(load(detector).calibration.scores)
    rows = table(tmp_path / "scores.csv")
    expected = [
        "pass" if s <= low else "review" if s <= high else "fail"
        for s in (float(r["score"]) for r in rows)
    ]
    assert code == 0
    assert [row["verdict"] for row in rows] == expected
    assert f"{expected.count('review')} are for a person to review" in err


def test_evaluate_tells_what_is_automated_and_what_it_costs(data, banded, capsys):
    words = ("evaluate", data, "--detector", banded, "--review", 0.6)
    code, said, _ = run(capsys, *words, "--prevalence", 0.05, "--costs", 1, 40)
    assert code == 0
    assert "ppv_at_prevalence      " in said
    assert "expected_cost          " in said
    assert "Decided alone: " in said
    assert "(42.9 % expected), 0 of 3 defects" in said  # ranks 1 and 4 of 7
    assert "Decided wrongly: " in said
    assert "aupimo: the 3072 pixels of 3 normal images give " in said
    assert (
        "cpu_good: Anderson-Darling test of a normal distribution: not possible with 3 scores"
        in said
    )


# evaluate


PROMISED = (
    *("method", "seed", "version", "device", "n_train", "n_calibration", "n_test_good"),
    *("n_test_defect", "fit_seconds", "inspect_ms_per_image", "peak_rss_mb", "image_auroc"),
    *("image_ap", "pixel_auroc", "pixel_ap", "aupro_30", "aupro_05", "pixel_f1_at_threshold"),
    *("false_alarm_target", "false_alarm_rate", "escape_rate", "per_defect"),
)


def test_evaluate_writes_flat_numbers(data, tmp_path, capsys):
    target = tmp_path / "deep" / "out.json"
    words = ["evaluate", data, "--method", "linear", "--seed", 2, "--json", target, *LINEAR]
    code, said, _ = run(capsys, *words, "--out", tmp_path / "report")
    metrics = json.loads(target.read_text())
    assert code == 0
    assert set(PROMISED) <= set(metrics)
    assert (metrics["seed"], metrics["n_train"], metrics["n_calibration"]) == (2, 9, 3)
    assert (metrics["n_test_good"], metrics["n_test_defect"]) == (3, 3)
    assert (metrics["image_auroc"], metrics["escape_rate"]) == (1, 0)
    assert list(metrics["per_defect"]) == ["spot"]
    assert "image_auroc            1\n" in said
    assert (tmp_path / "report/report.json").exists()


def test_numbers_on_standard_output_are_all_that_is_there(data, detector, capsys):
    code, said, err = run(capsys, "evaluate", data, "--detector", detector, "--json", "-")
    assert code == 0
    assert json.loads(said)["method"] == "linear"
    assert "inspecting 6/6" in err


def test_what_cannot_be_measured_is_null(data, detector, tmp_path, capsys):
    for k in range(2):
        write_png(tmp_path / f"train/good/{k}.png", picture(k))
        write_png(tmp_path / f"test/spot/{k}.png", picture(k, spot=True))
    code, said, _ = run(capsys, "evaluate", tmp_path, "--detector", detector, "--json", "-")
    metrics = json.loads(said)
    assert code == 0
    assert metrics["escape_rate"] == 0
    for name in ("image_auroc", "pixel_auroc", "aupro_30", "false_alarm_rate"):
        assert metrics[name] is None
    code, said, _ = run(capsys, "evaluate", tmp_path, "--detector", detector)
    assert "pixel_auroc            -\n" in said


# methods, demo


def test_methods_lists_every_recipe_and_knob_in_80_columns(capsys):
    code, said, _ = run(capsys, "methods")
    lines = said.splitlines()
    assert code == 0
    assert set(RECIPES) <= set(lines)
    assert max(map(len, lines)) < 80
    assert "\x1b" not in said
    assert "doi:10.1007/BF00332918" in said
    assert "    components = 8 " in said
    for recipe in RECIPES.values():
        for knob in knobs_of(recipe):
            last = knob.path.rpartition(".")[2]
            assert f"{last} =" in said or f"{last}=" in said or ".steps." in knob.path


@pytest.mark.parametrize("name", list(RECIPES))
def test_the_listed_knobs_of_a_method_can_be_set_as_listed(name, capsys):
    _, said, _ = run(capsys, "methods", name)
    heads = re.findall(r"^    (\S+) = ", said, re.MULTILINE)
    values = {knob.path: knob.value for knob in knobs_of(RECIPES[name])}
    assert len(heads) >= len(values)
    for head in heads:
        if head != "preprocess.steps":
            path = next(one for one in values if one == head or one.endswith(f".{head}"))
            assert changed(RECIPES[name], {head: values[path]}) == RECIPES[name]


def test_the_demo_writes_its_results_and_says_why_there_is_no_window(tmp_path, monkeypatch, capsys):
    small = partial(demo.demonstrate, train=8, good=2, each=1)
    monkeypatch.setattr(demo, "demonstrate", small)
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    code, said, err = run(capsys, "demo", "--out", tmp_path)
    fabric, plate, where = said.splitlines()
    assert code == 0
    assert fabric.startswith("fabric: image AUROC ")
    assert "of 5 defects caught" in plate
    assert where.endswith(str(tmp_path))
    if sys.platform == "linux":
        assert "napari is not opened: " in err
    for material, kinds in (("fabric", 4), ("plate", 5)):
        assert load(tmp_path / material / "detector.anomaly").provenance.n_train == 6
        assert (tmp_path / material / "report" / "report.json").exists()
        assert len(table(tmp_path / material / "inspected" / "scores.csv")) == kinds + 2
