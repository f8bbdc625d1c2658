"""A stopwatch that can be held."""

import time
from collections.abc import Callable


class Clock:
    """Seconds since it was made, without those in which it was held."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._began = now, now()
        self._held: float | None = None

    def __call__(self) -> float:
        """Seconds so far."""
        return (self._now() if self._held is None else self._held) - self._began

    def hold(self) -> None:
        """Stand still."""
        self._held = self._now() if self._held is None else self._held

    def go_on(self) -> None:
        """Run again."""
        if self._held is not None:
            self._began += self._now() - self._held
            self._held = None
