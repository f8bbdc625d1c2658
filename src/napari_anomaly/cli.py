"""The command line: the same verbs without a window.

Results go to standard output; progress, warnings and errors to standard error. JAX and matplotlib load inside the
commands, so that ``--help`` answers at once.
"""

import json
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console

from napari_anomaly.core.errors import AnomalyError, DataWarning
from napari_anomaly.options import USUAL, Device, Fitting, UsageError
from napari_anomaly.presence import presence

if TYPE_CHECKING:
    from napari_anomaly.core.demo import Shown
    from napari_anomaly.core.detector import Detector
    from napari_anomaly.core.report import Report

app = App(
    name="napari-anomaly",
    help="Find what does not belong in images, learning from normal images only.",
    version=lambda: version("napari-anomaly"),
    default_parameter=Parameter(negative=()),
    suppress_keyboard_interrupt=False,
)

app.command(presence)


def main(tokens: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0: done; 1: done, but something was skipped; 2: an error, told in one message; 130: stopped by Ctrl-C.
    """
    try:
        with _warnings_in_one_line():
            code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
            sys.stdout.flush()
    except CycloptsError as error:
        return _failed(f"{error}\nSee: napari-anomaly --help")
    except AnomalyError as error:
        return _failed(str(error))
    except BrokenPipeError:  # the reader, head say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _failed(f"{where}{error.strerror or error}")
    except KeyboardInterrupt:
        _tell("Stopped.")
        return 130
    return int(code or 0)


@app.command
def demo(
    *,
    out: Path = Path("napari-anomaly-demo"),
    window: Annotated[bool, Parameter(negative="--no-window")] = True,
) -> None:
    """Show the whole line on sample data: draw it, fit, inspect, report; then open napari.

    Parameters
    ----------
    out
        Folder for everything that is made.
    window
        Open napari with the results, where there is a screen.
    """
    _check_writable(out / "sample_data")
    from napari_anomaly.core.demo import demonstrate
    from napari_anomaly.core.progress import watched
    from napari_anomaly.core.words import in_short

    shown = watched(demonstrate(out))
    for material, one in shown.items():
        _print(f"{material}: {in_short(one.report.metrics)}")
    _print(f"Reports, pictures and detectors: {out.absolute()}")
    if window:
        _open_demo(shown)


@app.command
def fit(
    folder: Path,
    *,
    out: Path,
    fitting: Fitting = USUAL,
    device: Device = "auto",
    resume: bool = False,
) -> int:
    """Train a detector on a folder of good images and write it to a file.

    Ctrl-C leaves the state of a training beside the file; go on with --resume.

    Parameters
    ----------
    folder
        A folder of good images, or one with `train/good` inside (MVTec layout).
    out
        The detector's file, ending in `.anomaly`; an existing one is replaced.
    device
        What to compute on; auto takes a GPU if JAX can use one.
    resume
        Go on with the training that was interrupted.
    """
    if out.suffix != ".anomaly":
        raise UsageError(f"found --out {out}; expected a name ending in .anomaly")
    _check_writable(out)
    state = out.with_name(f"{out.name}.partial")
    _check_state(state, resume)
    try:
        detector = _fitted(folder, fitting, device, state)
    except KeyboardInterrupt:
        _tell(_how_to_go_on(state))
        return 130
    detector.save(out)
    from napari_anomaly.core.words import about_detector

    _print("\n".join(about_detector(detector)))
    _print(f"Written to {out}")
    return 0


@app.command
def inspect(detector: Path, /, *images: Path, out: Path, device: Device = "auto") -> int:
    """Find what does not belong in images, with a detector that `fit` wrote.

    Writes maps (float32 TIFF), masks, overlays, `scores.csv` and `regions.csv`. Exit code 1 if an image was skipped.

    Parameters
    ----------
    detector
        A file ending in `.anomaly`.
    images
        Image files, and folders of them.
    out
        Folder to write into; files of the same names are replaced.
    device
        What to compute on; auto takes a GPU if JAX can use one.
    """
    if not images:
        raise UsageError("found no images; expected files or folders after the detector")
    _check_writable(out / "scores.csv")
    loaded = _loaded(detector, device)
    from napari_anomaly.core.progress import watched
    from napari_anomaly.core.results import inspect_into

    results = watched(inspect_into(out, loaded, images))
    for row in results.rows:
        numbers = f"score {row.score:<8.4g} p {row.p_value:<7.3g} regions {row.n_regions:<4}"
        _print(f"{row.verdict:<6} {numbers} {row.name}")
    failed = sum(row.verdict == "fail" for row in results.rows)
    _tell(f"{failed} of {len(results.rows)} images fail. Maps, masks, overlays, tables: {out}")
    if results.skipped:
        _tell(f"{len(results.skipped)} image(s) skipped, see above")
    return 1 if results.skipped else 0


@app.command
def scan(
    detector: Path, image: Path, /, *, out: Path, tile: int = 512, device: Device = "auto"
) -> None:
    """Find what does not belong in an image of any size, tile by tile, on the scale of the training images.

    Writes the map (`map.npy`, float32), `fields.csv` (score and verdict of each cell as large as a training image: the
    false-alarm rate is that of one such field) and `regions.csv`.

    Parameters
    ----------
    detector
        A file ending in `.anomaly`, fitted to images of one size.
    image
        `.npy`, `.zarr`, or TIFF, uncompressed or (with the package zarr) tiled.
    out
        Folder to write into; files of the same names are replaced.
    tile
        Side in pixels of what is scored at once: more takes more memory.
    device
        What to compute on; auto takes a GPU if JAX can use one.
    """
    _check_writable(out / "fields.csv")
    loaded = _loaded(detector, device)
    from napari_anomaly.core.progress import watched
    from napari_anomaly.core.tiling import scan_into

    result = watched(scan_into(out, loaded, image, tile=tile))
    height, width = result.field
    for row, column in zip(*(result.verdicts == "fail").nonzero(), strict=True):
        score, p_value = result.scores[row, column], result.p_values[row, column]
        numbers = f"score {score:<8.4g} p {p_value:<7.3g}"
        _print(f"fail   {numbers} field at y {row * height}, x {column * width}")
    failed = (result.verdicts == "fail").sum()
    _tell(
        f"{failed} of {result.scores.size} fields of {height} x {width} pixels fail, {len(result.regions)} regions. "
        f"Map and tables: {out}"
    )


@app.command
def evaluate(
    folder: Path,
    *,
    fitting: Fitting = USUAL,
    detector: Path | None = None,
    device: Device = "auto",
    to_json: Annotated[Path | None, Parameter(name="--json", allow_leading_hyphen=True)] = None,
    out: Path | None = None,
) -> None:
    """Fit to the good training images of a folder and measure on its test images.

    Parameters
    ----------
    folder
        In the MVTec layout: `train/good`, `test/KIND`, `ground_truth/KIND/NAME_mask.png`.
    detector
        A file to measure instead of fitting.
    device
        What to compute on; auto takes a GPU if JAX can use one.
    to_json
        File for the numbers; `-` is standard output.
    out
        Folder for tables and figures.
    """
    if detector is not None and fitting != USUAL:
        raise UsageError("found --detector and options for fitting; expected one of them")
    for target in (to_json, out and out / "report.json"):
        if target is not None and target != Path("-"):
            _check_writable(target)
    report = _evaluated(folder, fitting, detector, device)
    if out is not None:
        report.save(out)
    if to_json is not None:
        _write_json(to_json, report.metrics)
    if to_json != Path("-"):
        from napari_anomaly.core.words import table

        _print("\n".join(table(report.metrics)))


@app.command
def methods(name: str | None = None, /) -> None:
    """List the methods, what each is from, and its knobs with their defaults.

    Parameters
    ----------
    name
        Only this method, with all its knobs.
    """
    from napari_anomaly.core.methods.listing import listing

    _print("\n".join(listing(name)))


@app.command(name=("napari", "widget"))
def napari(*folders: Path, detector: Path | None = None) -> None:
    """Open napari with the plugin docked.

    Parameters
    ----------
    folders
        Folders of images to open.
    detector
        A file that `fit` wrote, to begin with.
    """
    from napari_anomaly.ui.launch import check_window, open_napari

    check_window()
    loaded = None if detector is None else _loaded(detector)
    open_napari(paths=folders, detector=loaded)


def _fitted(
    folder: Path, fitting: Fitting, device: Device, state: Path | None = None
) -> "Detector":
    recipe = fitting.recipe
    _use(device)
    from napari_anomaly.core.fitting import fit_steps
    from napari_anomaly.core.methods.presets import recipe_of
    from napari_anomaly.core.progress import watched

    last = {}
    steps = fit_steps(folder, recipe, state_file=state, **fitting.given)
    detector = watched(steps, seen=lambda now: last.update({now.stage: now}))
    done = last.get("training")
    if fitting.budget is not None and done is not None and done.step < done.total:
        _tell(f"warning: the budget ended the training at step {done.step} of {done.total}")
    name = fitting.method or "linear"
    if recipe_of(name).method.name != recipe.method.name:  # --set method={"name": ...}
        return detector
    return replace(detector, provenance=replace(detector.provenance, method=name))


def _evaluated(folder: Path, fitting: Fitting, detector: Path | None, device: Device) -> "Report":
    fitted = _fitted(folder, fitting, device) if detector is None else _loaded(detector, device)
    from napari_anomaly.core.progress import watched
    from napari_anomaly.core.report import evaluate_steps

    return watched(evaluate_steps(fitted, folder))


def _loaded(path: Path, device: Device = "auto") -> "Detector":
    _use(device)
    from napari_anomaly.core.detector import load

    return load(path)


def _use(device: Device) -> None:
    from napari_anomaly.core.nn.devices import use

    use(device)


def _check_writable(target: Path) -> None:
    """Refuse before hours of work what could not be written after them."""
    if target.is_dir() and target.suffix:
        raise UsageError(f"{target}: a folder; expected the name of a file to write")
    folder = next(one for one in target.absolute().parents if one.exists())
    if not folder.is_dir():
        raise UsageError(f"{folder}: a file; expected a folder to write into")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{folder}: no permission to write; choose another place")


def _check_state(state: Path, resume: bool) -> None:
    if state.exists() and not resume:
        raise UsageError(
            f"{state}: the state of an interrupted training. Give --resume to go on with it, or remove the file to "
            "start anew"
        )
    if resume and not state.exists():
        _tell(f"{state}: no such file, so there is nothing to resume; starting anew")


def _how_to_go_on(state: Path) -> str:
    if not state.exists():
        return "Stopped before there was anything to resume."
    how = "To go on, run the same command again with --resume"
    return f"Stopped. The state of the training is in {state}\n{how}"


def _write_json(target: Path, metrics: Mapping[str, Any]) -> None:
    text = json.dumps(metrics, indent=2, allow_nan=False)
    if target == Path("-"):
        _print(text)
        return
    from napari_anomaly.core.data.files import write_atomically

    write_atomically(target, f"{text}\n".encode())


def _open_demo(shown: "Mapping[str, Shown]") -> None:
    from napari_anomaly.ui.launch import WindowError, check_window

    try:
        check_window()
    except WindowError as error:
        _tell(f"napari is not opened: {error}")
        return
    from napari_anomaly.ui.demo import show

    show(shown)


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Show each warning about the input as one line; leave others as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        usual = warnings.showwarning
        told: set[str] = set()  # a file may be looked at more than once

        def show(
            message: Warning | str, category: type[Warning], *where: Any, **named: Any
        ) -> None:
            text = " ".join(str(message).split())
            if not issubclass(category, DataWarning):
                usual(message, category, *where, **named)
            elif text not in told:
                told.add(text)
                _tell(f"warning: {text}")

        warnings.showwarning = show
        yield


def _failed(message: str) -> int:
    _tell(f"error: {message}")
    return 2


def _tell(text: str) -> None:
    """Write to standard error, for a person."""
    Console(stderr=True).print(text, highlight=False, markup=False, soft_wrap=True)


def _print(text: str) -> None:
    """Write to standard output, for a person or a program."""
    sys.stdout.write(f"{text}\n")
