"""Long work in a thread of napari's: steps in, callbacks in the window's thread out."""

import threading
import time
import warnings
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from napari.qt.threading import create_worker

from napari_anomaly.core.types import Progress

T = TypeVar("T")
Steps = Callable[[], Generator[Progress, None, T]]

_PAUSE = 0.1  # seconds between reports: a window that redraws more often slows the work down


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """How the work ended: a value, or the error; and what was warned of on the way."""

    value: T | None
    error: Exception | None
    warned: tuple[str, ...] = ()


class _Warnings:
    """Ways to warn are the process's; workers change them and end in any order: when all have, they are put back."""

    def __init__(self) -> None:
        self._jobs, self._before = 0, ExitStack()

    def begin(self) -> None:
        if not self._jobs:
            self._before.enter_context(warnings.catch_warnings())
        self._jobs += 1

    def end(self) -> None:
        self._jobs -= 1
        if not self._jobs:
            self._before.close()


_warnings = _Warnings()  # used by the window's thread alone


class Job(Generic[T]):
    """Work that runs in a thread from now on.

    Parameters
    ----------
    steps : callable
        Makes the generator; called in the thread, so that imports happen there too.
    progressed : callable
        Gets a `Progress` at most ten times a second.
    ended : callable
        Gets the `Outcome`. Never called once the job was cancelled.
    stopped : callable
        Called when napari itself stops the thread (its task manager, or closing).
    held : callable
        Gets True once the work has come to rest after `pause`, False once it goes on.
    closed : callable
        Called when the work of a cancelled job has come to rest, which may be long after `cancel`.
    wanted : callable
        Asked before each call back; False cancels. For widgets that Qt may delete at any time.
    """

    def __init__(
        self,
        steps: Steps[T],
        *,
        progressed: Callable[[Progress], None],
        ended: Callable[[Outcome[T]], None],
        stopped: Callable[[], None],
        held: Callable[[bool], None] = lambda _: None,
        closed: Callable[[], None] = lambda: None,
        wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._wanted = wanted
        self._stop = threading.Event()
        self._calls: dict[str, Callable[..., None]] = {
            "yielded": self._unless_cancelled(progressed),
            "returned": self._ending(ended, closed),
            "aborted": self._unless_cancelled(stopped),
            "paused": self._resting(self._unless_cancelled(held)),
            "resumed": lambda: self._unless_cancelled(held)(False),
        }
        worker: Any = create_worker(
            _in_thread,
            steps,
            self._stop,
            _start_thread=False,
            _connect=self._calls | {"finished": self._let_go},
        )
        self._worker: Any = worker  # None once it has finished
        _warnings.begin()
        worker.start()

    def cancel(self) -> None:
        """Call nothing but `closed` back from now on; the thread ends with its next step."""
        self._stop.set()
        self.resume()  # at rest it would never look

    def pause(self) -> None:
        """Hold the work at its next report; `held` tells when."""
        if self._worker is not None:
            self._worker.pause()

    def resume(self) -> None:
        """Let the work go on, once it is held."""
        if self._worker is not None:
            self._worker.resume()

    def _let_go(self) -> None:
        # napari keeps the workers of a window, and a worker what is connected to it: this job and its page
        for name, call in self._calls.items():
            getattr(self._worker, name).disconnect(call)
        self._calls.clear()
        self._worker = None
        _warnings.end()

    def _resting(self, held: Callable[[bool], None]) -> Callable[[], None]:
        def rest() -> None:
            held(True)
            if self._stop.is_set():  # cancelled on its way to rest
                self.resume()

        return rest

    def _ending(
        self, ended: Callable[[Outcome[T]], None], closed: Callable[[], None]
    ) -> Callable[[Outcome[T]], None]:
        deliver = self._unless_cancelled(ended)

        def end(outcome: Outcome[T]) -> None:
            if self._stop.is_set() and self._wanted():
                closed()
            deliver(outcome)

        return end

    def _unless_cancelled(self, call: Callable[..., None]) -> Callable[..., None]:
        def guarded(*arguments: Any) -> None:
            if not self._wanted():
                self.cancel()
            if not self._stop.is_set():
                call(*arguments)

        return guarded


def _in_thread(
    steps: Steps[T], stop: threading.Event
) -> Generator[Progress, None, Outcome[T] | None]:
    # Errors are returned: superqt takes a RuntimeError for a deleted worker and reports no end.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value: T | None = None
        error: Exception | None = None
        try:
            value = yield from _rarely(steps(), stop)
        except Exception as found:  # noqa: BLE001  shown to the user by whoever waits for the outcome
            error = found
    return Outcome(value, error, tuple(dict.fromkeys(str(one.message) for one in caught)))


def _rarely(
    steps: Generator[Progress, None, T], stop: threading.Event
) -> Generator[Progress, None, T | None]:
    """Pass steps on, but not too many; close the work when asked to stop."""
    stage, last = "", 0.0
    try:
        while not stop.is_set():
            try:
                now = next(steps)
            except StopIteration as end:
                value: T = end.value
                return value
            told = now.stage != stage or now.step == now.total or now.picture is not None
            if told or time.monotonic() - last > _PAUSE:
                stage, last = now.stage, time.monotonic()
                yield now
    finally:
        steps.close()
    return None
