"""``napari-anomaly inspect`` and ``scan``: images in, maps and tables out."""

from pathlib import Path

from napari_anomaly.cli.common import check_writable, loaded_detector, with_review
from napari_anomaly.cli.saying import say, tell
from napari_anomaly.options import Device, UsageError


def inspect(
    detector: Path,
    /,
    *images: Path,
    out: Path,
    review: float | None = None,
    device: Device = "auto",
) -> int:
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
    review
        Wanted share of good images that do not pass outright; default: as the detector was fitted.
    device
        What to compute on; auto takes a GPU if JAX can use one.
    """
    if not images:
        raise UsageError("found no images; expected files or folders after the detector")
    check_writable(out / "scores.csv")
    loaded = with_review(loaded_detector(detector, device), review)
    from napari_anomaly.core.progress import watched
    from napari_anomaly.core.results import inspect_into

    results = watched(inspect_into(out, loaded, images))
    for row in results.rows:
        numbers = f"score {row.score:<8.4g} p {row.p_value:<7.3g} regions {row.n_regions:<4}"
        say(f"{row.verdict:<6} {numbers} {row.name}")
    failed, unsure = (
        sum(row.verdict == verdict for row in results.rows) for verdict in ("fail", "review")
    )
    by_hand = f", {unsure} are for a person to review" if loaded.calibration.review else ""
    tell(
        f"{failed} of {len(results.rows)} images fail{by_hand}. Maps, masks, overlays, tables: {out}"
    )
    if results.skipped:
        tell(f"{len(results.skipped)} image(s) skipped, see above")
    return 1 if results.skipped else 0


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
    check_writable(out / "fields.csv")
    loaded = loaded_detector(detector, device)
    from napari_anomaly.core.progress import watched
    from napari_anomaly.core.tiling import scan_into

    result = watched(scan_into(out, loaded, image, tile=tile))
    height, width = result.field
    for row, column in zip(*(result.verdicts == "fail").nonzero(), strict=True):
        score, p_value = result.scores[row, column], result.p_values[row, column]
        numbers = f"score {score:<8.4g} p {p_value:<7.3g}"
        say(f"fail   {numbers} field at y {row * height}, x {column * width}")
    failed = (result.verdicts == "fail").sum()
    tell(
        f"{failed} of {result.scores.size} fields of {height} x {width} pixels fail, {len(result.regions)} regions. "
        f"Map and tables: {out}"
    )
