"""What a page did, as Python that does it again: in napari's console, and for folders anywhere.

Names and paths are quoted by ``repr``; the text is written here and run by nobody but the person who pastes it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.core.methods.recipes import Recipe
from napari_anomaly.core.methods.settings import to_plain

if TYPE_CHECKING:
    from napari_anomaly.core.detector import Detector

Source = Path | str
"""A folder, or the name of a layer."""


@dataclass(frozen=True, eq=False)
class Action:
    """Something that a page did.

    Attributes
    ----------
    code : str
        Lines of Python; ``na`` is this package, ``viewer`` the viewer, ``detector`` the present detector.
    makes : Detector or None
        What the lines leave as ``detector``, if they make one.
    alone : bool
        Whether the lines need no ``detector`` before them.
    """

    code: str
    makes: "Detector | None" = None
    alone: bool = False


def trained(source: Source, method: str, recipe: Recipe, choices: Mapping[str, Any]) -> str:
    """Write a training: where the normal images are, the named recipe it began with, the choices of ``fit``."""
    wanted = _arguments({name: value for name, value in choices.items() if value is not None})
    folder = isinstance(source, Path)
    call = f"fit({str(source)!r}" if folder else f"fit_layer({_layer(str(source))}"
    return f"recipe = {_recipe(method, recipe)}\ndetector = na.{call}, recipe{wanted})"


def loaded(path: Path) -> str:
    """Write the reading of a detector."""
    return f"detector = na.load({str(path)!r})"


def inspected(source: Source, *, reconstruction: bool) -> str:
    """Write an inspection of a folder or layer."""
    keep = "" if reconstruction else ", reconstruction=False"
    if isinstance(source, Path):
        return (
            f"found = na.inspect_images_of({str(source)!r}, detector, viewer=globals().get('viewer'){keep})\n"
            "listed, known = found.inspected, detector.calibration\n"
            "for row in zip(listed.names, listed.scores, listed.p_values(known), listed.verdicts(known)):\n"
            "    print(*row)"
        )
    return f"layers = na.inspect_layer(viewer, {_layer(source)}, detector{keep})"


def compared(layer: str, files: Mapping[str, Path | None], *, single: bool) -> str:
    """Write a comparison of detectors on one layer.

    Parameters
    ----------
    layer : str
    files : mapping
        From a detector's name to its file; None for the present one.
    single : bool
        Whether the layer is one image and no stack.
    """
    loads = {name: path and f"na.load({str(path)!r})" for name, path in files.items()}
    named = ", ".join(f"{name!r}: {load or 'detector'}" for name, load in loads.items())
    results = "[one.inspect(np.asarray(image)) for image in slices(layer)]"
    return (
        "import numpy as np\n"
        "from napari_anomaly.ui.layers import slices\n\n"
        f"layer, detectors = {_layer(layer)}, {{{named}}}\n"
        f"found = {{name: {results}{'[0]' if single else ''} for name, one in detectors.items()}}\n"
        "na.add_comparison_to_viewer(viewer, found, source=layer)"
    )


def text_of(made: Action | None, last: Action | None, detector: "Detector | None") -> str | None:
    """Put a whole script together; None before anything was done.

    Parameters
    ----------
    made : Action or None
        How a detector came to be.
    last : Action or None
        What was done since.
    detector : Detector or None
        The present one: of another origin, or with other thresholds than it was made with, perhaps.
    """
    before = [] if last is not None and last.alone else list(_present(made, detector))
    after = [] if last is None else [last.code]
    code = [*before, *after]
    return "\n".join(["import napari_anomaly as na", "", *code, ""]) if code else None


def _present(made: Action | None, detector: "Detector | None") -> Iterator[str]:
    """Write the lines that leave the present detector as ``detector``."""
    origin = None if made is None else made.makes
    if detector is None:
        return
    if made is None or origin is None or origin.fitted is not detector.fitted:
        yield "from napari_anomaly.ui.session import session_of\n"
        yield "detector = session_of(viewer).detector"
        return
    yield made.code
    rates = detector.calibration.false_alarm, detector.calibration.review
    if rates != (origin.calibration.false_alarm, origin.calibration.review):
        yield f"detector = detector.calibrate(false_alarm={rates[0]!r}, review={rates[1]!r})"


def _recipe(method: str, recipe: Recipe) -> str:
    named = RECIPES[method]
    knobs = dict(_differences(to_plain(named), to_plain(recipe)))
    return f"na.changed(na.recipe_of({method!r}), {knobs!r})" if knobs else repr(method)


def _differences(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """List the knobs that differ by their paths; steps of preprocessing only as a whole."""
    for name, value in new.items():
        if isinstance(value, dict) and isinstance(old[name], dict):
            yield from _differences(old[name], value, f"{prefix}{name}.")
        elif value != old[name]:
            yield prefix + name, value


def _layer(name: str) -> str:
    return f"viewer.layers[{name!r}]"


def _arguments(choices: Mapping[str, Any]) -> str:
    return "".join(f", {name}={value!r}" for name, value in choices.items())
