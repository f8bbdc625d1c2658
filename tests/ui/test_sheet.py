"""The columns of the table of images, its order and what is listed."""

from pathlib import Path

import numpy as np
import pytest

from napari_anomaly.core.calibration import Calibration
from napari_anomaly.core.data.folders import Dataset
from napari_anomaly.core.types import Sample
from napari_anomaly.ui.inspected import Inspected
from napari_anomaly.ui.session import Session
from napari_anomaly.ui.sheet import arranged, decided, judged, masked, next_undecided, sheet_of
from napari_anomaly.ui.thumbnails import thumbnail

NORMALS = Calibration(np.arange(1.0, 10.0), np.arange(1.0, 10.0), 0.1, 0.3)  # fail > 9, review > 7


@pytest.mark.parametrize("seed", range(5))
def test_many_verdicts_and_p_values_equal_those_of_one(seed):
    rng = np.random.default_rng(seed)
    normals = rng.integers(0, 30, 60) / 7  # with ties
    review = None if seed == 4 else 0.2
    calibration = Calibration(normals, normals, 0.05, review)
    scores = np.concatenate([rng.choice(normals, 40), rng.normal(2, 2, 40), [np.inf, -np.inf]])
    inspected = Inspected(tuple(map(str, scores)), scores)
    assert inspected.verdicts(calibration) == [calibration.verdict(s) for s in scores]
    assert inspected.p_values(calibration).tolist() == [calibration.p_value(s) for s in scores]


def listed():
    kinds = [("10", "good", 3.0), ("2", "hole", 12.0), ("1", "hole", 8.0), ("3", "crack", np.nan)]
    samples = [
        Sample(Path(name), f"test/{kind}/{name}.png", "test", kind, Path("m") if kind == "hole" else None)
        for name, kind, _ in kinds
    ] + [Sample(Path("0"), "train/good/0.png")]  # fmt: skip
    scores = np.array([score for *_, score in kinds] + [np.nan])
    names = tuple(sample.name for sample in samples)
    reasons = ("", "", "", "damaged", "")
    return Inspected(names, scores, tuple(samples), Dataset(Path("f"), tuple(samples)), reasons)


@pytest.fixture
def sheet():
    inspected, session = listed(), Session()
    session.decide(inspected.key(1), "defect")
    sheet = sheet_of(inspected) | judged(inspected, NORMALS)
    sheet |= decided(inspected, session.decisions)
    none = np.zeros(5, bool)
    return sheet | masked(sheet, none | (np.arange(5) == 0), none | (np.arange(5) == 1))


def test_what_the_columns_say(sheet):
    assert sheet["verdict"].tolist() == ["pass", "fail", "review", "unusable", ""]
    assert sheet["p"].tolist()[:3] == [0.8, 0.1, 0.3]
    assert np.isnan(sheet["p"][3:]).all()
    assert sheet["you"].tolist() == ["", "defect", "", "", ""]
    assert sheet["mask"].tolist() == ["painted", "painted", "file", "none", "none"]
    assert sheet["dirty"].tolist() == [False, True, False, False, False]
    assert sheet["image"].tolist() == ["good/10", "hole/2", "hole/1", "crack/3", "train/good/0"]


@pytest.mark.parametrize(
    ("by", "descending", "text", "state", "order"),
    [
        ("score", True, "", "all", [1, 2, 0, 3, 4]),
        ("score", False, "", "all", [0, 2, 1, 3, 4]),  # no score comes last either way
        ("image", False, "", "all", [3, 0, 2, 1, 4]),  # crack, good, hole/1, hole/2, train
        ("verdict", True, "", "all", [1, 2, 0, 4, 3]),
        ("defect", False, "", "all", [3, 0, 4, 1, 2]),  # alike: by descending score
        ("score", True, "HOLE 1", "all", [2]),
        ("score", True, "train", "all", [4]),
        ("score", True, "", "review", [2]),
        ("score", True, "", "undecided", [2, 0]),
        ("score", True, "hole", "pass", []),
        ("score", True, "", "unusable", [3]),
    ],
)
def test_what_is_listed_in_which_order(sheet, by, descending, text, state, order):
    assert arranged(sheet, by, descending, text, state).tolist() == order


def test_the_next_undecided_comes_round(sheet):
    order = arranged(sheet, "score", True, "", "all")
    assert [next_undecided(sheet, order, row) for row in (-1, 0, 1, 2, 4)] == [1, 1, 2, 1, 1]
    sheet["you"][:] = "good"
    assert next_undecided(sheet, order, 0) is None


def test_scores_stay_with_the_detector_that_gave_them(sheet):
    class Fitted:
        def __init__(self, calibration):
            self.calibration = calibration

    own = Fitted(NORMALS)
    moved = Fitted(Calibration(NORMALS.scores, NORMALS.peaks, 0.2))
    other = Fitted(Calibration(NORMALS.scores + 1, NORMALS.peaks, 0.1))
    inspected = Inspected(("a",), np.array([1.0]), detector=own)
    assert inspected.at_present(moved) is moved
    assert inspected.at_present(other) is own
    assert inspected.at_present(None) is own


def test_a_thumbnail_averages_blocks():
    image = np.zeros((10, 20), np.uint8)
    image[:, :10] = [100, 200] * 5
    small = thumbnail(image, 2)
    assert small.tolist() == [[[150] * 3, [0] * 3]]
    assert thumbnail(image.astype(np.uint16), 2).tolist() == [[[255] * 3, [0] * 3]]
    colours = np.tile(np.array([1, 2, 3], np.uint8), (9, 4, 1))
    assert thumbnail(colours, 3).tolist() == [[[1, 2, 3]]] * 3
