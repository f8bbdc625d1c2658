"""Truth against prediction over a folder's images in the viewer, kept up to date while a person paints."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from psygnal import Signal

from napari_anomaly.core.errors import DataError
from napari_anomaly.ui.family import BEGUN_EMPTY, REGIONS, ROLE, Family, family_of, number_shown
from napari_anomaly.ui.overlap import Overlap, Totals, image_auroc, overlap_of, totals_of
from napari_anomaly.ui.strokes import numbers_in
from napari_anomaly.ui.thresholds import known_kind

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels
    from napari.utils.events import Event


@dataclass(frozen=True, eq=False)
class Compared:
    """One image: where its truth and its regions are, and what its folder says of it.

    Attributes
    ----------
    name : str
    truth : Labels or None
        None where the image has no such layer.
    regions : Labels
    number : int
        Of the image in both layers, counted as ``layers.slices`` does.
    index : tuple of int
        The same along their axes; empty if they hold one image.
    defect : str or None
        ``"good"``, a kind of defect, or None where nothing says, and of images that were trained on.
    masked : bool
        Whether its folder has a mask for it, and the truth is not one that was begun empty.
    score : float
        NaN where none is known.
    """

    name: str
    truth: "Labels | None"
    regions: "Labels"
    number: int
    index: tuple[int, ...]
    defect: str | None
    masked: bool
    score: float

    def overlap(self) -> Overlap:
        """Compare its truth with its regions as they are now."""
        found = np.asarray(pixels_of(self.regions)[self.index])
        if self.truth is None:
            return overlap_of(np.zeros(found.shape, np.uint8), found)
        return overlap_of(np.asarray(pixels_of(self.truth)[self.index]), found)

    def known(self, overlap: Overlap) -> bool:
        """Tell whether its truth is: something is painted, its mask is open, or its folder says that it is good."""
        opened = self.masked and self.truth is not None
        return bool(overlap.truth) or opened or self.defect == "good"

    def defective(self, overlap: Overlap) -> bool | None:
        """Tell whether it has a defect: something is painted, or the folder says so; None where nothing does."""
        if overlap.truth:
            return True
        return None if self.defect is None else self.defect != "good"


class Part(NamedTuple):
    """The images of a family that are counted.

    Attributes
    ----------
    family : Family
        With regions.
    numbers : tuple of int
        Of the images in its layers, ascending.
    """

    family: Family
    numbers: tuple[int, ...]


class FolderCount:
    """The overlaps of all images that share a folder or a stack, and their sums.

    Changes of the layers only note which images are to be counted anew; `work` counts them.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
    parts : sequence of Part
        See :func:`counted_with`.

    Raises
    ------
    DataError
        Truth and regions differ in shape.
    """

    stirred = Signal()
    """Images wait to be counted."""

    def __init__(self, viewer: "ViewerModel", parts: Sequence[Part]) -> None:
        self._viewer = viewer
        self.images: list[Compared] = []
        self._spans: dict[Labels, dict[int, int]] = {}  # layer -> its image -> number here
        self._painted: dict[Labels, set[int]] = {}
        self._seen: dict[Labels, int] = {}  # layer -> its image on screen when it was last drawn
        self._overlaps: dict[int, Overlap] = {}
        for part in parts:
            self._add(part)
        self._waiting = dict.fromkeys(range(len(self.images)))

    @property
    def waiting(self) -> int:
        """How many images are still to be counted."""
        return len(self._waiting)

    @property
    def shown(self) -> int | None:
        """Number of the image on screen; None if it is not counted."""
        family = family_of(self._viewer)
        if family is None or family.regions not in self._spans:
            return None
        return self._spans[family.regions].get(number_shown(self._viewer, family.regions))

    def overlap(self, number: int) -> Overlap | None:
        """Return the overlap of an image whose truth is known; None of others, and of those not yet counted."""
        overlap = self._overlaps.get(number)
        return overlap if overlap and self.images[number].known(overlap) else None

    @property
    def unknown(self) -> int:
        """How many counted images are left out, because nothing says where their defects are."""
        return sum(self.overlap(number) is None for number in self._overlaps)

    @property
    def totals(self) -> Totals:
        """Sums over the counted images of known truth."""
        overlaps = map(self.overlap, self._overlaps)
        return totals_of(one for one in overlaps if one is not None)

    @property
    def auroc(self) -> float | None:
        """Image AUROC of the counted images that have a score and are known to be good or not."""
        counted = [(self.images[number], one) for number, one in self._overlaps.items()]
        return image_auroc(
            [image.defective(one) for image, one in counted],
            [image.score for image, _ in counted],
        )

    def work(self, seconds: float) -> list[int]:
        """Count for about so long, the image on screen first; return the numbers of those counted."""
        end, done = perf_counter() + seconds, list[int]()
        first = self.shown
        while self._waiting and (not done or perf_counter() < end):
            number = first if first in self._waiting else next(iter(self._waiting))
            assert number is not None
            del self._waiting[number]
            self._overlaps[number] = self.images[number].overlap()
            done.append(number)
        return done

    def recount(self) -> None:
        """Count all images anew: the thresholds moved."""
        self._wait(range(len(self.images)))

    def _add(self, part: Part) -> None:
        regions, truth = part.family.regions, part.family.truth
        assert regions is not None
        shape = pixels_of(regions).shape
        if truth is not None and pixels_of(truth).shape != shape:
            raise DataError(
                f"{truth.name}: found shape {pixels_of(truth).shape}; expected {shape}, as {regions.name} has it. "
                "Inspect the layer that the ground truth was painted on"
            )
        span = {number: k for k, number in enumerate(part.numbers, len(self.images))}
        self.images += _images(part, shape[:-2])
        for layer in (regions, truth):
            if layer is not None:
                self._spans[layer] = span
                self._painted[layer] = set()
                layer.events.paint.connect(self._on_paint)
                layer.events.data.connect(self._on_data)
                layer.events.set_data.connect(self._on_drawn)

    def _on_paint(self, event: "Event") -> None:
        layer = event.source
        numbers = numbers_in(event.value, pixels_of(layer).shape)
        self._painted[layer] |= numbers
        self._wait_for(layer, numbers)

    def _on_data(self, event: "Event") -> None:
        self._wait(self._spans[event.source].values())

    def _on_drawn(self, event: "Event") -> None:
        """Count after undo, of which napari tells no more than that the layer was drawn anew with the same sliders."""
        layer = event.source
        shown = number_shown(self._viewer, layer)
        before, self._seen[layer] = self._seen.get(layer, shown), shown
        if shown == before:
            self._wait_for(layer, {shown} | self._painted[layer])

    def _wait_for(self, layer: "Labels", numbers: set[int]) -> None:
        span = self._spans[layer]
        self._wait([span[number] for number in numbers if number in span])

    def _wait(self, numbers: Iterable[int]) -> None:
        self._waiting |= dict.fromkeys(numbers)
        self.stirred.emit()


def counted_with(viewer: "ViewerModel", family: Family) -> list[Part]:
    """Return what is counted beside a family: the images of its folder that were inspected at its threshold, each once.

    Of several inspections of an image the given family's counts, else the newest. Another detector has another
    threshold: its scores and regions are not to be summed with these.
    """
    regions: Any = family.regions
    kin = [one for one in _regions_of(viewer) if _is_kin(one, regions)]
    known: set[Any] = set()
    numbers: dict[Any, tuple[int, ...]] = {}
    for one in (regions, *reversed(kin)):
        if one in numbers:
            continue
        names = _keys(one)
        numbers[one] = tuple(k for k, name in enumerate(names) if name not in known)
        known.update(names)
    parts = [(family_of(viewer, one), numbers[one]) for one in kin if numbers[one]]
    return [Part(one, own) for one, own in parts if one is not None]


def _regions_of(viewer: "ViewerModel") -> "list[Labels]":
    """List the regions of all families, those of the oldest first."""
    found = (family_of(viewer, one) for one in viewer.layers if one.metadata.get(ROLE) == REGIONS)
    return list(dict.fromkeys(one.regions for one in found if one and one.regions is not None))


def _is_kin(one: "Labels", regions: "Labels") -> bool:
    same = all(one.metadata.get(key) == regions.metadata.get(key) for key in ("path", "threshold"))
    return one is regions or (same and regions.metadata.get("path") is not None)


def _keys(regions: "Labels") -> list[Any]:
    """Return what is the same of each image in every layer that has it: its name in the folder, if there is one."""
    count = int(np.prod(pixels_of(regions).shape[:-2]))
    sample = regions.metadata.get("sample")
    names = sample if isinstance(sample, list) else [sample] * count
    known = len(names) == count and None not in names and (count == 1 or names is sample)
    return names if known else [(regions, k) for k in range(count)]


def pixels_of(layer: "Labels") -> Any:
    """Return a layer's array, of a pyramid the finest."""
    return layer.data[0] if layer.multiscale else layer.data


def _images(part: Part, leading: tuple[int, ...]) -> list[Compared]:
    family, regions = part.family, part.family.regions
    assert regions is not None
    source = family.source if family.source is not None else regions
    empty = family.truth is not None and family.truth.metadata.get(BEGUN_EMPTY, False)
    images = []
    indices = list(np.ndindex(leading))
    for number in part.numbers:
        index = indices[number]
        about = {
            key: value[number] if isinstance(value, list) and leading else value
            for key, value in regions.metadata.items()
            if not (isinstance(value, list) and len(value) != int(np.prod(leading)))
        }
        images.append(
            Compared(
                name=about.get("sample") or f"{source.name} {list(index) if index else ''}".strip(),
                truth=family.truth,
                regions=regions,
                number=number,
                index=index,
                defect=known_kind(about.get("defect"), about.get("split")),
                masked=about.get("mask_path") is not None and not empty,
                score=float(about.get("score", np.nan)),
            )
        )
    return images
