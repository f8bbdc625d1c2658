"""One file, no pickle: safetensors with a JSON header, and a digest of both, in its metadata."""

import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from napari_anomaly.core.data.files import write_atomically
from napari_anomaly.core.errors import CheckpointError, DataWarning

FORMAT = 1
_KEY, _DIGEST = "napari_anomaly", "sha256"
_LARGEST_HEADER = 10_000_000  # characters: a recipe has a few thousand


def write(
    path: Path, kind: str, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Write arrays and a JSON-ready header atomically.

    Parameters
    ----------
    path : Path
    kind : str
        What the file is: ``"detector"`` or ``"training state"``; reading asks for it.
    header : mapping
        JSON-ready.
    arrays : mapping of str to array
    """
    text = json.dumps({"format": FORMAT, "kind": kind, **header}, allow_nan=False)
    plain = {name: np.array(array, order="C") for name, array in arrays.items()}
    metadata = {_KEY: text, _DIGEST: _digest(text, plain)}
    write_atomically(path, safetensors.numpy.save(plain, metadata))


def read(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read header and arrays.

    Raises
    ------
    CheckpointError
        Naming the file and what is wrong: missing, damaged, not ours, of another kind or version.
    """
    try:
        if not path.is_file():
            found = "a folder" if path.is_dir() else "no such file"
            raise CheckpointError(f"{path}: {found}; expected a {kind} written by napari-anomaly")
        if not os.access(path, os.R_OK):  # safetensors would say that there is no such file
            raise CheckpointError(f"{path}: no permission to read it; allow reading the file")
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            text = metadata.get(_KEY, "")
            header = _header_of(path, kind, text)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except CheckpointError:
        raise
    except (safetensors.SafetensorError, OSError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: damaged or not a {kind} ({error}); expected a complete file written by napari-anomaly. "
            "Copy it again or fit anew."
        ) from error
    if metadata.get(_DIGEST) != _digest(text, arrays):
        raise CheckpointError(
            f"{path}: damaged: its contents do not match their checksum. Copy the file again or fit anew."
        )
    return header, arrays


@dataclass(frozen=True)
class StateFile:
    """Where an interrupted training leaves its state; ``fingerprint`` tells whose state it is."""

    path: Path
    fingerprint: str

    def load(self) -> dict[str, np.ndarray] | None:
        """Return the kept arrays; None if there is no file.

        Raises
        ------
        CheckpointError
            If the file is damaged or of another recipe, seed or set of images.
        """
        if not self.path.exists():
            return None
        header, arrays = read(self.path, "training state")
        if header.get("fingerprint") != self.fingerprint:
            raise CheckpointError(
                f"{self.path}: the state of another training (recipe, seed or images differ); expected one of this "
                "training. Remove the file to start anew."
            )
        return arrays

    def save(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Write the arrays; where that fails, a DataWarning says so and the training is not lost for it."""
        try:
            write(self.path, "training state", {"fingerprint": self.fingerprint}, arrays)
        except OSError as error:
            warnings.warn(
                f"{self.path}: the state of the training could not be kept ({error.strerror or error}); it cannot be "
                "resumed. Make room, or choose another place.",
                DataWarning,
                stacklevel=2,
            )


def _digest(text: str, arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def _header_of(path: Path, kind: str, text: str) -> dict[str, Any]:
    if not text or len(text) > _LARGEST_HEADER:
        raise CheckpointError(
            f"{path}: a safetensors file without our header; expected a {kind} written by napari-anomaly"
        )
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: the header is not JSON ({error}); the file is damaged"
        ) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        found = header.get("format") if isinstance(header, dict) else type(header).__name__
        raise CheckpointError(
            f"{path}: found format version {found!r}; this version reads {FORMAT}. Update napari-anomaly or fit anew."
        )
    if header.get("kind") != kind:
        raise CheckpointError(f"{path}: found a {header.get('kind')!r}; expected a {kind}")
    return header
