"""Folder -> `Dataset`: a listing of directories, never of pixels."""

import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Bool

from napari_anomaly.core.data.files import IMAGE_SUFFIXES, is_image_name, read_mask
from napari_anomaly.core.errors import DataError, DataWarning
from napari_anomaly.core.types import Sample

_WARNED_SINGLY = 10
_NO_FOLDERS = ("__MACOSX",)


@dataclass(frozen=True)
class Dataset:
    """The images below one folder.

    Attributes
    ----------
    root : Path
    samples : tuple of Sample
        In natural order of their names (``2.png`` before ``10.png``), train before test; one per
        file, also where a file has several pages.
    problems : tuple of str
        What was left out or looks wrong, one sentence each, with the path.
    """

    root: Path
    samples: tuple[Sample, ...]
    problems: tuple[str, ...] = ()

    @property
    def train(self) -> tuple[Sample, ...]:
        """Normal images to learn from."""
        return tuple(sample for sample in self.samples if sample.split == "train")

    @property
    def test(self) -> tuple[Sample, ...]:
        """Images that neither training nor calibration may see."""
        return tuple(sample for sample in self.samples if sample.split == "test")

    @property
    def defects(self) -> tuple[str, ...]:
        """Kinds of defect among the test images, sorted."""
        return tuple(sorted({sample.defect for sample in self.samples} - {"good"}))

    @property
    def has_masks(self) -> bool:
        """Whether any sample has a ground-truth mask."""
        return any(sample.mask_path is not None for sample in self.samples)


@dataclass
class _Listing:
    """What a walk through a folder found.

    Images by their name below it, suffixes of other files, links to folders that are still to be
    followed, and the real paths of the folders that were listed.
    """

    images: dict[str, Path] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)


def natural_key(name: str) -> tuple[tuple[tuple[str, int], ...], ...]:
    """Sort key that orders ``a2`` before ``a10``, folder by folder."""
    return tuple(
        tuple((text.casefold(), int(digits or 0)) for text, digits in _PIECE.findall(part))
        for part in name.split("/")
    )


_PIECE = re.compile(r"(\D*)(\d*)")


def categories(path: str | os.PathLike[str]) -> list[Path]:
    """List the sub-folders of `path` that hold a dataset in the MVTec layout (``train/good``)."""
    with os.scandir(path) as entries:  # not entry.is_dir(): a link to itself makes it raise
        children = [Path(entry.path) for entry in entries]
    found = [child for child in children if _is_folder(child / "train" / "good")]
    return sorted(found, key=_by_name)


def _by_name(path: Path) -> tuple[object, ...]:
    return natural_key(path.name), path.name


def open_folder(path: str | os.PathLike[str]) -> Dataset:
    """List the images of a folder without reading any.

    With ``train/good`` inside it is taken for the MVTec layout (``test/<defect>``,
    ``ground_truth/<defect>/<stem>_mask.png``; ``<stem>`` alone and other image suffixes will do).
    Otherwise every image below it, at any depth, is a normal one.

    Parameters
    ----------
    path : path
        The folder.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        There is no such folder, it holds no image, or its layout has no single reading.

    Warns
    -----
    DataWarning
        For each of ``Dataset.problems`` (the first few one by one).
    """
    root = Path(path).expanduser().absolute()
    _check_folder(root)
    if _is_folder(root / "train" / "good"):
        samples, problems = _mvtec(root)
    else:
        samples, problems = _plain(root)
    for problem in problems[:_WARNED_SINGLY]:
        warnings.warn(problem, DataWarning, stacklevel=2)
    if len(problems) > _WARNED_SINGLY:
        rest = f"{root}: {len(problems) - _WARNED_SINGLY} more problems; see Dataset.problems"
        warnings.warn(rest, DataWarning, stacklevel=2)
    return Dataset(root, tuple(samples), tuple(problems))


def samples_of(sources: Iterable[Path]) -> list[Sample]:
    """List every image once, in the order given: image files, and what :func:`open_folder` finds in folders."""
    samples: dict[Path, Sample] = {}
    for source in sources:
        path = source.expanduser().absolute()
        here = open_folder(path).samples if path.is_dir() else [Sample(path, path.name)]
        for sample in here:
            samples.setdefault(sample.path, sample)
    return list(samples.values())


def _check_folder(root: Path) -> None:
    if not root.exists():
        raise DataError(f"{root}: no such folder; check the path")
    if not root.is_dir():
        raise DataError(f"{root}: a file; expected the folder that holds the images")
    try:
        if (root / "train" / "good").is_dir():
            return
        found = [child.name for child in categories(root)]
    except OSError as error:
        raise DataError(
            f"{error.filename or root}: cannot be listed ({error.strerror}); "
            "allow reading the folder"
        ) from error
    if found:
        raise DataError(
            f"{root}: holds {len(found)} dataset(s) ({', '.join(found[:20])}); expected one; "
            f"open one of them, for example {root / found[0]}"
        )
    if _is_folder(root / "test") and any(map(_is_folder, (root / "train", root / "ground_truth"))):
        raise DataError(
            f"{root}: has test/ but no train/good/; expected normal images in train/good/; "
            "add that folder, or open a folder that holds normal images only"
        )


def _plain(root: Path) -> tuple[list[Sample], list[str]]:
    listing = _list(root)
    _refuse_empty(root, listing)
    return [Sample(path, name) for name, path in listing.images.items()], listing.problems


