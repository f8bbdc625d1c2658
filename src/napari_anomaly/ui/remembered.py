"""What the pages remember from one session of napari to the next."""

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import platformdirs

from napari_anomaly.core.data.files import write_atomically
from napari_anomaly.ui.preferences import PLUGIN, preferences

_LARGEST = 10_000
"""Bytes of the file that are read: three entries need a few hundred."""


@dataclass(frozen=True)
class Remembered:
    """The choices of last time; an empty text where there was none."""

    folder: str = ""
    method: str = ""
    detector: str = ""


def recall() -> Remembered:
    """Read them; a missing or damaged file says nothing."""
    try:
        with _file().open("rb") as file:
            found = json.loads(file.read(_LARGEST))
    except (OSError, ValueError, RecursionError):
        return Remembered()
    names = {field.name for field in fields(Remembered)}
    given = found.items() if isinstance(found, dict) else ()
    return Remembered(**{k: v for k, v in given if k in names and isinstance(v, str)})


def remember(**changes: str) -> None:
    """Change some of them; where nothing can be written, they are forgotten."""
    text = json.dumps(asdict(replace(recall(), **changes)), indent=1)
    try:
        write_atomically(_file(), text.encode())
    except OSError:
        return


def start_folder() -> Path | None:
    """Return where a dialog that asks for images begins: as Preferences say, else where the last images were."""
    last = recall().folder
    return preferences().images or (Path(last) if last else None)


def _file() -> Path:
    return platformdirs.user_state_path(PLUGIN) / "remembered.json"
