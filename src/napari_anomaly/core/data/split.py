"""Normal samples -> train and calibration, which share no image, no file and no group."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from napari_anomaly.core.errors import DataError
from napari_anomaly.core.types import Sample


@dataclass(frozen=True)
class Split:
    """Two disjoint sets of normal samples, each in the order they were given.

    Attributes
    ----------
    train : tuple of Sample
        For weights and statistics.
    calibration : tuple of Sample
        Held out: for thresholds and p-values.
    """

    train: tuple[Sample, ...]
    calibration: tuple[Sample, ...]


def split(
    samples: Iterable[Sample],
    *,
    calibration: float = 0.25,
    seed: int = 0,
    group: str | None = None,
) -> Split:
    r"""Hold out a share of the normal samples.

    The side of a sample follows from the seed and the names alone, not from their order. Pages of
    one file stay together.

    Parameters
    ----------
    samples : iterable of Sample
        Normal ones.
    calibration : float
        Wanted share of held-out samples, in (0, 1); groups are added as long as they fit, so large
        groups leave it below.
    seed : int
        Chooses which.
    group : str, optional
        Regular expression, searched in the name; samples with the same first group (the whole
        match if the expression has none) stay together. ``r"part(\d+)"`` keeps the photographs
        of one part on one side.

    Returns
    -------
    Split

    Raises
    ------
    DataError
        Fewer than two groups, a sample with a defect, a name without a match, or an impossible
        share, seed or expression.
    """
    samples = tuple(samples)
    _check(samples, calibration, seed)
    groups: dict[str, list[Sample]] = {}
    for sample, key in zip(samples, group_keys(samples, group), strict=True):
        groups.setdefault(key, []).append(sample)
    if len(groups) < 2:
        raise DataError(
            f"{len(samples)} normal image(s) in {len(groups)} group(s); expected at least 2 "
            "groups, one to train on and one to calibrate with; add images or change the grouping"
        )
    held = _held_out(groups, max(1, round(calibration * len(samples))), seed)
    chosen = {id(sample) for key in held for sample in groups[key]}
    return Split(
        train=tuple(sample for sample in samples if id(sample) not in chosen),
        calibration=tuple(sample for sample in samples if id(sample) in chosen),
    )


def _check(samples: Sequence[Sample], calibration: float, seed: int) -> None:
    if not 0 < calibration < 1:
        raise DataError(
            f"calibration={calibration}; expected a share between 0 and 1, for example 0.25"
        )
    if not -(2**63) <= seed < 2**63:  # what JAX takes for a key
        raise DataError(f"seed={seed}; expected a whole number of at most 18 digits")
    strange = [sample.name for sample in samples if sample.defect != "good"]
    if strange:
        raise DataError(
            f"{len(strange)} of the samples show defects ({', '.join(strange[:3])}); expected "
            "normal images only; leave them out"
        )


def group_keys(samples: Sequence[Sample], group: str | None) -> list[str]:
    """Return what keeps samples together: the same key for the same file, or the same group of their names.

    Raises and reads ``group`` as :func:`split` does.
    """
    files = [
        sample.name.removesuffix(f"[{sample.page}]") if sample.page else sample.name
        for sample in samples
    ]
    if group is None:
        return files
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise DataError(
            f"group={group!r} is no regular expression ({error}); expected one such as 'part(\\d+)'"
        ) from error
    found = [_key(pattern.search(name)) for name in files]
    lost = [name for name, key in zip(files, found, strict=True) if key is None]
    if lost:
        raise DataError(
            f"group={group!r} matches {len(files) - len(lost)} of {len(files)} names, not for "
            f"example {', '.join(lost[:3])}; expected a match in every name; change the expression"
        )
    return [key for key in found if key is not None]


def _key(match: re.Match[str] | None) -> str | None:
    if match is None:
        return None
    return match.group(1) if match.re.groups else match.group(0)


def _held_out(groups: dict[str, list[Sample]], target: int, seed: int) -> list[str]:
    """Take whole groups in a random order as long as they fit below `target` samples."""
    # ordering by a hash keeps most samples on their side when images are added later
    order = sorted(groups, key=lambda key: _digest(seed, key))
    held: list[str] = []
    room = target
    for key in order:
        if len(groups[key]) <= room and len(held) < len(groups) - 1:
            held.append(key)
            room -= len(groups[key])
    return held or [min(order, key=lambda key: len(groups[key]))]


def _digest(seed: int, key: str) -> bytes:
    # names that are not UTF-8 on the disk reach Python as surrogates
    return hashlib.blake2b(f"{seed}:{key}".encode(errors="surrogateescape")).digest()
