"""Ground truth against what the machine found: the pixels and regions of one image, and sums over images."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import fsum

import numpy as np
from jaxtyping import Integer, UInt8
from scipy.ndimage import label

from napari_anomaly.core.errors import DataError
from napari_anomaly.core.metrics import Confusion, auroc, confusion

TRUE_POSITIVE, FALSE_POSITIVE, FALSE_NEGATIVE = 1, 2, 3

_OUTCOME = np.array([0, FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE], np.uint8)
_EIGHT = np.ones((3, 3), bool)


def outcomes(
    truth: Integer[np.ndarray, "..."], found: Integer[np.ndarray, "..."]
) -> UInt8[np.ndarray, "..."]:
    """Tell for each pixel what became of it: 1 found, 2 false alarm, 3 missed, 0 neither painted nor found."""
    named: np.ndarray = _OUTCOME[(truth != 0) + 2 * (found != 0).astype(np.uint8)]
    return named


@dataclass(frozen=True)
class RegionOverlap:
    """A region of one side, and what the other side has of it.

    Attributes
    ----------
    label : int
        Of the machine's regions their number in the layer; of the truth's 1..N, in order of their first pixel.
    area, covered : int
        Pixels, and how many of them the other side has too.
    others : tuple of int
        Labels of the other side's regions on it.
    """

    label: int
    area: int
    covered: int
    others: tuple[int, ...]

    @property
    def share(self) -> float:
        """What part of it the other side has."""
        return self.covered / self.area


@dataclass(frozen=True)
class Overlap:
    """Truth against prediction in one image.

    Attributes
    ----------
    pixels : Confusion
    truth : tuple of RegionOverlap
        The 8-connected regions of the truth, whatever their labels: so a saved mask has them, and AU-PRO counts them.
    found : tuple of RegionOverlap
        The machine's regions.
    """

    pixels: Confusion
    truth: tuple[RegionOverlap, ...]
    found: tuple[RegionOverlap, ...]

    @property
    def iou(self) -> float | None:
        """Pixels of both over pixels of either; None if there are none."""
        return share(lambda: self.pixels.iou)

    @property
    def pro(self) -> float | None:
        """Per-region overlap: share of each truth region that was found, averaged; None without truth.

        References
        ----------
        Bergmann et al. 2021, "The MVTec Anomaly Detection Dataset", section 5.3,
        https://doi.org/10.1007/s11263-020-01400-4
        """
        return _mean([region.share for region in self.truth])

    @property
    def escapes(self) -> int:
        """Truth regions of which nothing was found."""
        return sum(not region.covered for region in self.truth)

    @property
    def false_alarms(self) -> int:
        """Found regions that touch no truth."""
        return sum(not region.covered for region in self.found)


def overlap_of(truth: Integer[np.ndarray, "y x"], found: Integer[np.ndarray, "y2 x2"]) -> Overlap:
    """Compare the truth of one image with the regions found in it, both labels with 0 as background.

    Raises
    ------
    DataError
        They differ in size.
    """
    if truth.shape != found.shape:
        raise DataError(
            f"found a ground truth of {truth.shape} pixels and regions of {found.shape}; expected the same. "
            "Inspect the image that the ground truth was painted on"
        )
    painted, decided = truth != 0, found != 0
    pixels = confusion(painted, decided)
    either = painted | decided
    if not either.any():
        return Overlap(pixels, (), ())
    window = _window(either)
    regions, _ = label(painted[window], _EIGHT)
    inside = either[window]
    mine, theirs, counts = _pairs(regions[inside], found[window][inside])
    return Overlap(pixels, _side(mine, theirs, counts), _side(theirs, mine, counts))


@dataclass(frozen=True)
class Totals:
    """Sums over the images whose truth is known.

    Attributes
    ----------
    images : int
        Of known truth.
    pixels : Confusion
    regions, escapes : int
        Truth regions of all images, and those of which nothing was found.
    pro : float or None
        Share found, mean over all truth regions; None without any.
    good, false_alarm_images : int
        Images whose truth is empty, and those of them in which regions were found.
    """

    images: int
    pixels: Confusion
    regions: int
    escapes: int
    pro: float | None
    good: int
    false_alarm_images: int


def totals_of(overlaps: Iterable[Overlap]) -> Totals:
    """Sum up images whose truth is known."""
    known = list(overlaps)
    shares = [region.share for one in known for region in one.truth]
    good = [one for one in known if not one.truth]
    return Totals(
        images=len(known),
        pixels=sum((one.pixels for one in known), Confusion(0, 0, 0, 0)),
        regions=len(shares),
        escapes=sum(one.escapes for one in known),
        pro=_mean(shares),
        good=len(good),
        false_alarm_images=sum(bool(one.found) for one in good),
    )


def image_auroc(defective: Iterable[bool | None], scores: Iterable[float]) -> float | None:
    """Return the AUROC of image scores, of the images that are known to be good or not; None without both kinds."""
    known = [
        (bad, score)
        for bad, score in zip(defective, scores, strict=True)
        if bad is not None and not np.isnan(score)
    ]
    bad = np.array([one for one, _ in known], bool)
    return share(lambda: auroc(bad, np.array([score for _, score in known], np.float64)))


def share(read: Callable[[], float]) -> float | None:
    """Read a metric; None where it has nothing to count."""
    try:
        return read()
    except ValueError:
        return None


def _mean(values: list[float]) -> float | None:
    """Average; the same in whatever order images were counted, so that a recount shows no other number."""
    return fsum(values) / len(values) if values else None


def _window(mask: np.ndarray) -> tuple[slice, slice]:
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _pairs(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """List the pairs of labels that lie on each other, and on how many pixels."""
    step = np.int64(b.max()) + 1
    codes, counts = np.unique(a.astype(np.int64) * step + b, return_counts=True)
    return codes // step, codes % step, counts


def _side(own: np.ndarray, other: np.ndarray, counts: np.ndarray) -> tuple[RegionOverlap, ...]:
    regions = []
    for number in np.unique(own[own > 0]):
        mine = own == number
        shared = mine & (other > 0)
        regions.append(
            RegionOverlap(
                label=int(number),
                area=int(counts[mine].sum()),
                covered=int(counts[shared].sum()),
                others=tuple(other[shared].tolist()),
            )
        )
    return tuple(regions)
