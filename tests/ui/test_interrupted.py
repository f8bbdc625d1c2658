"""What a cancelled training leaves, and for how long."""

import os

import pytest

from napari_anomaly.core.types import Progress
from napari_anomaly.ui.devices import share
from napari_anomaly.ui.interrupted import KEPT, Interrupted


def steps(folder, stage="training"):
    try:
        for k in range(5):
            yield Progress(stage, k + 1, 5)
        return "done"
    finally:
        (folder / "a.partial").touch()


def test_the_newest_states_are_kept(own_cache):
    folder = Interrupted().folder
    assert folder == own_cache / "interrupted"
    for age in range(KEPT + 2):
        path = folder / f"{age}.partial"
        path.touch()
        os.utime(path, (1e9 - age, 1e9 - age))
    Interrupted()
    assert sorted(path.name for path in folder.iterdir()) == [f"{k}.partial" for k in range(KEPT)]


@pytest.mark.parametrize("stage", ["training", "training the encoder"])
def test_the_last_step_before_the_close_is_told(stage):
    kept = Interrupted()
    watched = kept.watch(steps(kept.folder, stage))
    next(watched), next(watched)
    assert kept.in_words() == "cancelled"  # nothing left yet
    watched.close()
    assert kept.in_words() == (
        "cancelled at step 2 of 5; Train goes on from there with the same settings"
    )


def test_a_state_of_before_is_not_claimed():
    first = Interrupted()
    first.watch(steps(first.folder)).close()
    (first.folder / "a.partial").touch()
    second = Interrupted()
    second.last = Progress("training", 3, 5)
    assert second.in_words() == "cancelled"


def test_other_stages_are_no_steps():
    kept = Interrupted()
    watched = kept.watch(steps(kept.folder, stage="reading"))
    next(watched)
    watched.close()
    assert kept.in_words() == "cancelled"


def test_the_value_passes_through():
    kept = Interrupted()
    watched = kept.watch(steps(kept.folder))
    with pytest.raises(StopIteration) as end:
        while True:
            next(watched)
    assert end.value.value == "done"


def test_without_a_place_nothing_is_kept(own_cache):
    own_cache.write_text("a file in the way")
    kept = Interrupted()
    kept.last = Progress("training", 3, 5)
    assert kept.folder is None
    assert kept.in_words() == "cancelled"


@pytest.mark.parametrize(
    "name",
    [
        "XLA_PYTHON_CLIENT_PREALLOCATE",
        "XLA_CLIENT_MEM_FRACTION",
        "XLA_PYTHON_CLIENT_MEM_FRACTION",
        "XLA_PYTHON_CLIENT_ALLOCATOR",
    ],
)
def test_a_choice_of_the_user_about_the_card_stays(name):
    environment = {name: "0.5"}
    share(environment)
    assert environment == {name: "0.5"}


def test_the_card_is_shared_by_default():
    environment = {"HOME": "/"}
    share(environment)
    assert environment == {"HOME": "/", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
