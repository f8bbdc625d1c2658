"""Planted defects from a folder or arrays, as a dataset in the MVTec layout, and what the command says."""

import numpy as np
import pytest

import napari_anomaly as na
from napari_anomaly.cli import main
from napari_anomaly.core.data.files import read_image, read_mask, write_png
from napari_anomaly.core.data.folders import mask_of
from napari_anomaly.core.data.reading import read_samples
from napari_anomaly.core.errors import DataError, DataWarning
from napari_anomaly.core.progress import finished
from napari_anomaly.core.synthesising import synthesise_into


def cloth(seed, dtype=np.uint8, shape=(40, 56, 3)):
    full = np.iinfo(dtype).max
    return np.random.default_rng(seed).normal(full / 2, full / 40, shape).astype(dtype)


@pytest.fixture(scope="module")
def normals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("normals")
    for k in range(8):
        write_png(folder / f"{k}.png", cloth(k))
    return folder


def test_kinds_take_turns_and_a_seed_is_a_set(normals):
    settings = na.Planting(kinds=("speck", "scratch"))
    first, again, other = (
        list(na.synthesise(normals, 5, seed=seed, planting=settings)) for seed in (3, 3, 4)
    )
    assert [one.kind for one in first] == ["speck", "scratch", "speck", "scratch", "speck"]
    for one, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.image, same.image)
        np.testing.assert_array_equal(one.mask, same.mask)
    assert (first[0].image != other[0].image).any()


def test_arrays_will_do_and_are_used_again_when_they_run_out():
    stack = np.stack([cloth(k, np.uint16, (32, 32)) for k in range(2)])
    images = [one.image for one in na.synthesise(stack, 5)]
    assert len(images) == 5
    assert all(image.shape == (32, 32, 1) for image in images)


def test_the_folder_is_a_dataset_with_exact_masks(normals, tmp_path):
    out = tmp_path / "new" / "set"
    kinds = finished(synthesise_into(out, normals, 16, seed=1))
    data = na.open_folder(out)
    assert data.problems == ()
    assert sum(kinds.values()) == 16
    assert set(data.defects) == set(kinds)
    train, good = ([s for s in side if s.defect == "good"] for side in (data.train, data.test))
    assert (len(train), len(good)) == (6, 2)
    sound = [read_image(sample.path) for sample in good]
    originals = [cloth(k) for k in range(8)]
    assert all(any((one == each).all() for each in originals) for one in sound)
    for sample, image in read_samples([s for s in data.test if s.defect != "good"]):
        mask = mask_of(sample, image.shape)
        changes = [(image != one).any(axis=2) for one in sound]
        assert any((changed == mask).all() for changed in changes)
    assert [path.name for path in out.parent.iterdir()] == ["set"]


def test_sixteen_bits_stay_sixteen_bits(tmp_path):
    stack = np.stack([cloth(k, np.uint16, (32, 32)) for k in range(3)])
    finished(synthesise_into(tmp_path / "set", stack, 2))
    good = read_image(tmp_path / "set" / "test" / "good" / "000.png")
    assert any((good == one).all() for one in stack)


def test_an_unreadable_image_is_named_and_left_out(normals, tmp_path):
    folder = tmp_path / "normals"
    for k in range(3):
        write_png(folder / f"{k}.png", cloth(k))
    (folder / "3.png").write_bytes(b"no picture")
    with pytest.warns(DataWarning, match=r"3\.png.*skipped"):
        finished(synthesise_into(tmp_path / "set", folder, 2))
    assert len(list((tmp_path / "set" / "train" / "good").iterdir())) == 2


@pytest.mark.parametrize("stop", ["closed", "failed"])
def test_nothing_is_left_of_what_was_not_finished(stop, normals, tmp_path):
    settings = na.Planting(kinds=("blur",)) if stop == "failed" else None
    data = np.full((2, 32, 32), 128, np.uint8) if stop == "failed" else normals
    steps = synthesise_into(tmp_path / "set", data, 1, planting=settings)
    if stop == "failed":
        with pytest.raises(DataError, match=r"image [01]: none of blur could be told"):
            finished(steps)
    else:
        next(steps)
        next(steps)
        steps.close()
    assert list(tmp_path.iterdir()) == []


def run(capsys, *words):
    code = main([str(word) for word in words])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_command(normals, tmp_path, capsys):
    (tmp_path / "set").mkdir()  # an empty one will do
    words = ["--count", 3, "--kinds", "stain, dent", "--seed", 5, "--contrast", 0.1, 0.2]
    code, out, err = run(capsys, "synthesise", normals, tmp_path / "set", *words)
    assert (code, out) == (0, "   1 dent\n   2 stain\n")
    assert f"Written to {tmp_path / 'set'}" in err
    (mask,) = (tmp_path / "set" / "ground_truth" / "dent").iterdir()
    assert mask.name == "001_mask.png"
    assert read_mask(mask, (40, 56)).any()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["NORMALS", "FULL"], "full: exists and is not empty; expected a new or an empty folder"),
        (["NORMALS", "OUT", "--kinds", "scrach"], "found kinds of defect scrach; expected one"),
        (["NORMALS", "OUT", "--largest", "2"], "found sizes from 3 px to 2.0 of the image"),
        (["NORMALS", "OUT", "--held-out", "1"], "found 1.0 of the images to hold out; expected"),
        (["NORMALS", "OUT", "--count", "0"], "Must be >= 1"),
        (["NORMALS", "OUT", "--smallest", "39"], "40 x 56 pixels; expected at least 44 a side"),
        (["NOWHERE", "OUT"], "nowhere: no such folder"),
        (["ONE", "OUT"], "found 1 normal image; expected at least 2"),
    ],
)
def test_errors_that_a_person_reads(words, message, normals, tmp_path, capsys):
    write_png(tmp_path / "full" / "mine.png", cloth(0))
    write_png(tmp_path / "one" / "0.png", cloth(0))
    places = {"NORMALS": normals, **{name.upper(): tmp_path / name for name in ("full", "one")}}
    places |= {"OUT": tmp_path / "out", "NOWHERE": tmp_path / "nowhere"}
    code, _, err = run(capsys, "synthesise", *[places.get(word, word) for word in words])
    assert code == 2
    assert message in " ".join(err.split())
    assert not (tmp_path / "out").exists()
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.png"]
