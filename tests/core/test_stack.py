"""Training images are the same from memory and from disk, come in order, ahead but not too far, and leave no thread."""

import itertools
import threading
import weakref
from contextlib import closing

import numpy as np
import pytest

from napari_anomaly.core import stack as room
from napari_anomaly.core.errors import ImageError
from napari_anomaly.core.normalise import Normalise
from napari_anomaly.core.stack import Stack
from napari_anomaly.core.threads import workers

NORMALISE = Normalise(mean=(0.4, 0.5, 0.6), std=(0.1, 0.2, 0.3))
UNIT = np.random.default_rng(0).random((10, 8, 9, 3), np.float32)
NORMALISED = (UNIT - np.float32([0.4, 0.5, 0.6])) / np.float32([0.1, 0.2, 0.3])


class Disk:
    """Reads an image of ``UNIT``, counts how often, and how many of those given out are still in memory."""

    def __init__(self):
        self.reads, self.alive, self.most = [0] * len(UNIT), 0, 0
        self.lock = threading.Lock()

    def __call__(self, k):
        image = UNIT[k].copy()
        weakref.finalize(image, self._gone)
        with self.lock:
            self.reads[k] += 1
            self.alive += 1
            self.most = max(self.most, self.alive)
        return image

    def _gone(self):
        with self.lock:
            self.alive -= 1


def stack(held, disk):
    return Stack.normalised(UNIT.shape, [one.copy() for one in UNIT[:held]], disk, NORMALISE)


def threads():
    return [one for one in threading.enumerate() if one.name.startswith("napari-anomaly")]


@pytest.mark.parametrize("held", [0, 4, 10])
@pytest.mark.parametrize("indices", [range(10), [3], [7, 2, 2, 9, 7], [], np.array([5, 0])])
def test_some_images_are_the_same_bits_from_memory_and_from_disk(held, indices):
    disk = Disk()

    batch = stack(held, disk).take(indices)

    np.testing.assert_array_equal(batch, NORMALISED[list(indices)], strict=True)
    asked = np.bincount(list(indices), minlength=10) if len(indices) else np.zeros(10)
    assert disk.reads == [0 if k < held else asked[k] for k in range(10)]


@pytest.mark.parametrize("held", [0, 4, 10])
def test_batches_are_what_taking_gives(held):
    images = stack(held, Disk())
    order = [[1, 9], range(3, 7), np.array([0]), [9, 9]]

    given = list(images.batches(order))

    for one, indices in zip(given, order, strict=True):
        np.testing.assert_array_equal(one, images.take(indices), strict=True)


def test_a_batch_may_be_written_to():
    images = stack(10, Disk())

    images.take([0])[:] = 0
    next(images.batches([[1]]))[:] = 0

    np.testing.assert_array_equal(images.take([0, 1]), NORMALISED[:2])


def test_images_in_memory_are_taken_as_they_are():
    images = Stack.of(NORMALISED)

    assert (len(images), images.shape, images.nbytes) == (10, (10, 8, 9, 3), 10 * 8 * 9 * 3 * 4)
    np.testing.assert_array_equal(images.take([4, 1]), NORMALISED[[4, 1]], strict=True)
    assert all(np.shares_memory(one, NORMALISED) for one in images.held)


def test_what_is_held_is_normalised_in_place():
    held = [one.copy() for one in UNIT[:2]]

    images = Stack.normalised(UNIT.shape, held, Disk(), NORMALISE)

    assert all(one is ours for one, ours in zip(images.held, held, strict=True))


@pytest.mark.parametrize("wrong", [10, -1])
def test_an_index_outside_is_told(wrong):
    with pytest.raises(IndexError, match=f"found image {wrong}; expected 0 to 9"):
        stack(4, Disk()).take([0, wrong])


def test_reading_ahead_holds_two_batches_and_what_is_in_the_making():
    disk, asked = Disk(), itertools.count()
    images = stack(0, disk)

    with closing(images.batches([k % 10, (k + 1) % 10] for k in asked)) as batches:
        for _ in range(30):
            next(batches)
        assert next(asked) == 32  # 30 given out and 2 ahead

    # images on their way into two batches, by as many threads each, one waiting for each of them
    assert disk.most <= 2 * (2 * workers() + 1)
    assert disk.alive == 0


def test_closing_ends_the_threads():
    with closing(stack(0, Disk()).batches(itertools.repeat(range(10)))) as batches:
        next(batches)
        assert threads() != []

    assert threads() == []


def test_a_reader_s_error_is_passed_on_and_ends_the_threads():
    def broken(k):
        if k == 7:
            raise ImageError("7.png: gone")
        return UNIT[k].copy()

    images, given = stack(2, broken), []
    with pytest.raises(ImageError, match=r"7\.png: gone"):
        for one in images.batches([[0, 1], [5, 6], [7, 8], [9]]):
            given.append(one)  # those before it

    np.testing.assert_array_equal(np.concatenate(given), NORMALISED[[0, 1, 5, 6]])
    assert threads() == []


def test_a_small_machine_holds_a_quarter_of_its_memory(monkeypatch):
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**17}  # 512 MiB
    monkeypatch.setattr(room.os, "sysconf", pages.__getitem__, raising=False)
    assert room.cache_bound() == 2**27

    pages["SC_PHYS_PAGES"] = 2**24  # 64 GiB
    assert room.cache_bound() == 2**30
