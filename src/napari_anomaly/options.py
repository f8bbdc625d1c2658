"""What can be chosen on the command line, and the error for what cannot."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from napari_anomaly.core.errors import AnomalyError

if TYPE_CHECKING:
    from napari_anomaly.core.methods.recipes import Recipe

Device = Literal["auto", "cpu", "gpu"]


class UsageError(AnomalyError, ValueError):
    """A command that cannot be carried out as it was typed."""


@Parameter(name="*")
@dataclass(frozen=True)
class Fitting:
    """How a detector is fitted.

    Attributes
    ----------
    method
        A name that `napari-anomaly methods` lists (default: linear).
    seed
        Decides the split into train and calibration, and everything random in training (default: 0).
    budget
        Seconds after which training stops early.
    false_alarm
        Wanted share of good images that fail; default: 0.01, or the smallest the held-out images support.
    review
        Wanted share of good images that do not pass outright, at least the false-alarm rate: what lies between the two
        is for a person to look at (default: no such band).
    calibration
        Share of the good images held out for thresholds (default: 0.25).
    group
        Regular expression; images whose names share its first group stay on one side of the split.
    data_range
        Intensities that mean black and white; default: the range of the pixels' type, 0 to 1 for floats.
    knobs
        `knob=value`, may be given several times; `napari-anomaly methods` lists the knobs.
    """

    method: str | None = None
    seed: int | None = None
    budget: Annotated[float | None, Parameter(validator=Number(gt=0))] = None
    false_alarm: float | None = None
    review: float | None = None
    calibration: float | None = None
    group: str | None = None
    data_range: tuple[float, float] | None = None
    knobs: Annotated[tuple[str, ...], Parameter(name="--set")] = ()

    @property
    def given(self) -> dict[str, Any]:
        """What was given for the arguments of ``fit_steps``."""
        names = ("seed", "budget", "false_alarm", "review", "calibration", "group")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    @property
    def recipe(self) -> "Recipe":
        """The method's recipe with the knobs set."""
        from napari_anomaly.core.methods.presets import recipe_of
        from napari_anomaly.core.methods.settings import changed

        knobs = knobs_from(self.knobs)
        if self.data_range is not None:
            knobs["data_range"] = self.data_range
        return changed(recipe_of(self.method or "linear"), knobs)


USUAL = Fitting()


def knobs_from(texts: Sequence[str]) -> dict[str, Any]:
    """Read ``knob=value`` texts; a value that is JSON (``[8, 16]``, ``null``) is read as such.

    Raises
    ------
    UsageError
        For a text without ``=``, or a knob given twice.
    """
    knobs: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"found --set {text}; expected knob=value, for example --set patch=8")
        if name in knobs:
            raise UsageError(f"found --set {name}=... twice; expected once")
        try:
            knobs[name] = json.loads(value)
        except json.JSONDecodeError:
            knobs[name] = value
    return knobs
