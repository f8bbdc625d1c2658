"""Work runs in a thread, stops when told, and every way it can end is reported once."""

import threading
import warnings

import pytest
from qtpy.QtCore import QThreadPool
from superqt.utils import WorkerBase

from napari_anomaly.core.types import Progress
from napari_anomaly.ui.workers import Job


class Record:
    """What a job called back."""

    def __init__(self):
        self.progress, self.outcomes, self.stops, self.held = [], [], [], []

    def start(self, steps):
        return Job(
            steps,
            progressed=self.progress.append,
            ended=self.outcomes.append,
            stopped=lambda: self.stops.append(1),
            held=self.held.append,
        )


@pytest.fixture
def record(qtbot):
    yield Record()
    WorkerBase.await_workers(5000)


def test_value_and_progress_arrive(record, qtbot):
    def steps():
        for k in range(3):
            yield Progress("training", k + 1, 3, loss=0.5)
        return threading.current_thread()

    record.start(steps)
    qtbot.waitUntil(lambda: bool(record.outcomes), timeout=60_000)
    assert record.outcomes[0].value is not threading.current_thread()
    assert record.outcomes[0].error is None
    assert record.progress[0] == Progress("training", 1, 3, loss=0.5)
    assert record.progress[-1].step == 3


def test_many_steps_become_few_reports(record, qtbot):
    def steps():
        for k in range(5000):
            yield Progress("training", k + 1, 5000)

    record.start(steps)
    qtbot.waitUntil(lambda: bool(record.outcomes), timeout=60_000)
    assert 2 <= len(record.progress) < 200


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), ValueError("no")])
def test_errors_arrive_even_runtime_errors(record, qtbot, error):
    def steps():
        yield Progress("training", 1, 2)
        raise error

    record.start(steps)
    qtbot.waitUntil(lambda: bool(record.outcomes), timeout=60_000)
    assert record.outcomes[0].error is error


def test_cancel_closes_the_work_and_drops_the_result(record, qtbot):
    closed, go_on = threading.Event(), threading.Event()

    def steps():
        try:
            yield Progress("compiling", 0, 1)
            go_on.wait(5)  # a compilation that cannot be interrupted
            while True:
                yield Progress("training", 1, 2)
                threading.Event().wait(
                    0.01
                )  # a step leaves the window its share of the interpreter
        finally:
            closed.set()

    job = record.start(steps)
    qtbot.waitUntil(lambda: bool(record.progress), timeout=60_000)
    job.cancel()
    assert not closed.is_set()
    go_on.set()
    qtbot.waitUntil(closed.is_set, timeout=60_000)
    qtbot.wait(50)
    assert record.outcomes == record.stops == []
    assert [now.stage for now in record.progress] == ["compiling"]


def test_warnings_are_collected_once_each(record, qtbot):
    def steps():
        for k in range(4):
            warnings.warn(f"file {k % 2}", stacklevel=1)
            yield Progress("reading", k, 4)

    record.start(steps)
    qtbot.waitUntil(lambda: bool(record.outcomes), timeout=60_000)
    assert record.outcomes[0].warned == ("file 0", "file 1")


@pytest.fixture
def two_threads():
    """Let two jobs run at once, on one core too."""
    pool = QThreadPool.globalInstance()
    before = pool.maxThreadCount()
    pool.setMaxThreadCount(max(2, before))
    yield
    pool.setMaxThreadCount(before)


@pytest.mark.usefixtures("two_threads")
def test_jobs_that_overlap_leave_the_ways_to_warn_as_they_were(record, qtbot):
    first_runs, first_ended = threading.Event(), threading.Event()

    def first():
        yield Progress("first", 0, 1)
        first_runs.set()
        assert second_runs.wait(60)

    second_runs = threading.Event()

    def second():
        second_runs.set()
        yield Progress("second", 0, 1)
        assert first_ended.wait(60)
        threading.Event().wait(0.2)  # until the first one's thread has put back what it found

    before = warnings.showwarning, warnings.filters
    jobs = [record.start(first)]
    qtbot.waitUntil(first_runs.is_set, timeout=60_000)
    jobs.append(record.start(second))
    qtbot.waitUntil(lambda: len(record.outcomes) == 1, timeout=60_000)
    first_ended.set()
    qtbot.waitUntil(lambda: all(job._worker is None for job in jobs), timeout=60_000)
    assert [one.error for one in record.outcomes] == [None, None]
    assert (warnings.showwarning, warnings.filters) == before
    with pytest.warns(UserWarning, match="heard again"):
        warnings.warn("heard again", UserWarning, stacklevel=1)


def test_work_that_nobody_waits_for_stops(record, qtbot):
    closed = threading.Event()

    def steps():
        try:
            while True:
                yield Progress("training", 1, 2)
                threading.Event().wait(
                    0.01
                )  # a step leaves the window its share of the interpreter
        finally:
            closed.set()

    Job(
        steps,
        progressed=record.progress.append,
        ended=record.outcomes.append,
        stopped=lambda: None,
        wanted=lambda: len(record.progress) < 2,
    )
    qtbot.waitUntil(closed.is_set, timeout=60_000)
    assert len(record.progress) == 2


def test_napari_stopping_the_thread_is_reported(record, qtbot):
    def steps():
        while True:
            yield Progress("training", 1, 2)
            threading.Event().wait(0.01)  # a step leaves the window its share of the interpreter

    record.start(steps)
    qtbot.waitUntil(lambda: bool(record.progress), timeout=60_000)
    WorkerBase.await_workers(5000)
    qtbot.waitUntil(lambda: bool(record.stops), timeout=60_000)
    assert record.outcomes == []


def endless(closed):
    try:
        while True:
            yield Progress("training", 1, 2)
            threading.Event().wait(0.01)
    finally:
        closed.set()


def test_paused_work_stands_still_and_goes_on(record, qtbot):
    taken = []

    def steps():
        for k in range(10_000):
            taken.append(k)
            yield Progress("training", k, 10_000)
            threading.Event().wait(0.005)

    job = record.start(steps)
    qtbot.waitUntil(lambda: bool(record.progress), timeout=60_000)
    job.pause()
    qtbot.waitUntil(lambda: record.held == [True], timeout=60_000)
    before = len(taken)
    qtbot.wait(200)
    assert len(taken) == before
    job.resume()
    qtbot.waitUntil(lambda: len(taken) > before, timeout=60_000)
    assert record.held == [True, False]
    job.cancel()


@pytest.mark.parametrize("at_rest", [True, False])
def test_cancel_ends_paused_work(record, qtbot, at_rest):
    closed = threading.Event()
    job = record.start(lambda: endless(closed))
    qtbot.waitUntil(lambda: bool(record.progress), timeout=60_000)
    job.pause()
    if at_rest:
        qtbot.waitUntil(lambda: record.held == [True], timeout=60_000)
    job.cancel()  # or while the pause is on its way
    qtbot.waitUntil(closed.is_set, timeout=60_000)
