"""A detector file is read whole and right, or refused with its name and what is wrong."""

import json
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_anomaly.core import checkpoint
from napari_anomaly.core.detector import Detector, load
from napari_anomaly.core.errors import CheckpointError
from napari_anomaly.core.fitting import fit
from napari_anomaly.core.methods.knobs.linear import Linear
from napari_anomaly.core.methods.recipes import Recipe
from napari_anomaly.core.methods.settings import to_plain
from napari_anomaly.core.preprocess import Colour, Preprocessing, Resize

RECIPE = Recipe(
    Linear(patch=4, scales=(1, 2), components=2), Preprocessing((Colour(), Resize(size=(16, 16))))
)
NORMALS = np.random.default_rng(0).random((12, 16, 16), np.float32)


@pytest.fixture(scope="module")
def detector():
    return fit(NORMALS, RECIPE)


@pytest.fixture(scope="module")
def saved(detector, tmp_path_factory):
    return detector.save(tmp_path_factory.mktemp("saved") / "part.anomaly")


# -- what is kept ---------------------------------------------------------------------------------


def test_header_and_arrays_are_kept_as_they_are(tmp_path):
    header = {"text": "Maß μ", "number": 0.1, "nothing": None, "list": [1, [2]]}
    arrays = {
        "scalar": np.array(3, np.int32),
        "none": np.zeros((0, 3), np.float32),
        "view": np.arange(12.0).reshape(3, 4)[:, ::2],
    }

    checkpoint.write(tmp_path / "a", "detector", header, arrays)
    read, back = checkpoint.read(tmp_path / "a", "detector")

    assert read == header | {"format": 1, "kind": "detector"}
    assert back.keys() == arrays.keys()
    for name, one in arrays.items():
        assert back[name].dtype == one.dtype
        assert back[name].shape == one.shape
        np.testing.assert_array_equal(back[name], one)


def test_a_loaded_detector_is_the_same(detector, saved):
    again = load(str(saved))

    assert again.recipe == detector.recipe
    assert again.provenance == detector.provenance
    assert again.calibration.threshold == detector.calibration.threshold
    np.testing.assert_array_equal(again.calibration.scores, detector.calibration.scores)
    np.testing.assert_array_equal(again.standardisation.std, detector.standardisation.std)
    assert again.inspect(NORMALS[0]).score == detector.inspect(NORMALS[0]).score


def test_the_review_rate_is_kept(detector, tmp_path):
    path = detector.calibrate(false_alarm=0.4, review=0.6).save(tmp_path / "new" / "a.anomaly")

    assert (load(path).calibration.false_alarm, load(path).calibration.review) == (0.4, 0.6)


def test_saving_replaces_whole_files_and_leaves_nothing_else(detector, tmp_path):
    path = tmp_path / "a.anomaly"
    path.write_text("an older file")

    detector.save(path)

    assert isinstance(load(path), Detector)
    assert [one.name for one in tmp_path.iterdir()] == ["a.anomaly"]


# -- damage to the file ---------------------------------------------------------------------------


def refused(path):
    """What load says; anything but a CheckpointError that names the file fails the test."""
    with pytest.raises(CheckpointError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize("share", [0, 1e-9, 0.01, 0.2, 0.5, 0.9, 0.9999])
def test_a_truncated_file_is_refused(saved, tmp_path, share):
    whole = saved.read_bytes()
    path = tmp_path / "part.anomaly"
    path.write_bytes(whole[: int(np.ceil(share * (len(whole) - 1)))])

    assert refused(path).startswith("damaged or not a detector (")


@settings(deadline=None, max_examples=60)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_noticed(saved, tmp_path_factory, place, bit):
    whole = bytearray(saved.read_bytes())
    whole[int(place * len(whole))] ^= 1 << bit
    path = tmp_path_factory.getbasetemp() / "flipped.anomaly"
    path.write_bytes(whole)

    refused(path)


def test_every_flipped_byte_of_the_header_is_noticed(tmp_path):
    path = tmp_path / "a"
    checkpoint.write(path, "detector", {"recipe": {"size": 12}}, {"w": np.ones(2, np.float32)})
    whole = path.read_bytes()

    for k in range(len(whole)):
        path.write_bytes(whole[:k] + bytes([whole[k] ^ 0b101]) + whole[k + 1 :])
        with pytest.raises(CheckpointError, match=r"a: \w"):
            checkpoint.read(path, "detector")


def safetensors_file(text, **arrays):
    return safetensors.numpy.save(arrays or {"w": np.ones(2, np.float32)}, {"napari_anomaly": text})


def with_dtype(dtype):
    header = json.dumps(
        {
            "__metadata__": {"napari_anomaly": '{"format": 1, "kind": "detector"}'},
            "w": {"dtype": dtype, "shape": [2], "data_offsets": [0, 4]},
        }
    ).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "damaged or not a detector"),
        (b"not a detector at all, but long enough for a header", "damaged or not a detector"),
        (pickle.dumps({"weights": [1.0] * 100}), "damaged or not a detector"),
        (struct.pack("<Q", 2**62) + b"{}", "damaged or not a detector"),
        (struct.pack("<Q", 2) + b"{}", "without our header"),
        (safetensors.numpy.save({"w": np.ones(2, np.float32)}), "without our header"),
        (safetensors_file("{'no': json}"), "the header is not JSON"),
        (safetensors_file("[" * 200_000), "the header is not JSON"),
        (safetensors_file('{"format": ' + "9" * 5000 + "}"), "the header is not JSON"),
        (safetensors_file("[1]"), "format version 'list'; this version reads 1. Update"),
        (safetensors_file('{"kind": "detector"}'), "format version None"),
        (safetensors_file('{"format": 2, "kind": "detector"}'), "found format version 2"),
        (
            safetensors_file('{"format": 1, "kind": "training state"}'),
            "'training state'; expected a detector",
        ),
        (safetensors_file('{"format": 1}'), "found a None; expected a detector"),
        (safetensors_file('{"format": 1, "kind": "detector"}'), "do not match their checksum"),
        (with_dtype("BF16"), "damaged"),
    ],
)
def test_what_is_no_detector_is_refused(content, words, tmp_path):
    path = tmp_path / "part.anomaly"
    path.write_bytes(content)

    assert words in refused(path)


