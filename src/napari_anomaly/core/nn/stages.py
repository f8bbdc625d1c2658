"""Several trainings, one after the other, kept in one state file."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from napari_anomaly.core.nn.train import StateKeeper


@dataclass(frozen=True)
class Stages:
    """Keeps the states of all stages together, so that a later stage never loses an earlier one's result.

    Resumed, a stage that took all its steps has none left and returns its result at once. One that a budget ended has
    some left: it must not take them if a later stage has been kept, which rests on its result as it was.
    """

    keeper: StateKeeper
    kept: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, keeper: StateKeeper | None) -> "Stages | None":
        """Load what was kept of all stages."""
        return None if keeper is None else cls(keeper, dict(keeper.load() or {}))

    def stage(self, name: str) -> "Stage":
        """Return the keeper of one stage."""
        return Stage(self, f"{name}/")


@dataclass(frozen=True)
class Stage:
    """One stage's share of the file: the arrays whose names begin with ``prefix``."""

    stages: Stages
    prefix: str

    def load(self) -> Mapping[str, np.ndarray] | None:
        """Return what was kept of this stage, if anything."""
        own = {
            name.removeprefix(self.prefix): one
            for name, one in self.stages.kept.items()
            if name.startswith(self.prefix)
        }
        return own or None

    def save(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Write this stage's arrays with what was kept of the others."""
        self.stages.kept.update({self.prefix + name: one for name, one in arrays.items()})
        self.stages.keeper.save(self.stages.kept)
