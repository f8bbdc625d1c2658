"""Painted labels become MVTec masks; nothing that exists is ever replaced by something else."""

import re
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

import numpy as np

from napari_anomaly.core.data.files import read_mask, write_mask
from napari_anomaly.core.errors import DataError, DataWarning, ImageError

LayerData = tuple[Any, dict[str, Any], str]


class MaskExistsError(DataError):
    """A mask is there already and shows something else."""


def write_masks(path: str, layers: Sequence[LayerData]) -> list[str]:
    """Write Labels layers below a folder as ``ground_truth/<defect>/<stem>_mask.png``.

    Names and kinds of defect come from the layers' metadata (``sample`` and ``defect``), as the
    folder reader and the Inspect widget leave them there; else the layer's name and ``defect``.

    Parameters
    ----------
    path : str
        The folder of the category.
    layers : sequence of (data, attributes, "labels")

    Returns
    -------
    list of str
        The masks' files: those written and those that were identical already.

    Raises
    ------
    DataError
        A mask exists and differs, two masks would be one file, a good image is painted, or nothing
        is painted, or a name leads out of the folder. Then nothing is written.
    """
    root = Path(path)
    if root.exists() and not root.is_dir():
        raise DataError(f"{root}: a file; expected a folder for the masks")
    masks: dict[Path, np.ndarray] = {}
    for data, attributes, _ in layers:
        for relative, mask in _named_masks(np.asarray(data), attributes):
            if root / relative in masks:
                raise DataError(f"{root / relative}: two masks of this name; rename a layer")
            masks[root / relative] = mask
    if not masks:
        raise DataError("nothing is painted in these labels; expected at least one pixel above 0")
    return _write(masks)


def write_some_masks(
    root: Path, layer: LayerData, numbers: Collection[int], *, overwrite: bool = False
) -> list[str]:
    """Write some images of one Labels layer as :func:`write_masks` does; painted over or erased.

    Parameters
    ----------
    root : Path
        The folder of the category.
    layer : (data, attributes, "labels")
    numbers : collection of int
        Images of the stack, in C order of its leading axes.
    overwrite : bool
        Whether masks that exist and differ are replaced. An image without paint replaces one by an empty one.

    Returns
    -------
    list of str
        The masks' files, one for each of the images that has or had a mask.

    Raises
    ------
    MaskExistsError
        A mask exists and differs, and ``overwrite`` is False. Then nothing is written.
    DataError
        As of :func:`write_masks`.
    """
    data, attributes, _ = layer
    masks: dict[Path, np.ndarray] = {}
    for relative, mask in _named_masks(np.asarray(data), attributes, numbers, root):
        masks[root / relative] = mask
    return _write(masks, overwrite=overwrite)


def painted_good(layer: LayerData, numbers: Collection[int]) -> dict[int, str]:
    """Name those of some images of a Labels layer that are painted although they count as good, by number.

    Such an image has no place below ``ground_truth``, until it is moved to the folder of its defect.
    """
    data, attributes, _ = layer
    labels = np.asarray(data)
    images = labels.reshape(-1, *labels.shape[-2:])
    names, kinds, _ = _about(attributes, len(images))
    return {k: str(names[k]) for k in numbers if kinds[k] == "good" and images[k].any()}


def write_single_mask(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write one Labels layer, ``(y, x)``, as a PNG mask; a stack goes into a folder of that name.

    Raises
    ------
    DataError
        The file exists and shows another mask.
    """
    labels = np.asarray(data)
    if labels.ndim > 2:
        return write_masks(str(Path(path).with_suffix("")), [(labels, attributes, "labels")])
    return _write({Path(path): labels != 0})


def _named_masks(
    labels: np.ndarray,
    attributes: Mapping[str, Any],
    numbers: Collection[int] | None = None,
    root: Path | None = None,
) -> Iterator[tuple[PurePosixPath, np.ndarray]]:
    """Pair each painted slice, and each that had a mask file, with its place below the folder.

    Of some images only, if ``numbers`` says so; with a root, a file that is there counts as well.
    """
    images = labels.reshape(-1, *labels.shape[-2:])
    names, kinds, known = _about(attributes, len(images))
    for number, (image, name, kind, mask_path) in enumerate(
        zip(images, names, kinds, known, strict=True)
    ):
        if numbers is not None and number not in numbers:
            continue
        painted = int(np.count_nonzero(image))
        if kind == "good" and painted:
            raise DataError(
                f"{name}: {painted} pixels are painted but the image counts as good; "
                "erase them, or move the image to the folder of its defect"
            )
        if painted or mask_path or (root and (root / _place(str(name), kind)).exists()):
            yield _place(str(name), kind), image != 0


def _place(name: str, kind: str | None) -> PurePosixPath:
    """``test/crack/sub/003.png`` -> ``ground_truth/crack/sub/003_mask.png``.

    Both come from a layer's metadata, which may be a stranger's, and must stay below the folder.
    """
    for given in (name, kind or "defect"):
        path = PurePath(given)
        if path.anchor or ".." in path.parts or not path.name:
            raise DataError(
                f"{given!r}: found a name that leads out of the folder in the layer's metadata (sample, defect); "
                "expected one below it"
            )
    if re.search(r"\[\d+\]$", name):
        raise DataError(
            f"{name}: a page of a file with several; the MVTec layout has one mask per file; "
            "save the pages as files of their own first"
        )
    parts = PurePosixPath(name).parts
    below = parts[2:] if parts[:1] in (("test",), ("train",)) else parts
    stem = PurePosixPath(*(below or parts[-1:])).with_suffix("")
    file = stem.with_name(f"{stem.name}_mask.png")
    return PurePosixPath("ground_truth", kind or "defect", file)


def _about(attributes: Mapping[str, Any], count: int) -> tuple[list[Any], list[Any], list[Any]]:
    """Return each slice's name, kind of defect and mask file; None where the layer does not say."""
    about = attributes.get("metadata", {})
    nothing = [None] * count
    return (
        _column(about, "sample", count) or _numbered(attributes, count),
        _column(about, "defect", count) or nothing,
        _column(about, "mask_path", count) or nothing,
    )


def _column(about: Mapping[str, Any], key: str, count: int) -> list[Any] | None:
    """Read what metadata says about each slice; what another shape left over is not believed."""
    value = about.get(key)
    column = value if isinstance(value, list) else [value]
    return column if value is not None and len(column) == count else None


def _numbered(attributes: Mapping[str, Any], count: int) -> list[str]:
    base = re.sub(r"[^\w.-]+", "_", str(attributes.get("name") or "labels")).strip("._") or "labels"
    return [base] if count == 1 else [f"{base}_{k:03d}" for k in range(count)]


def _write(masks: Mapping[Path, np.ndarray], *, overwrite: bool = False) -> list[str]:
    """Write all masks or none: every conflict is found before the first file is made."""
    same = {path for path, mask in masks.items() if path.exists() and _shows(path, mask)}
    others = [path for path in masks if path.exists() and path not in same]
    if others and not overwrite:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise MaskExistsError(
            f"{others[0]}{more}: exists and differs from the labels; nothing was written. "
            "Choose another folder, or move the old masks away"
        )
    for path, mask in masks.items():
        if path not in same:
            write_mask(path, mask)
    return [str(path) for path in masks]


def _shows(path: Path, mask: np.ndarray) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DataWarning
            )  # an antialiased mask that reads the same is the same
            there = read_mask(path, (mask.shape[0], mask.shape[1]))
    except ImageError:
        return False
    return bool(np.array_equal(there, mask))
