"""Time told is that of work, and what is left follows from the speed."""

import pytest

from napari_anomaly.core.types import Progress
from napari_anomaly.ui.clock import Clock
from napari_anomaly.ui.pace import Pace, duration, in_words


def paced(*reports):
    pace = Pace()
    for step, at in reports:
        pace = pace.after(Progress("training", step, 100), at)
    return pace


def test_a_steady_speed_gives_the_time_left():
    pace = paced(*((k, 10 + 2 * k) for k in range(11)))  # compiled for ten seconds, then 2 s a step
    assert pace.left(30) == pytest.approx(180)
    assert pace.left(37) == pytest.approx(173)
    assert in_words(pace, 30) == "30 s, about 3 min left"


def test_speed_follows_a_change_and_forgets_the_past():
    slow = [(k, 4.0 * k) for k in range(11)]
    fast = [(10 + k, 40 + 1.0 * k) for k in range(1, 61)]
    assert paced(*slow, *fast).left(100) == pytest.approx(30, rel=0.2)


def test_nothing_is_foretold_too_early_nor_at_the_end():
    assert in_words(paced((1, 20), (2, 21)), 21) == "21 s"
    assert in_words(paced((1, 0), (100, 50)), 50) == "50 s"


def test_another_stage_has_another_speed():
    pace = paced((1, 0), (50, 10)).after(Progress("calibrating", 1, 10), 11)
    assert pace.left(11) is None


@pytest.mark.parametrize(
    ("seconds", "said", "roughly"),
    [
        (3.4, "3 s", "3 s"),
        (47, "47 s", "45 s"),
        (65, "1 min 5 s", "1 min"),
        (125, "2 min 5 s", "2 min"),
        (3600, "1 h", "1 h"),
        (11_530, "3 h 12 min", "3 h 12 min"),
    ],
)
def test_durations_in_words(seconds, said, roughly):
    assert (duration(seconds), duration(seconds, rounded=True)) == (said, roughly)


def test_a_held_clock_stands_still():
    time = [100.0]
    clock = Clock(lambda: time[0])
    time[0] = 105
    clock.hold()
    time[0] = 150
    assert clock() == 5
    clock.go_on()
    time[0] = 151
    assert clock() == 6
