"""Threads that work ahead: in order, no further than allowed, gone when nobody waits for them."""

import itertools
import threading
from contextlib import closing

import pytest

from napari_anomaly.core import threads
from napari_anomaly.core.threads import first_alone, in_order, workers

PATIENCE = 20  # seconds after which a test fails instead of hanging


def ours():
    return [one for one in threading.enumerate() if one.name.startswith("napari-anomaly")]


def test_results_come_in_the_order_of_the_items_whoever_is_done_first():
    later = threading.Event()

    def work(k):
        if k == 0:
            assert later.wait(PATIENCE)  # ends after its successor
        if k == 1:
            later.set()
        return k * k

    assert list(in_order(work, range(20), threads=2)) == [k * k for k in range(20)]


def test_items_are_drawn_no_further_than_allowed():
    drawn = itertools.count()
    results = in_order(lambda k: k, drawn, threads=3, ahead=2)  # endless

    with closing(results):
        assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
        assert next(drawn) == 7  # 5 given out and 2 ahead


@pytest.mark.parametrize("ahead", [0, 1, 100])
def test_every_item_is_worked_on_once(ahead):
    seen = []
    assert list(in_order(lambda k: seen.append(k) or k, range(7), ahead=ahead)) == list(range(7))
    assert sorted(seen) == list(range(7))


def test_an_exception_comes_in_its_place_and_ends_the_threads():
    def work(k):
        if k == 3:
            raise ValueError("the fourth")
        return k

    results, got = in_order(work, range(100), ahead=5), []
    with pytest.raises(ValueError, match="the fourth"):
        for one in results:
            got.append(one)  # what came before it

    assert got == [0, 1, 2]
    assert ours() == []


def test_closing_drops_what_has_not_begun_and_ends_the_threads(monkeypatch):
    begun, closed = [], threading.Event()

    class Pool(threads.ThreadPoolExecutor):
        def __exit__(self, *reason):
            closed.set()  # what was to be dropped is dropped
            super().__exit__(*reason)

    def work(k):
        begun.append(k)
        assert k == 0 or closed.wait(PATIENCE)
        return k

    monkeypatch.setattr(threads, "ThreadPoolExecutor", Pool)
    results = in_order(work, range(100), threads=1, ahead=50)
    assert next(results) == 0
    results.close()

    assert set(begun) <= {0, 1}
    assert ours() == []


def test_work_may_be_split_among_threads_of_its_own():
    def outer(k):
        return sum(in_order(lambda j: 10 * k + j, range(3), threads=2))

    assert list(in_order(outer, range(4), threads=2, ahead=1)) == [3, 33, 63, 93]


def test_there_is_a_thread_for_each_core_within_reason():
    assert 2 <= workers() <= 8


def test_the_first_call_ends_before_any_other_begins(monkeypatch):
    begun, tries, all_tried = [], [], threading.Event()

    class Watched:
        def __init__(self):
            self.lock = threading.Lock()

        def __enter__(self):
            tries.append(self)
            if len(tries) == 3:
                all_tried.set()
            self.lock.acquire()

        def __exit__(self, *reason):
            self.lock.release()

    def work(k):
        begun.append(k)
        if len(begun) == 1:
            assert all_tried.wait(PATIENCE)  # the others are waiting at the door
            assert begun == [k]
        return k

    monkeypatch.setattr(threads, "Lock", Watched)
    assert list(in_order(first_alone(work), range(3), threads=3)) == [0, 1, 2]


def test_a_first_call_that_fails_lets_the_others_begin():
    def work(k):
        if k == 0:
            raise ValueError("the first")
        return k

    alone = first_alone(work)
    with pytest.raises(ValueError, match="the first"):
        alone(0)
    assert alone(1) == 1
