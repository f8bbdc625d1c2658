"""Watching long work: what is shown, what is returned, and that a stopped generator is closed."""

import io

import pytest
from rich.console import Console

from napari_anomaly.core.progress import watched
from napari_anomaly.core.types import Progress


def work(closed, fail_at=None):
    try:
        for step in range(1, 4):
            if step == fail_at:
                raise ValueError("broken")
            yield Progress("reading", step, 3)
        yield Progress("training", 1, 2, 0.25)
        yield Progress("training", 2, 2, 0.125)
    finally:
        closed.append(True)
    return 42


def test_a_log_has_a_line_where_a_stage_begins_and_ends():
    text, closed = io.StringIO(), []
    assert watched(work(closed), Console(file=text, force_terminal=False)) == 42
    assert text.getvalue().splitlines() == [
        *("reading 1/3", "reading 3/3", "training 1/2 loss 0.25", "training 2/2 loss 0.125")
    ]
    assert closed


def test_a_screen_shows_the_stage_with_its_loss():
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=100, color_system=None)
    assert watched(work([]), console) == 42
    assert "training" in text.getvalue()
    assert "2/2" in text.getvalue()
    assert "loss 0.125" in text.getvalue()


def test_an_error_of_the_work_comes_through():
    with pytest.raises(ValueError, match="broken"):
        watched(work([], fail_at=2), Console(file=io.StringIO()))


def test_a_watcher_that_is_stopped_closes_the_work():
    class Stopped(io.StringIO):
        def write(self, _):
            raise KeyboardInterrupt

    closed = []
    steps = work(closed)
    with pytest.raises(KeyboardInterrupt):
        watched(steps, Console(file=Stopped(), force_terminal=False))
    assert closed
    assert list(steps) == []
