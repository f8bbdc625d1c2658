"""A presence check from pictures to answers: what it sees, what it learns from, what it refuses, what it keeps."""

from dataclasses import replace

import numpy as np
import pytest

import napari_anomaly as na
from napari_anomaly.core import checkpoint
from napari_anomaly.core.data.files import write_png
from napari_anomaly.core.data.synthetic import plate, with_defect
from napari_anomaly.core.errors import (
    CheckpointError,
    DataError,
    DataWarning,
    ImageError,
    RecipeError,
)
from napari_anomaly.core.methods import classifier
from napari_anomaly.core.preprocess import Crop
from napari_anomaly.core.presence import svm
from napari_anomaly.core.presence.check import fit_presence_steps, load_presence
from napari_anomaly.core.presence.words import about
from napari_anomaly.core.progress import finished

REGION = (8, 4, 40, 44)


def picture(seed, bar, side=48):
    """Noise; with ``bar`` a bright one inside the region."""
    image = np.random.default_rng(seed).normal(110, 15, (side, side))
    if bar:
        image[20:28, 8:40] += 80
    return image.clip(0, 255).astype(np.uint8)


def good(n, first=0):
    return [picture(first + k, bar=True) for k in range(n)]


def defect(n, first=500):
    return [picture(first + k, bar=False) for k in range(n)]


def fit(present, absent, **choices):
    return finished(fit_presence_steps(present, absent, **choices))


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(
        classifier, "_TRAINING", replace(classifier._TRAINING, duration=30, learning_rate=5e-3)
    )


@pytest.fixture(scope="module")
def check():
    return fit(good(8), defect(6), region=REGION)


# -- answers --------------------------------------------------------------------------------------


def test_it_tells_new_pictures(check):
    for image, truth in ((picture(900, True), True), (picture(901, False), False)):
        found = check.check(image)
        assert found.present is truth
        assert found.verdict == ("present" if truth else "absent")
        assert (found.decision > 0) == truth == (found.probability > 0.5)
        assert found.validation is check.validation
    assert "of 14 held-out images 100.0% (95 % interval 76.8 to 100.0 %)" in str(found)
    assert check.accuracy.low == pytest.approx(0.025 ** (1 / 14))


def test_only_the_region_is_seen(check):
    image = picture(900, True)
    around = np.full_like(image, 255)
    around[8:40, 4:44] = image[8:40, 4:44]
    assert check.check(around) == check.check(image)
    moved = image.copy()
    moved[8:40, 4:44] = picture(901, False)[8:40, 4:44]
    assert not check.check(moved).present


def test_the_words_say_how_sure(check):
    words = "\n".join(about(check))
    assert "in y 8 to 40, x 4 to 44; trained on 8 pictures with it and 6 without, seed 0" in words
    assert "Cross-validated in 6 folds: right for 100.0% (95 % interval 76.8 to 100.0 %)" in words
    assert "absent: 6 of 6 told right, 100.0% (95 % interval 54.1 to 100.0 %)" in words
    assert "Fewer than 20 of a class" in words


def test_polygons_folders_and_names_do_as_well(tmp_path, check):
    for k, (image, empty) in enumerate(zip(good(8), defect(8), strict=True)):
        write_png(tmp_path / f"good/{k}.png", image)
        if k < 6:
            write_png(tmp_path / f"bad/{k}.png", empty)
    folders = fit(tmp_path / "good", tmp_path / "bad", region=REGION)
    named = fit(
        {f"a{k}": image for k, image in enumerate(good(8))},
        {f"b{k}": image for k, image in enumerate(defect(6))},
        region=Crop(polygon=((8, 4), (8, 44), (40, 44), (40, 4))),
    )
    image = picture(900, True)
    assert folders.check(image).decision == check.check(image).decision
    assert folders.origin.defect == "bad"
    assert named.check(image).present


def test_of_an_mvtec_folder_the_good_training_images_are_taken(tmp_path):
    for k in range(3):
        write_png(tmp_path / f"set/train/good/{k}.png", picture(k, True))
        write_png(tmp_path / f"set/test/gone/{k}.png", picture(500 + k, False))
        write_png(tmp_path / f"set/ground_truth/gone/{k}_mask.png", picture(0, True))
    made = fit(tmp_path / "set", tmp_path / "set/test/gone")
    assert (made.validation.present.total, made.validation.absent.total) == (3, 3)
    with pytest.raises(DataError, match=r"holds good images in train/good; .*test.gone"):
        fit(tmp_path / "set/train/good", tmp_path / "set")


# -- what is learned, and from what ---------------------------------------------------------------


