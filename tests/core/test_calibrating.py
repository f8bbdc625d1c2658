"""Calibration in bounded memory: what does not fit is looked at again, and no number changes."""

import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest

from napari_anomaly.core import calibrating as room
from napari_anomaly.core.data.normals import source
from napari_anomaly.core.errors import DataError, ImageError
from napari_anomaly.core.fitting import fit
from napari_anomaly.core.methods.knobs.linear import Linear
from napari_anomaly.core.methods.recipes import Recipe
from napari_anomaly.core.preprocess import Preprocessing, Resize
from napari_anomaly.core.progress import finished
from napari_anomaly.core.threads import workers

RECIPE = Recipe(
    Linear(patch=4, scales=(1, 2), components=3), Preprocessing((Resize(size=(32, 32)),))
)
NORMALS = list(np.random.default_rng(0).integers(90, 160, (12, 32, 32), np.uint8))
ONE = 2 * 32 * 32 * 4  # bytes of one image's residual maps


@pytest.fixture(scope="module")
def detector():
    return fit(NORMALS[:6], RECIPE)


class Looks:
    """Counts how often there was a look, and how many looks' arrays are still in memory."""

    def __init__(self, monkeypatch):
        self.count, self.alive, self.most = 0, {"residuals": 0, "reconstruction": 0}, {}
        self.lock, self.look = threading.Lock(), room.look
        monkeypatch.setattr(room, "look", self)

    def __call__(self, *arguments):
        made = self.look(*arguments)
        made = replace(
            made, residuals=made.residuals.copy(), reconstruction=made.reconstruction.copy()
        )
        with self.lock:
            self.count += 1
            for kind in self.alive:
                weakref.finalize(getattr(made, kind), self._gone, kind)
                self.alive[kind] += 1
                self.most[kind] = max(self.most.get(kind, 0), self.alive[kind])
        return made

    def _gone(self, kind):
        with self.lock:
            self.alive[kind] -= 1


@pytest.mark.parametrize("kind", ["place", "texture", "none"])
@pytest.mark.parametrize("fit_in", [0, 5])
def test_looking_again_changes_no_bit(detector, kind, fit_in, monkeypatch):
    detector = replace(detector, recipe=replace(detector.recipe, standardise=kind))
    kept = detector.calibrate(NORMALS)
    looks = Looks(monkeypatch)
    monkeypatch.setattr(room, "KEPT", fit_in * ONE)

    again = detector.calibrate(NORMALS)

    assert looks.count == 12 + 12 - fit_in
    np.testing.assert_array_equal(again.calibration.scores, kept.calibration.scores)
    np.testing.assert_array_equal(again.calibration.peaks, kept.calibration.peaks)
    np.testing.assert_array_equal(again.standardisation.mean, kept.standardisation.mean)
    np.testing.assert_array_equal(again.standardisation.std, kept.standardisation.std)


def test_what_fits_is_looked_at_once(detector, monkeypatch):
    looks = Looks(monkeypatch)

    detector.calibrate(NORMALS)

    assert looks.count == 12


def test_memory_does_not_grow_with_the_number_of_normals(detector, monkeypatch):
    looks = Looks(monkeypatch)
    monkeypatch.setattr(room, "KEPT", 3 * ONE)

    detector.calibrate(NORMALS * 10)

    ahead = 2 * workers() + 2  # being looked at, waiting, in use
    assert looks.most["residuals"] <= 3 + ahead
    assert looks.most["reconstruction"] <= ahead


def test_without_standardisation_a_peak_is_the_highest_residual(detector):
    samples, read = source(NORMALS[:2])

    standardisation, calibration = finished(
        room.calibrating(
            replace(detector.recipe, standardise="none"), detector.fitted, samples, read
        )
    )

    expected = [
        room.look(detector.recipe, detector.fitted, image).residuals.mean(0).max()
        for image in NORMALS[:2]
    ]
    np.testing.assert_array_equal(calibration.peaks, expected)
    np.testing.assert_array_equal(standardisation.std, np.ones((2, 1, 1)))


def test_progress_counts_both_passes(detector):
    samples, read = source(NORMALS[:3])

    steps = [
        (one.stage, one.step, one.total)
        for one in room.calibrating(detector.recipe, detector.fitted, samples, read)
    ]

    assert steps == [("calibrating", k, 6) for k in range(1, 7)]


def test_an_unusable_normal_is_told_by_name(detector):
    samples, read = source([*NORMALS[:3], np.full((32, 32), np.nan)])

    with pytest.raises(ImageError, match="image 3: found 1024 NaN"):
        finished(room.calibrating(detector.recipe, detector.fitted, samples, read))


def test_no_normals_at_all(detector):
    samples, read = source([])

    with pytest.raises(DataError, match="none of 0"):
        finished(room.calibrating(detector.recipe, detector.fitted, samples, read))


def test_closing_ends_the_threads(detector):
    samples, read = source(NORMALS)
    for stop in (1, 13):  # in the first pass, and in the second
        steps = room.calibrating(detector.recipe, detector.fitted, samples, read)
        for _ in range(stop):
            next(steps)
        steps.close()

        assert not [t for t in threading.enumerate() if t.name.startswith("napari-anomaly")]
