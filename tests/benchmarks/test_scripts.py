"""Each benchmark runs, at a size that says nothing of speed, and writes its numbers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "benchmarks"
SAMPLES = SCRIPTS.parent / "sample_data"
TINY = {
    "training.py": "--recipes autoencoder --side 32 --batch 4 --rounds 1 --sides ours --cores 1",
    "profile_step.py": "autoencoder --side 32 --batch 4",
    "scoring.py": "--recipes autoencoder --rounds 1 --sides ours --latency linear --calls 1",
    "coldstart.py": "--recipes linear --repeats 1",
    "input.py": "--recipes autoencoder --steps 200 --images 24 --side 32",
    "growth.py": "--linear 8 16 --autoencoder 8 --sides 64",
    "similarity.py": f"{SAMPLES / 'plate'} --methods linear --kinds absolute ms-gms",
    "synthesise.py": "--sides 32 --seconds 0",
    "gpu.py": "--small --rounds 1 --without-torch",
}


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmarks")

    def run(script):
        out = folder / f"{script}.json"
        command = [sys.executable, str(SCRIPTS / script), *TINY[script].split(), "--json", str(out)]
        if script == "growth.py":
            command += ["--picture", str(folder / "growth.png")]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert "| --- |" in done.stdout
        return json.loads(out.read_text()), done.stdout

    return run


def test_training(numbers):
    found, _ = numbers("training.py")
    assert found["recipes"]["autoencoder"]["seconds_per_image"]["ours"]["wall"]["median"] > 0


def test_profile_step(numbers):
    found, told = numbers("profile_step.py")
    assert found["images"] >= 4
    assert 0 < max(found["ms"].values()) < sum(found["ms"].values())
    assert "| all |" in told


def test_scoring(numbers):
    found, _ = numbers("scoring.py")
    assert found["recipes"]["autoencoder"]["seconds_per_image"]["ours"]["wall"]["median"] > 0
    assert len(found["latency_ms"]["linear"]) == 1


def test_cold_start(numbers):
    found, _ = numbers("coldstart.py")
    cold, warm = (found["starts"]["linear"][state][0] for state in ("cold", "warm"))
    assert not found["import_loads_jax"]
    for start in (cold, warm):
        assert 0 < start["imported"] < start["loaded"] < start["map"]


def test_input(numbers):
    found, _ = numbers("input.py")
    for kept in ("memory", "disk"):
        one = found["recipes"]["autoencoder"][kept]
        assert one["images"] == 18  # of 24 a quarter is held out
        assert 0 <= one["share"] < 1
        assert one["asked"] > 0


def test_growth(numbers, tmp_path_factory):
    found, told = numbers("growth.py")
    assert sorted(found["fit"]["linear"]) == ["16", "8"]
    assert "fit, linear, none held" in told
    picture = next(tmp_path_factory.getbasetemp().glob("*/growth.png"))
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_similarity(numbers):
    (found,), _ = numbers("similarity.py")
    moves = {kind: one["brighter"] for kind, one in found["kinds"].items()}
    assert moves["ms-gms"] < moves["absolute"]
    assert 0 <= found["kinds"]["ms-gms"]["pixel AUROC"] <= 1


def test_synthesise(numbers):
    found, told = numbers("synthesise.py")
    assert min(found["images_per_second"]["32"].values()) > 0
    assert "| scratch |" in told


def test_gpu_on_a_cpu_says_so(numbers):
    found, told = numbers("gpu.py")
    if found["about"]["platform"] == "cpu":
        assert told.startswith("CPU run: small size, not the goal's numbers.")
    assert found["first_fit"] > 0
    assert "torch: not asked" in told