def _mvtec(root: Path) -> tuple[list[Sample], list[str]]:
    train = _list(root / "train" / "good")
    _refuse_empty(root / "train" / "good", train)
    samples = [Sample(path, f"train/good/{name}") for name, path in train.images.items()]
    problems = train.problems + _other_kinds(root / "train")
    test, masks = _list(root / "test"), _list(root / "ground_truth")
    problems += test.problems + masks.problems
    by_stem = _masks_by_stem(masks)
    for name, path in test.images.items():
        kind, slash, _ = name.partition("/")
        if not slash:
            problems.append(f"{path}: not in a folder test/<defect>/; left out")
            continue
        found = [mask for stem in _mask_stems(name) for mask in by_stem.get(stem, [])]
        if len(found) > 1:
            problems.append(f"{path}: {len(found)} masks; {found[0]} is used")
        mask = found[0] if found and kind != "good" else None
        samples.append(Sample(path, f"test/{name}", "test", kind, mask))
    return samples, problems + _unmatched(samples, by_stem)


def _other_kinds(train: Path) -> list[str]:
    return [
        f"{child}: left out; only train/good/ is learnt from"
        for child in sorted(train.iterdir(), key=_by_name)
        if child.name != "good" and not child.name.startswith(".")
        if child.is_dir() or is_image_name(child.name)
    ]


def _masks_by_stem(masks: _Listing) -> dict[str, list[Path]]:
    """Collect masks under ``<defect>/<stem>``, stems with ``_mask`` as they are."""
    by_stem: dict[str, list[Path]] = {}
    for name, path in masks.images.items():
        by_stem.setdefault(_stem(name), []).append(path)
    return by_stem


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _mask_stems(name: str) -> tuple[str, str]:
    """Where the mask of ``<defect>/<file>`` may lie, best first."""
    return f"{_stem(name)}_mask", _stem(name)


def _unmatched(samples: Sequence[Sample], masks: dict[str, list[Path]]) -> list[str]:
    if not masks:
        return []
    test = [sample for sample in samples if sample.split == "test"]
    used = {stem for sample in test for stem in _mask_stems(sample.name.removeprefix("test/"))}
    lonely = [
        f"{path}: mask without image (no test/{stem.removesuffix('_mask')}.*); left out"
        for stem, paths in masks.items()
        if stem not in used
        for path in paths
    ]
    return lonely + [
        f"{sample.path}: defect image without mask; only its image score can be judged"
        for sample in test
        if sample.defect != "good" and sample.mask_path is None
    ]


def _refuse_empty(root: Path, listing: _Listing) -> None:
    if listing.images:
        return
    others = ", ".join(f"{count} {kind}" for kind, count in listing.others.most_common(5))
    raise DataError(
        f"{root}: no image found ({others or 'the folder is empty'}); "
        f"expected files ending in {', '.join(IMAGE_SUFFIXES)}; choose another folder"
        + "".join(f"\n{problem}" for problem in listing.problems[:_WARNED_SINGLY])
    )


def _list(root: Path) -> _Listing:
    listing = _Listing()
    if not _is_folder(root):
        return listing
    real = os.path.realpath(root)
    _walk(real, str(root), "", listing)
    while listing.links:  # after everything else, so that a folder is listed under its own name
        link, prefix = listing.links.pop(0)
        target = os.path.realpath(link)
        if target in listing.seen or os.path.commonpath((target, real)) == target:
            listing.problems.append(f"{link}: a link back to {target} (a loop); left out")
        else:
            _walk(target, link, prefix, listing)
    names = sorted(listing.images, key=lambda name: (natural_key(name), name))
    listing.images = {name: listing.images[name] for name in names}
    return listing


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _walk(real: str, folder: str, prefix: str, listing: _Listing) -> None:
    """Add what lies in `folder`, whose path without links is `real`, to the listing."""
    if real in listing.seen:
        return
    listing.seen.add(real)
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        listing.problems.append(f"{folder}: cannot be listed ({error.strerror}); left out")
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name in _NO_FOLDERS:
            continue
        try:
            _add(entry, f"{real}{os.sep}{entry.name}", prefix, listing)
        except OSError as error:  # a link that leads to itself
            listing.problems.append(f"{entry.path}: {error.strerror}; left out")


def _add(entry: os.DirEntry[str], real: str, prefix: str, listing: _Listing) -> None:
    if entry.is_dir():
        if entry.is_symlink():
            listing.links.append((entry.path, f"{prefix}{entry.name}/"))
        else:
            _walk(real, entry.path, f"{prefix}{entry.name}/", listing)
    elif not is_image_name(entry.name):
        listing.others[Path(entry.name).suffix.lower() or "without suffix"] += 1
    elif entry.is_file():
        listing.images[prefix + entry.name] = Path(entry.path)
    else:
        listing.problems.append(f"{entry.path}: not a file or a broken link; left out")


def mask_of(sample: Sample, shape: tuple[int, ...]) -> Bool[np.ndarray, "y x"] | None:
    """Read the ground truth of a sample.

    Parameters
    ----------
    sample : Sample
    shape : (y, x) or (y, x, c)
        Of the sample's image.

    Returns
    -------
    bool array, ``(y, x)``, or None
        All False for a good image; None for a defect that has no mask.

    Raises
    ------
    ImageError
        The mask cannot be used: see `read_mask`.

    Warns
    -----
    DataWarning
        The mask of a defect is all zero, or antialiased.
    """
    size = (shape[0], shape[1])
    if sample.defect == "good":
        return np.zeros(size, bool)
    if sample.mask_path is None:
        return None
    mask = read_mask(sample.mask_path, size, sample.page)
    if not mask.any():
        warnings.warn(
            f"{sample.mask_path}: all zero although {sample.name} shows {sample.defect}; "
            "expected pixels of 255 on the defect; paint it, or move the image to test/good",
            DataWarning,
            stacklevel=2,
        )
    return mask
