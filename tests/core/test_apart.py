"""A fit in a process of its own is the same fit, and ends with whoever asked for it."""

import subprocess
import sys
import threading
import warnings
from dataclasses import replace
from multiprocessing import Pipe, active_children

import numpy as np
import pytest

from napari_anomaly.core import apart
from napari_anomaly.core.errors import DataWarning, ImageError, TrainingError
from napari_anomaly.core.fitting import fit
from napari_anomaly.core.methods.knobs.autoencoder import Autoencoder
from napari_anomaly.core.methods.knobs.shared import Training
from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.core.preprocess import Preprocessing, Resize
from napari_anomaly.core.progress import finished
from napari_anomaly.core.types import Progress, Running

NORMALS = (np.random.default_rng(0).random((8, 16, 16)) * 255).astype(np.uint8)
TINY = replace(
    RECIPES["autoencoder"],
    method=Autoencoder(widths=(4,), latent=4, training=Training(duration=140, batch=2)),
    preprocess=Preprocessing((Resize(size=(16, 16)),)),
)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_cancelled_and_gone_on_with_it_ends_in_the_bits_of_one_process(temporary):
    state = temporary / "state"
    steps = apart.fit_steps(list(NORMALS), TINY, seed=3, state_file=state)
    now = next(now for now in steps if now.training)
    assert now.running.rebuild(NORMALS[0]).shape == (2, 16, 16, 1)
    steps.close()
    assert state.exists()
    assert active_children() == []
    seen = []
    there = finished(apart.fit_steps(list(NORMALS), TINY, seed=3, state_file=state), seen.append)
    assert next(now.step for now in seen if now.training) > now.step
    assert list(temporary.iterdir()) == []  # neither images nor detector nor state
    here = fit(list(NORMALS), TINY, seed=3)
    assert replace(there.provenance, fit_seconds=0) == replace(here.provenance, fit_seconds=0)
    assert there.recipe == here.recipe
    arrays = [
        (one.fitted.arrays(), one.standardisation.arrays(), vars(one.calibration))
        for one in (there, here)
    ]
    for ours, theirs in zip(*arrays, strict=True):
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_a_process_that_is_killed_is_told_in_a_sentence(temporary):
    def kill():
        while not (found := active_children()):
            threading.Event().wait(0.01)
        found[0].kill()

    threading.Thread(target=kill).start()
    with pytest.raises(TrainingError, match=r"ended .*memory runs out"):
        finished(apart.fit_steps(list(NORMALS), TINY))
    assert list(temporary.iterdir()) == []


def test_a_process_that_is_killed_while_it_waits_for_an_answer_is_told_too(temporary):
    steps = apart.fit_steps(list(NORMALS), TINY)
    for now in steps:
        if now.stage == "training":
            (process,) = active_children()
            process.kill()
            process.join()
            break
    with pytest.raises(TrainingError, match=r"ended .*memory runs out"):
        finished(steps)


def test_the_script_that_asks_is_not_run_again(tmp_path):
    script = tmp_path / "opens_a_window.py"
    script.write_text(
        "from pathlib import Path\n"
        "from napari_anomaly.core import apart\n"
        "print('a window', flush=True)\n"
        "with apart._started(apart.Task('folder', {'pool': 0}, 'cpu', {}, Path('a'))) as (pipe, process):\n"
        "    print(pipe.recv())\n"
    )
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    window, error = ran.stdout.splitlines()
    assert window == "a window"
    assert error.startswith("the recipe cannot be used")  # told by the other process


def test_images_that_cannot_be_written_are_told(temporary, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(TrainingError, match=r"handed over .*No space left"):
        finished(apart.fit_steps(list(NORMALS), TINY))


@pytest.fixture
def served():
    """Work that is served in a thread, and followed here."""
    ours, theirs = Pipe()
    threads = []

    def serve(steps):
        threads.append(threading.Thread(target=apart.serve, args=(theirs, steps)))
        threads[-1].start()
        return apart._followed(ours.recv, ours.send)

    yield serve, ours
    ours.close()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def trainings(rebuild=None):
    """Two trainings that end when they are told to; returns which were."""
    ended = []
    for name in ("first", "second"):
        enough = threading.Event()
        running = Running(enough.set, rebuild=rebuild)
        while not enough.is_set():
            yield Progress(f"training the {name}", 1, 2, 0.5, running=running)
            threading.Event().wait(0.01)
        ended.append(name)
    yield Progress("calibrating", 1, 1, picture=np.zeros((1, 1, 1), np.float32))


def test_each_training_is_ended_by_its_own_finish(served):
    serve, _ = served
    seen = []
    for now in serve(trainings()):
        if now.running is not None and now.running.finish not in seen:
            seen.append(now.running.finish)
            seen[0]()  # once too often for the second
            if len(seen) == 2:
                seen[1]()
    assert len(seen) == 2
    assert now.stage == "calibrating"
    assert now.picture.shape == (1, 1, 1)


def test_an_image_is_rebuilt_there_or_refused(served):
    def rebuild(image):
        if image.sum() == 0:
            raise ImageError("too dark")
        return np.stack([image, -image])

    serve, _ = served
    steps = serve(trainings(rebuild))
    running = next(now.running for now in steps if now.running.rebuild)
    assert running.rebuild(np.ones((2, 2))).tolist() == [[[1, 1]] * 2, [[-1, -1]] * 2]
    with pytest.raises(ImageError, match="too dark"):
        running.rebuild(np.zeros((2, 2)))
    assert next(steps).training


def test_work_that_nobody_follows_is_closed(served):
    closed = threading.Event()

    def steps():
        try:
            yield from trainings()
        finally:
            closed.set()

    serve, ours = served
    next(serve(steps()))
    ours.close()
    assert closed.wait(60)


def test_work_waits_while_nobody_asks_for_its_next_step(served):
    done = []

    def steps():
        for k in range(10**9):
            done.append(k)
            yield Progress("training", k, 10**9)
            threading.Event().wait(0.001)

    serve, _ = served
    followed = serve(steps())
    next(followed)
    threading.Event().wait(0.3)
    before = len(done)
    threading.Event().wait(0.3)
    assert len(done) == before
    assert next(followed).step == 1


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (TrainingError("found a loss of nan", 3), TrainingError, "^found a loss of nan$"),
        (ZeroDivisionError("by zero"), RuntimeError, "ZeroDivisionError: by zero"),
    ],
)
def test_errors_are_raised_here(served, error, kind, words):
    def steps():
        yield Progress("reading", 1, 2)
        raise error

    serve, _ = served
    with pytest.raises(kind, match=words) as caught:
        list(serve(steps()))
    assert kind is TrainingError or "in steps\n" in caught.value.__notes__[0]


def test_warnings_are_warned_of_here():
    told = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")

        def steps():
            warnings.warn("one.png was left out", DataWarning, stacklevel=1)
            yield Progress("reading", 1, 2)

        apart._tell_all(steps(), told.append, lambda: apart.GoOn(()), caught)
    words, step = told
    assert step == apart.Step(Progress("reading", 1, 2), None, waits=True, rebuilds=False)
    heard = iter([words, None])
    with pytest.warns(DataWarning, match=r"^one\.png was left out$"):
        list(apart._followed(heard.__next__, told.append))
