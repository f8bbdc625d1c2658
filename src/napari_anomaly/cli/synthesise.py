"""``napari-anomaly synthesise``."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from napari_anomaly.cli.common import check_writable
from napari_anomaly.cli.saying import say, tell


def synthesise(
    normals: Path,
    out: Path,
    /,
    *,
    count: Annotated[int, Parameter(validator=Number(gte=1))] = 60,
    seed: int = 0,
    kinds: str = "",
    smallest: int = 3,
    largest: float = 0.25,
    contrast: tuple[float, float] = (0.0, 0.25),
    anywhere: bool = False,
    held_out: float = 0.25,
    data_range: tuple[float, float] | None = None,
) -> None:
    """Plant defects into good images and write them with their exact masks, to measure a detector with.

    Writes the MVTec layout: `train/good`, `test/good`, `test/KIND`, `ground_truth/KIND/NAME_mask.png`. Defects are
    planted into the images of `test/good`.

    Parameters
    ----------
    normals
        A folder of good images, or one with `train/good` inside.
    out
        Folder to write: a new or an empty one.
    count
        Images with a defect.
    seed
        Decides everything random.
    kinds
        Names with commas between them (default: all): scratch, dent, speck, stain, patch, scar, seamless, texture,
        blur, brightness, colour, twist, shift, missing.
    smallest
        Longest side of the smallest defects, pixels.
    largest
        Longest side of the largest defects, as a share of the image's shorter side.
    contrast
        Least and largest change of intensity, black to white being 1; never less than twice the noise.
    anywhere
        Plant also on a plain background, not only on the object before it.
    held_out
        Share of the good images to test with.
    data_range
        Intensities that mean black and white; default: the range of the pixels' type, 0 to 1 for floats.
    """
    from napari_anomaly.core.data.defects.kinds import KINDS
    from napari_anomaly.core.data.defects.planting import Planting
    from napari_anomaly.core.progress import watched
    from napari_anomaly.core.synthesising import check_free, synthesise_into

    chosen = tuple(name for part in kinds.split(",") if (name := part.strip()))
    planting = Planting(chosen or tuple(KINDS), smallest, largest, contrast, not anywhere)
    check_free(out)
    check_writable(out / "test")
    steps = synthesise_into(
        out,
        normals,
        count,
        seed=seed,
        planting=planting,
        held_out=held_out,
        data_range=data_range,
    )
    for kind, number in sorted(watched(steps).items()):
        say(f"{number:4d} {kind}")
    tell(f"Written to {out}")
