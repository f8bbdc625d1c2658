"""What a person chose under Preferences > Anomaly detection; the manifest's ``configurations`` draw that page."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PLUGIN = "napari-anomaly"


@dataclass(frozen=True)
class Preferences:
    """The choices, with the defaults that hold where napari knows none.

    Attributes
    ----------
    device : {"auto", "cpu", "gpu"}
        What computes; auto takes a GPU if JAX can use one.
    gpu_memory : float
        Share of the GPU's memory that may be used, at most; 0 sets no limit.
    cache : int
        MiB of compiled code kept between sessions; 0 keeps none.
    own_process : bool
        Whether Train begins with "Train in a process of its own" ticked.
    images : Path or None
        Where dialogs that ask for images begin.
    autosave : bool
    autosave_seconds : int
        After a stroke, until it is kept; further strokes do not put it off.
    autosave_folder : Path or None
        Where; None: beside the images.
    heat_map : str
        napari's name of the map's colours.
    outline : str
        Colour of the outlines of regions.
    """

    device: Literal["auto", "cpu", "gpu"] = "auto"
    gpu_memory: float = 0.0
    cache: int = 256
    own_process: bool = False
    images: Path | None = None
    autosave: bool = True
    autosave_seconds: int = 5
    autosave_folder: Path | None = None
    heat_map: str = "inferno"
    outline: str = "cyan"


def preferences() -> Preferences:
    """Read them now: they may have changed. The defaults where napari does not run this plugin."""
    from napari.settings import get_plugin_settings

    try:
        chosen = get_plugin_settings(PLUGIN)
    except KeyError:  # not registered, or disabled
        return Preferences()
    return Preferences(
        device=chosen.computing.device,
        gpu_memory=chosen.computing.gpu_memory,
        cache=chosen.computing.cache,
        own_process=chosen.computing.own_process,
        images=_folder(chosen.folders.images),
        autosave=chosen.annotating.autosave,
        autosave_seconds=chosen.annotating.autosave_seconds,
        autosave_folder=_folder(chosen.folders.autosave),
        heat_map=chosen.colours.heat_map,
        outline=chosen.colours.outline,
    )


def _folder(text: str) -> Path | None:
    return Path(text.strip()).expanduser() if text.strip() else None