def test_every_fold_learns_from_its_own_pictures_alone(monkeypatch):
    """Goes red where scale, class weights or the machine see a held-out picture."""
    calls, real = [], svm.fit_steps

    def spied(features, present, **choices):
        model = yield from real(features, present, **choices)
        calls.append((features, present, model))
        return model

    monkeypatch.setattr(svm, "fit_steps", spied)
    dark = [picture(k, False) // 8 for k in range(3)]  # one fold's statistics are not another's
    pictures = good(6) + defect(3) + dark
    made = fit(pictures[:6], pictures[6:])
    *folds, (everything, _, last) = calls
    assert len(folds) == 6
    assert last is made.model
    rows = {row.tobytes() for row in everything}
    alone = [svm.describe(made.preprocess.apply(image)[0][None]).tobytes() for image in pictures]
    assert rows == set(alone)  # a picture's features know no other picture
    held = [rows - {row.tobytes() for row in features} for features, _, _ in folds]
    assert [len(one) for one in held] == [2] * 6  # one of each class
    assert set.union(*held) == rows
    assert sum(map(len, held)) == len(rows)
    for features, _, model in folds:
        edges = features.shape[1] - 16
        for half in (slice(None, edges), slice(edges, None)):
            by_hand = np.sqrt(features[:, half].var(0).sum())
            np.testing.assert_allclose(model.scale[half], by_hand)
        support = model.support * model.scale
        assert np.abs(support[:, None] - features).max(2).min(1).max() < 1e-12  # its own pictures


@pytest.mark.parametrize("seed", range(4))
def test_shuffled_labels_are_worth_nothing(seed):
    """An accuracy from images that were trained on would be 1."""
    images = good(12) + defect(12)
    order = np.random.default_rng(seed).permutation(24)
    made = fit([images[k] for k in order[:12]], [images[k] for k in order[12:]], seed=seed)
    assert made.accuracy.low <= 0.5 <= made.accuracy.high


def test_chance_is_one_half_on_average():
    """Leaving out one image at a time would come out far below for such pictures."""
    shares = []
    for seed in range(20):
        made = fit(defect(6, 1000 * seed), defect(6, 1000 * seed + 500), seed=seed)
        shares.append(made.accuracy.value)
    assert abs(np.mean(shares) - 0.5) < 4 * 0.5 / np.sqrt(20 * 12)


def test_one_seed_one_file(tmp_path):
    headers = []
    for k, seed in enumerate((1, 1, 2)):
        made = fit(good(5), defect(5), seed=seed)
        header, arrays = checkpoint.read(made.save(tmp_path / f"{k}.presence"), "presence check")
        del header["origin"]
        headers.append((header, {name: one.tobytes() for name, one in arrays.items()}))
    assert headers[0] == headers[1]
    assert headers[0][0] != headers[2][0]  # other folds, another slope


def test_a_part_stays_together_and_counts_once(tmp_path):
    for part in range(4):
        for view in range(3):
            write_png(tmp_path / f"good/part{part}_{view}.png", picture(10 * part + view, True))
            write_png(
                tmp_path / f"bad/part{part + 4}_{view}.png", picture(500 + 10 * part + view, False)
            )
    made = fit(tmp_path / "good", tmp_path / "bad", group=r"part(\d+)")
    found = made.validation
    assert (found.folds, found.parts, found.present.parts, found.absent.parts) == (4, 8, 4, 4)
    assert found.accuracy.value == 1
    assert found.accuracy.low == pytest.approx(0.025 ** (1 / 8))  # not of 24 photographs
    assert "count the 8 parts" in "\n".join(about(made))


def test_a_picture_twice_is_taken_once():
    with pytest.warns(DataWarning, match="image 5: the same picture as image 0"):
        made = fit([*good(5), good(1)[0]], defect(4))
    assert made.validation.present.total == 5


# -- welds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "n", "least"), [("svm", 20, 0.85), ("cnn", 5, 0.95)])
def test_a_missing_seam_is_found(model, n, least, monkeypatch):
    monkeypatch.setattr(classifier, "_TRAINING", replace(classifier._TRAINING, duration=80))
    shape, region = (96, 96), (33, 0, 63, 96)

    def welds(n, first):
        sound = [plate(first + k, shape) for k in range(n)]
        return sound, [
            with_defect("plate", "missing_seam", first + n + k, shape).image for k in range(n)
        ]

    made = fit(*welds(n, 7000), region=region, model=model)
    new = [
        (image, truth)
        for images, truth in zip(welds(20, 8000), (True, False), strict=True)
        for image in images
    ]
    share = np.mean([made.check(image).present == truth for image, truth in new])
    assert share >= least
    assert made.accuracy.low <= share <= made.accuracy.high  # what cross-validation promised


# -- what is refused ------------------------------------------------------------------------------

NOTHING = np.zeros((48, 48), np.uint8)

REFUSED = {
    "too few": (good(2), defect(5), {}, DataError, "found 2 images where it is present; expected at least 3"),
    "none": (good(5), [], {}, DataError, "found no image where it is absent; expected at least 3"),
    "in both": (good(5), [*defect(5), good(3)[2]], {}, DataError, "image 5 .* same picture as image 2"),
    "all alike": ([NOTHING] * 4, defect(4), {}, DataError, "found 1 image where it is present"),
    "region outside": (good(4), defect(4), {"region": (8, 4, 40, 60)}, ImageError, r"image 0: the region .*48 x 48"),
    "region reversed": (good(4), defect(4), {"region": (40, 4, 8, 44)}, RecipeError, r"the region \(40, 4, 8, 44\)"),
    "region negative": (good(4), defect(4), {"region": (-1, 4, 30, 44)}, RecipeError, "0 <= y0 < y1"),
    "region small": (good(4), defect(4), {"region": (8, 4, 12, 44)}, RecipeError, "at least 8 pixels"),
    "region of three": (good(4), defect(4), {"region": (8, 4, 12)}, RecipeError, "expected y0 x0 y1 x1"),
    "seed": (good(4), defect(4), {"seed": -1}, RecipeError, "found seed=-1"),
    "range": (good(4), defect(4), {"data_range": (9, 1)}, RecipeError, r"found data_range \(9, 1\)"),
    "group": (good(4), defect(4), {"group": "part"}, DataError, "matches 0 of 8 names"),
    "floats": ([i * 1.0 for i in good(4)], defect(4), {}, ImageError, "image 0: found floating-point"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("present", "absent", "choices", "kind", "words"), REFUSED.values(), ids=REFUSED
)
@pytest.mark.filterwarnings("ignore:.*the same picture")
def test_what_is_refused(present, absent, choices, kind, words):
    with pytest.raises(kind, match=words):
        fit(present, absent, **choices)


def test_an_unreadable_file_is_skipped_by_name(tmp_path):
    for k in range(4):
        write_png(tmp_path / f"good/{k}.png", picture(k, True))
    (tmp_path / "good/bad.png").write_bytes(b"\x89PNG")
    with pytest.warns(DataWarning, match=r"bad\.png.*skipped"):
        made = fit(tmp_path / "good", defect(4))
    assert made.validation.present.total == 4


def test_an_image_without_the_region_is_refused(check):
    with pytest.raises(ImageError, match="does not lie inside an image of 30 x 48"):
        check.check(picture(0, True)[:30])


# -- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["svm", "cnn"])
def test_a_file_gives_identical_answers(model, tmp_path, short):
    made = fit(good(4), defect(4), region=REGION, model=model)
    again = load_presence(made.save(tmp_path / "weld.presence"))
    for image in (picture(900, True), picture(901, False)):
        assert again.check(image) == made.check(image)
    assert (again.validation, again.origin, again.region) == (
        made.validation,
        made.origin,
        made.region,
    )
    assert (again.preprocess, again.slope, again.kind) == (made.preprocess, made.slope, model)


def test_another_kind_of_file_is_named(tmp_path, check):
    path = check.save(tmp_path / "weld.presence")
    with pytest.raises(CheckpointError, match="found a 'presence check'; expected a detector"):
        na.load(path)
    checkpoint.write(tmp_path / "weld.anomaly", "detector", {}, {})
    with pytest.raises(CheckpointError, match="found a 'detector'; expected a presence check"):
        load_presence(tmp_path / "weld.anomaly")
    with pytest.raises(CheckpointError, match="no such file"):
        load_presence(tmp_path / "nowhere.presence")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match="damaged"):
        load_presence(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda h, a: h.pop("slope"), "nothing called 'slope'"),
        (lambda h, a: h.update(model="forest"), "found model='forest'"),
        (lambda h, a: h["preprocess"].update(grid=None), "found no grid"),
        (lambda h, a: h["preprocess"].update(grid=[64, 64, 1]), "scale with shape"),
        (lambda h, a: a.pop("dual"), "'dual'"),
        (lambda h, a: h["validation"].pop("folds"), "folds"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, check, change, words):
    path = check.save(tmp_path / "weld.presence")
    header, arrays = checkpoint.read(path, "presence check")
    change(header, arrays)
    checkpoint.write(path, "presence check", header, arrays)
    with pytest.raises(CheckpointError, match=rf"(?s)weld\.presence: .*{words}"):
        load_presence(path)
