"""Many images checked one by one."""

import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from napari_anomaly.core.data.reading import pages_of, work_through
from napari_anomaly.core.errors import DataError, DataWarning, ImageError
from napari_anomaly.core.presence.check import Presence, PresenceCheck
from napari_anomaly.core.threads import first_alone
from napari_anomaly.core.types import Image, Progress, Sample


@dataclass(frozen=True)
class Checked:
    """Names, one answer for each, and how many images could not be used."""

    names: tuple[str, ...]
    answers: tuple[Presence, ...]
    skipped: int = 0


def check_files(
    check: PresenceCheck, samples: Sequence[Sample]
) -> Generator[Progress, None, Checked]:
    """Check image files, read in threads; every page of each.

    Raises
    ------
    DataError
        No image can be checked.

    Warns
    -----
    DataWarning
        For each that is skipped; names the file.
    """
    found: list[tuple[str, Presence]] = []
    skipped = 0

    def one(image: Image) -> Presence | ImageError:
        try:
            return check.check(image)
        except ImageError as error:
            return error

    alone = first_alone(one)
    with closing(work_through(samples, pages_of, lambda _, image: alone(image))) as answers:
        for sample, answer in answers:
            if isinstance(answer, ImageError):
                skipped += 1
                text = str(answer)
                where = "" if str(sample.path) in text else f"{sample.path}: "
                warnings.warn(f"{where}{text} (skipped)", DataWarning, stacklevel=2)
            else:
                found.append((sample.name, answer))
            done = len(found) + skipped
            yield Progress("checking", done, max(done, len(samples)))
    if not found:
        raise DataError(f"none of {len(samples)} image(s) could be checked; expected at least one")
    names, given = zip(*found, strict=True)
    return Checked(names, given, skipped)


def check_images(
    check: PresenceCheck, images: Mapping[str, Image]
) -> Generator[Progress, None, Checked]:
    """Check images ``(y, x)`` or ``(y, x, c)`` that are given by name.

    Raises
    ------
    ImageError
        One cannot be checked; the message names it.
    """
    answers = []
    for name, image in images.items():
        try:
            answers.append(check.check(np.asarray(image)))
        except ImageError as error:
            raise ImageError(f"{name}: {error}") from error
        yield Progress("checking", len(answers), len(images))
    return Checked(tuple(images), tuple(answers))
