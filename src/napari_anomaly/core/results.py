"""Images inspected one by one into a folder: maps, masks, overlays and tables."""

import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path, PurePosixPath

from napari_anomaly.core.data.files import write_atomically, write_map, write_mask, write_png
from napari_anomaly.core.data.folders import samples_of
from napari_anomaly.core.data.reading import pages_of, work_through
from napari_anomaly.core.detector import Detector
from napari_anomaly.core.errors import DataError, DataWarning, ImageError
from napari_anomaly.core.figures import overlay, png, scale_figure
from napari_anomaly.core.tables import REGION_COLUMNS, csv_bytes, region_row
from napari_anomaly.core.threads import first_alone, in_order
from napari_anomaly.core.types import Image, Inspection, Progress, Region, Sample, Verdict

Outcome = tuple[Image, Inspection] | ImageError
"""An image and what was found in it, or why it cannot be used."""


@dataclass(frozen=True)
class Row:
    """One inspected image in ``scores.csv``.

    Attributes
    ----------
    name : str
        Unique; its map is ``maps/<name>.tif``, and so on.
    path : str
    page : int
        Of a multi-page file, from 0.
    score, p_value : float
    verdict : {"pass", "review", "fail"}
    n_regions : int
    """

    name: str
    path: str
    page: int
    score: float
    p_value: float
    verdict: Verdict
    n_regions: int


@dataclass(frozen=True)
class Results:
    """What :func:`inspect_into` wrote, and a message for each image that it had to skip."""

    rows: tuple[Row, ...]
    skipped: tuple[str, ...]


def inspect_into(
    folder: Path, detector: Detector, sources: Sequence[Path]
) -> Generator[Progress, None, Results]:
    """Inspect images and write what is found; files of the same names are replaced.

    Parameters
    ----------
    folder : Path
        Gets ``maps/`` (float32 TIFF), ``masks/`` (PNG, 255 in regions), ``overlays/`` (PNG, image and map with
        outlined regions), their colours in ``scale.png``, ``regions.csv``, and last ``scores.csv``: where it lies,
        all is complete. Of a method that says only whether, the tables and no pictures.
    detector : Detector
    sources : sequence of Path
        Image files, and folders of them.

    Yields
    ------
    Progress

    Raises
    ------
    DataError
        If a folder has no images, or no image can be inspected.

    Warns
    -----
    DataWarning
        For each image that is skipped; names the file.
    """
    samples = samples_of(sources)
    rows: list[Row] = []
    found: list[tuple[str, Region]] = []
    skipped: list[str] = []
    with (
        closing(_inspected(detector, samples)) as inspected,
        closing(in_order(partial(_written, folder), _named(inspected))) as written,
    ):
        for step, one in enumerate(written, start=1):
            if isinstance(one, str):
                skipped.append(one)
                warnings.warn(f"{one} (skipped)", DataWarning, stacklevel=2)
            else:
                row, regions = one
                rows.append(row)
                found += [(row.name, region) for region in regions]
            yield Progress("inspecting", step, max(step, len(samples)))
    if not rows:
        raise DataError(
            f"none of {len(samples)} image(s) could be inspected; expected at least one; check the paths and "
            "the detector"
        )
    _write_tables(folder, detector, rows, found)
    return Results(tuple(rows), tuple(skipped))


def _inspected(
    detector: Detector, samples: Iterable[Sample]
) -> Generator[tuple[Sample, Outcome], None, None]:
    """Yield every page, read and inspected in threads, in order; the reason in its place where it cannot be used."""

    def one(page: tuple[Sample, Image]) -> Outcome:
        sample, image = page
        try:
            return image, detector.inspect(image)
        except ImageError as error:
            where = f"{sample.path} page {sample.page}" if sample.page else str(sample.path)
            return ImageError(f"{where}: {error}")

    alone = first_alone(one)
    return work_through(samples, pages_of, lambda *page: alone(page))


def _named(
    inspected: Iterable[tuple[Sample, Outcome]],
) -> Iterator[tuple[str, Sample, Outcome]]:
    """Put the name of its files before each page."""
    names: set[str] = set()
    for sample, outcome in inspected:
        yield "" if isinstance(outcome, ImageError) else _free_name(sample, names), sample, outcome


def _written(
    folder: Path, job: tuple[str, Sample, Outcome]
) -> tuple[Row, tuple[Region, ...]] | str:
    """Write what was found in a page and keep what goes into the tables; or why it was skipped."""
    name, sample, outcome = job
    if isinstance(outcome, ImageError):
        return str(outcome)
    _write(folder, name, *outcome)
    return _row(name, sample, outcome[1]), outcome[1].regions


def _free_name(sample: Sample, taken: set[str]) -> str:
    """Name a sample after its file; numbered where another has the name, on any file system."""
    file = sample.name.removesuffix(f"[{sample.page}]") if sample.page else sample.name
    stem = str(PurePosixPath(file).with_suffix(""))
    stem = f"{stem}_page{sample.page}" if sample.page else stem
    name, number = stem, 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem}_{number}"
    taken.add(name.casefold())
    return name


def _write(folder: Path, name: str, image: Image, result: Inspection) -> None:
    if not result.localises:
        return
    # not with_suffix: a name may hold dots of its own
    write_map(folder / "maps" / f"{name}.tif", result.anomaly_map)
    write_mask(folder / "masks" / f"{name}.png", result.labels)
    picture = overlay(image, result.anomaly_map, result.labels, result.map_threshold)
    # to look at and throw away: level 9 takes seven times as long for the same size
    write_png(folder / "overlays" / f"{name}.png", picture, level=3)


def _row(name: str, sample: Sample, result: Inspection) -> Row:
    return Row(
        name=name,
        path=str(sample.path),
        page=sample.page,
        score=result.score,
        p_value=result.p_value,
        verdict=result.verdict,
        n_regions=len(result.regions),
    )


def _write_tables(
    folder: Path, detector: Detector, rows: Sequence[Row], found: Sequence[tuple[str, Region]]
) -> None:
    regions = csv_bytes(REGION_COLUMNS, [region_row(*one) for one in found])
    scores = csv_bytes([field.name for field in fields(Row)], [asdict(row) for row in rows])
    if detector.recipe.localises:
        scale = png(scale_figure(detector.calibration.map_threshold))
        write_atomically(folder / "scale.png", scale)
    write_atomically(folder / "regions.csv", regions)
    write_atomically(folder / "scores.csv", scores)