def test_what_is_no_file_is_refused(tmp_path):
    assert refused(tmp_path / "nowhere.anomaly").startswith("no such file; expected a detector")
    assert refused(tmp_path).startswith("a folder; expected a detector")


def test_a_file_that_may_not_be_read_is_told(saved, monkeypatch):
    monkeypatch.setattr(checkpoint.os, "access", lambda path, mode: False)
    assert refused(saved).startswith("no permission to read it; allow reading")


# -- whole files that do not fit together ---------------------------------------------------------


def drop(name):
    return lambda header, arrays: arrays.pop(name)


def put(name, make):
    return lambda header, arrays: arrays.update({name: make(arrays.get(name))})


def head(**changes):
    return lambda header, arrays: header.update(changes)


def knob(**changes):
    return lambda header, arrays: header["recipe"]["method"].update(changes)


HUGE = to_plain(Recipe())["preprocess"] | {"steps": [{"step": "resize", "size": [10**9, 10**9]}]}


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (drop("method/filter.1"), "differing: ['filter.1']"),
        (drop("method/offset.1"), "differing: ['offset.1']"),
        (put("method/offset.1", lambda a: a[0]), "found offset.1 with shape ()"),
        (put("method/filter.2", lambda a: a[1:]), "found filter.2 with shape (6, 7, 1, 1)"),
        (
            put("method/filter.2", lambda a: np.repeat(a, 2, axis=3)),
            "found filter.2 with shape (7, 7, 1, 2)",
        ),
        (put("method/filter.2", lambda a: a * np.float32(np.nan)), "finite float32"),
        (put("method/filter.2", lambda a: a.astype(np.int32)), "dtype int32"),
        (put("method/filter.4", lambda a: np.zeros(3, np.float32)), "differing: ['filter.4']"),
        (put("strange/thing", lambda a: np.zeros(3, np.float32)), "'strange'"),
        (put("thing", lambda a: np.zeros(3, np.float32)), "'thing'"),
        (
            drop("standardisation/mean"),
            "found standardisation arrays ['std']; expected mean and std",
        ),
        (put("standardisation/more", lambda a: np.zeros(3, np.float32)), "expected mean and std"),
        (put("standardisation/mean", lambda a: a[0]), "with shape (16, 16)"),
        (put("standardisation/std", lambda a: a[:, :5]), "with shape (2, 5, 16)"),
        (put("standardisation/std", lambda a: 0 * a), "deviations above 0"),
        (put("standardisation/mean", lambda a: a * np.float32(np.inf)), "expected finite float32"),
        (drop("calibration/peaks"), "'peaks'"),
        (put("calibration/extra", lambda a: np.zeros(3)), "'extra'"),
        (put("calibration/scores", lambda a: a[:-1]), "Found 2 scores but 3 peaks"),
        (put("calibration/scores", lambda a: a * np.nan), "NaN or infinite"),
        (put("calibration/scores", lambda a: a[None]), "scores of shape (1, 3)"),
        (head(false_alarm=0.001), "needs 999"),
        (head(false_alarm="often"), "rebuilt"),
        (head(false_alarm=None), "rebuilt"),
        (head(review=0.1), "review rate"),
        (head(provenance={"method": "linear"}), "seed"),
        (lambda header, arrays: header.pop("provenance"), "'provenance'"),
        (lambda header, arrays: header.pop("recipe"), "'recipe'"),
        (head(recipe=[1, 2]), "rebuilt"),
        (head(recipe={"preprocess": HUGE}), "size.0: found 1000000000"),
        (knob(name="quadratic"), "found using 'name' does not match"),
        (knob(patch="large"), "patch: found 'large'"),
        (knob(patch=8), "found filter.1 with shape (7, 7, 1, 1)"),
        (knob(scales=[1, 10**9]), "scales.1: found 1000000000"),
        (knob(secret=1), "secret: found 1; unexpected"),
        (knob(support="image"), "expected ['components', 'mean']"),
        (head(recipe={"method": {"name": "autoencoder", "widths": [10**9]}}), "no usable 'grid'"),
        (
            head(recipe={"method": {"name": "autoencoder", "widths": [8] * 10**5}}),
            "at most 10 items",
        ),
        (
            head(recipe={"method": {"name": "vae", "latent": 10**12}}),
            "differing: ['span', 'variance']",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(damage, words, saved, tmp_path):
    header, arrays = checkpoint.read(saved, "detector")
    damage(header, arrays)
    path = tmp_path / "part.anomaly"
    checkpoint.write(path, "detector", header, arrays)

    assert words in refused(path)


@pytest.mark.parametrize(
    "recipe", [{"name": "vae", "latent": 10**12}, {"name": "autoencoder", "widths": [10**9]}]
)
def test_huge_networks_are_refused_without_making_them(recipe, saved, tmp_path):
    header, arrays = checkpoint.read(saved, "detector")
    header["recipe"] = {"method": recipe}
    arrays["method/grid"] = np.float32([16, 16, 1])
    arrays |= dict.fromkeys(("method/span", "method/variance"), np.float32(1))
    path = tmp_path / "part.anomaly"
    checkpoint.write(path, "detector", header, arrays)

    tracemalloc.start()
    refused(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 50e6
