"""Presence checks on the command line; what is computed loads inside the commands, for ``--help`` to be quick."""

import sys
from pathlib import Path
from typing import Literal

from cyclopts import App, Parameter

from napari_anomaly.options import Device, UsageError

presence = App(
    name="presence",
    help="Tell whether something, a weld say, is there: from a handful of pictures with and without it.",
    default_parameter=Parameter(negative=()),
)

COLUMNS = ("name", "verdict", "probability", "decision")


@presence.command
def fit(
    good: Path,
    defect: Path,
    /,
    *,
    out: Path,
    region: tuple[int, int, int, int] | None = None,
    model: Literal["svm", "cnn"] = "svm",
    seed: int = 0,
    group: str | None = None,
    data_range: tuple[float, float] | None = None,
    device: Device = "auto",
) -> None:
    r"""Train a check on two folders, cross-validate it, and write it to a file.

    Parameters
    ----------
    good
        A folder of pictures that show what is looked for, or one with `train/good` inside (MVTec layout).
    defect
        A folder of pictures where it is missing; at least 3 of each.
    out
        The check's file, ending in `.presence`; an existing one is replaced.
    region
        Y0 X0 Y1 X1 of the region of interest in pixels, the last two not included; default: the whole image.
    model
        svm: edges and intensities, seconds. cnn: a small network, a minute or more.
    seed
        Decides the folds, and everything random in training.
    group
        Regular expression; pictures whose names share its first group show one part, and count as one.
    data_range
        Intensities that mean black and white; default: the range of the pixels' type, 0 to 1 for floats.
    device
        What the network is computed on; auto takes a GPU if JAX can use one.
    """
    if out.suffix != ".presence":
        raise UsageError(f"found --out {out}; expected a name ending in .presence")
    if out.is_dir():
        raise UsageError(f"{out}: a folder; expected the name of a file to write")
    _use(device, model)
    from napari_anomaly.core.presence.check import fit_presence
    from napari_anomaly.core.presence.words import about

    check = fit_presence(
        good, defect, region=region, model=model, seed=seed, group=group, data_range=data_range
    )
    check.save(out)
    _say(*about(check), f"Written to {out}")


@presence.command
def check(file: Path, /, *images: Path, out: Path | None = None, device: Device = "auto") -> int:
    """Tell for each image whether it is there, with a check that `presence fit` wrote.

    Exit code 1 if an image was skipped.

    Parameters
    ----------
    file
        A file ending in `.presence`.
    images
        Image files, and folders of them.
    out
        File for the table as CSV, with all digits.
    device
        What a network is computed on; auto takes a GPU if JAX can use one.
    """
    if not images:
        raise UsageError("found no images; expected files or folders after the check")
    _use(device, "cnn")
    from napari_anomaly.core.data.folders import samples_of
    from napari_anomaly.core.presence.check import load_presence
    from napari_anomaly.core.presence.checking import check_files
    from napari_anomaly.core.progress import watched

    found = watched(check_files(load_presence(file), samples_of(images)))
    rows = [
        (name, one.verdict, one.probability, one.decision)
        for name, one in zip(found.names, found.answers, strict=True)
    ]
    _say(
        *(f"{word:<7} probability {p:.3f} decision {f:<+7.3f} {name}" for name, word, p, f in rows)
    )
    if out is not None:
        from napari_anomaly.core.data.files import write_atomically
        from napari_anomaly.core.tables import csv_bytes

        write_atomically(
            out, csv_bytes(COLUMNS, [dict(zip(COLUMNS, row, strict=True)) for row in rows])
        )
    return 1 if found.skipped else 0


def _use(device: Device, model: str) -> None:
    """Choose the device, where one is needed: an SVM does without JAX."""
    if model == "cnn":
        from napari_anomaly.core.nn.devices import use

        use(device)


def _say(*lines: str) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")
