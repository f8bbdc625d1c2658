"""How long work has taken, and how long it is likely to take still."""

import math
from dataclasses import dataclass, replace

from napari_anomaly.core.types import Progress

_MEMORY = 20.0  # seconds over which speed is averaged: reports come in bursts
_KNOWN = 3.0  # seconds of work before which nothing is foretold


@dataclass(frozen=True)
class Pace:
    """The speed of a stage, as its reports show it.

    Attributes
    ----------
    stage : str
        What is being done; another stage has another speed.
    step, total : int
        Of the last report.
    at : float
        When that came, seconds of work since the start; pauses do not count.
    steps, seconds : float
        What their quotient, the speed, is made of; both fade.
    watched : float
        Seconds since the first report of the stage, in which compiling lies.
    """

    stage: str = ""
    step: int = 0
    total: int = 0
    at: float = 0.0
    steps: float = 0.0
    seconds: float = 0.0
    watched: float = 0.0

    def after(self, now: Progress, at: float) -> "Pace":
        """Return the pace after a report that came ``at`` seconds of work since the start."""
        if now.stage != self.stage:
            return Pace(now.stage, now.step, now.total, at)
        took = max(0.0, at - self.at)
        faded = math.exp(-took / _MEMORY)
        return replace(
            self,
            step=now.step,
            total=now.total,
            at=at,
            steps=self.steps * faded + now.step - self.step,
            seconds=self.seconds * faded + took,
            watched=self.watched + took,
        )

    def left(self, at: float) -> float | None:
        """Seconds that the stage still takes; None while that cannot be told."""
        if self.watched < _KNOWN or self.steps <= 0:
            return None
        ends = self.at + (self.total - self.step) * self.seconds / self.steps
        return max(0.0, ends - at)


def in_words(pace: Pace, at: float) -> str:
    """Say how long work has run, and how long its present stage still takes: ``"1 min 5 s, about 2 min left"``."""
    left = pace.left(at)
    if left is None or pace.step >= pace.total:
        return duration(at)
    return f"{duration(at)}, about {duration(left, rounded=True)} left"


def duration(seconds: float, *, rounded: bool = False) -> str:
    """Say how long: ``"48 s"``, ``"2 min 5 s"``, ``"3 h 10 min"``; rounded as nobody foretells it better."""
    whole = round(seconds)
    if rounded and whole >= 10:
        grain = 5 if whole < 60 else 60 if whole > 300 else 30
        whole = round(whole / grain) * grain
    for large, small, (long, short) in ((3600, 60, ("h", "min")), (60, 1, ("min", "s"))):
        if whole >= large:
            rest = whole % large // small
            return f"{whole // large} {long}" + (f" {rest} {short}" if rest else "")
    return f"{whole} s"
