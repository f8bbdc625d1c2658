"""``napari-anomaly presence``: what it says, what it writes, and what it refuses."""

import csv
import subprocess
import sys

import numpy as np
import pytest

import napari_anomaly as na
from napari_anomaly.cli import main
from napari_anomaly.core.data.files import write_png


def picture(seed, bar):
    image = np.random.default_rng(seed).normal(110, 15, (48, 48))
    if bar:
        image[20:28, 8:40] += 80
    return image.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("welds")
    for k in range(5):
        write_png(folder / f"good/{k}.png", picture(k, True))
        write_png(folder / f"bad/{k}.png", picture(100 + k, False))
    for k in range(2):
        write_png(folder / f"new/{k}.png", picture(200 + k, k == 0))
    return folder


@pytest.fixture(scope="module")
def check(folder):
    out = folder / "weld.presence"
    words = ("good", "bad", "--out", "weld.presence")
    given = [str(folder / word) if word[0] != "-" else word for word in words]
    assert main(["presence", "fit", *given, "--region", "8", "4", "40", "44"]) == 0
    return out


def run(capsys, *words):
    capsys.readouterr()
    code = main(["presence", *map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_fit_says_how_sure_it_is(folder, tmp_path, capsys):
    out = tmp_path / "a.presence"
    code, said, _ = run(capsys, "fit", folder / "good", folder / "bad", "--out", out, "--seed", 3)
    assert code == 0
    assert "whole image; trained on 5 pictures with it (good) and 5 without (bad), seed 3" in said
    assert "Cross-validated in 5 folds: right for 100.0% (95 % interval 69.2 to 100.0 %)" in said
    assert said.endswith(f"Written to {out}\n")
    assert na.load_presence(out).origin.seed == 3


def test_check_lists_what_the_api_says(folder, check, tmp_path, capsys):
    table = tmp_path / "table.csv"
    code, said, _ = run(capsys, "check", check, folder / "new", "--out", table)
    expected = [na.load_presence(check).check(picture(200 + k, k == 0)) for k in range(2)]
    assert code == 0
    assert [line.split()[0] for line in said.splitlines()] == ["present", "absent"]
    assert f"probability {expected[1].probability:.3f}" in said.splitlines()[1]
    with table.open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["name"] for row in rows] == ["0.png", "1.png"]
    assert [float(row["decision"]) for row in rows] == [one.decision for one in expected]
    assert [row["verdict"] for row in rows] == ["present", "absent"]


def test_an_image_that_cannot_be_checked_is_skipped_and_told(folder, check, tmp_path, capsys):
    write_png(tmp_path / "small.png", picture(1, True)[:20])
    code, said, told = run(capsys, "check", check, folder / "new/0.png", tmp_path / "small.png")
    assert code == 1
    assert len(said.splitlines()) == 1
    assert "small.png: the region of interest (8, 4, 40, 44) does not lie inside" in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("fit", "good", "bad", "--out", "a.anomaly"), "expected a name ending in .presence"),
        (("fit", "good", "new", "--out", "a.presence"), "found 2 images where it is absent"),
        (("fit", "good", "none", "--out", "a.presence"), "none: no such folder"),
        (("fit", "good", "bad", "--out", "a.presence", "--region", "8", "4", "60", "44"), "48 x 48 pixels"),
        (("fit", "good", "bad", "--out", "a.presence", "--model", "forest"), "forest"),
        (("check", "weld.presence"), "found no images"),
        (("check", "good/0.png", "new"), "0.png: damaged or not a presence check"),
        (("check", "weld.presence", "none.png"), "none of 1 image(s) could be checked"),
    ],
)  # fmt: skip
def test_what_is_refused(folder, check, monkeypatch, capsys, words, message):
    monkeypatch.chdir(folder)
    code, said, told = run(capsys, *words)
    assert (code, said) == (2, "")
    assert message in told


def test_an_svm_is_checked_without_jax(folder, check):
    script = (
        "import sys; from napari_anomaly.core.presence.check import load_presence\n"
        f"load_presence({str(check)!r}); import napari_anomaly.core.presence.checking\n"
        "print(sorted({'jax', 'flax', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_help_loads_nothing_heavy():
    script = (
        "import sys; from napari_anomaly.cli import main; main(['presence', 'fit', '--help'])\n"
        "heavy = {'jax', 'sklearn', 'skimage', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "--region" in done.stdout
