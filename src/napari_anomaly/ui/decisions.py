"""What a person says of a folder's images, good or defect, is kept beside them, from one session to the next."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from napari_anomaly.core.data.files import write_atomically
from napari_anomaly.core.errors import DataError
from napari_anomaly.ui.autosave import forget_folder, kept_in

Decision = Literal["good", "defect"]

NAME = "decisions.json"

_LARGEST = 2**25
"""Bytes of such a file that are read: a hundred thousand images with long names need less."""


def decisions_file(root: Path, chosen: Path | None = None) -> Path:
    """Name the file for the images of a folder; `chosen` as for :func:`~napari_anomaly.ui.autosave.sidecar_of`."""
    return kept_in(str(root), str(root), chosen) / NAME


def read_decisions(file: Path) -> dict[str, Decision]:
    """Return from the name of an image, below its folder, what was said of it; nothing without a file.

    Raises
    ------
    DataError
        The file is damaged; says what to do.
    """
    try:
        with file.open("rb") as opened:
            found = json.loads(opened.read(_LARGEST))["decisions"]
        if not all(said in ("good", "defect") for said in found.values()):
            raise ValueError("neither good nor defect")
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{file}: damaged ({error}); what you say of the images is not kept until it is repaired or removed"
        ) from error
    return dict(found)


def keep_decisions(file: Path, said: Mapping[str, Decision | None]) -> None:
    """Keep what a person says of some images, None for nothing; what is kept of others stays.

    Raises
    ------
    DataError
        The file that is there is damaged; it stays as it is.
    OSError
        It cannot be written.
    """
    before = read_decisions(file)
    after = {name: one for name, one in {**before, **said}.items() if one is not None}
    if after == before:
        return
    if after:
        write_atomically(file, json.dumps({"decisions": after}, indent=0).encode())
    else:
        file.unlink()
        forget_folder(file.parent)
