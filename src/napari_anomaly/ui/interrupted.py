"""Where a cancelled training leaves its state, so that Train can go on from there."""

from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

import platformdirs

from napari_anomaly.core.types import Progress

T = TypeVar("T")

KEPT = 3
"""State files that are kept; a large network's takes gigabytes."""


class Interrupted:
    """The folder of states, and what one training leaves there.

    Attributes
    ----------
    folder : Path or None
        None where no folder can be made: then nothing is kept.
    last : Progress or None
        The training's last step; written by its thread.
    """

    def __init__(self) -> None:
        self.folder = _made(platformdirs.user_cache_path("napari-anomaly") / "interrupted")
        for old in _newest_first(self.folder)[KEPT:]:
            old.unlink(missing_ok=True)
        self._before = self._found()
        self.last: Progress | None = None

    def watch(self, steps: Generator[Progress, None, T]) -> Generator[Progress, None, T]:
        """Pass the steps on and remember the last of training itself."""
        try:
            while True:
                try:
                    now = next(steps)
                except StopIteration as end:
                    value: T = end.value
                    return value
                if now.training:
                    self.last = now
                yield now
        finally:
            steps.close()  # which writes the state

    def in_words(self) -> str:
        """Say where a cancelled training stopped, and whether it can go on from there."""
        if self.last is None or self._found() == self._before:
            return "cancelled"
        return (
            f"cancelled at step {self.last.step} of {self.last.total}; "
            "Train goes on from there with the same settings"
        )

    def _found(self) -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in _newest_first(self.folder)}


def _made(folder: Path) -> Path | None:
    """Make the folder for this user alone: the state tells about the images."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError:
        return None
    return folder


def _newest_first(folder: Path | None) -> list[Path]:
    found = [] if folder is None else list(folder.glob("*.partial"))
    return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)
