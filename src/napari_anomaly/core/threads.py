"""Work on many things in threads, in order and a bounded stretch ahead. No processes: nothing is forked or copied."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from threading import Event, Lock
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST_WORKERS = 8  # more decoders than that wait for the disk, or hold large images for nothing


def workers() -> int:
    """How many threads decode and look: one for each core that this process may use, 2 to 8."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        cores = os.cpu_count() or 1
    return max(2, min(_MOST_WORKERS, cores))


def in_order(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    threads: int | None = None,
    ahead: int | None = None,
) -> Generator[Result, None, None]:
    """Yield ``work(item)`` of one item after the other; threads are at work on those that follow.

    What ``work`` raises is raised where its result would have come. Closing the generator, or an exception in it, lets
    running work end, drops the rest, and ends the threads.

    Parameters
    ----------
    work : callable
        Called in several threads at once.
    items : iterable
        Drawn from by the caller's thread, no further than ``ahead``; may be endless.
    threads : int, optional
        One for each core (:func:`workers`) if not given.
    ahead : int, optional
        Results, done or being worked on, that may wait for the caller: bounds the memory. As many as threads if not
        given.
    """
    threads = workers() if threads is None else threads
    ahead = threads if ahead is None else ahead
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="napari-anomaly") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()


def first_alone(work: Callable[[Item], Result]) -> Callable[[Item], Result]:
    """Return the same work, whose first call ends before any other begins: it compiles what all of them use."""
    first, done = Lock(), Event()

    def worked(item: Item) -> Result:
        with nullcontext() if done.is_set() else first:
            try:
                return work(item)
            finally:
                done.set()

    return worked
