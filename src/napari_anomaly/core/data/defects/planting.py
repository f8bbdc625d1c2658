"""Plant one defect into a normal image, with the exact mask of what changed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from napari_anomaly.core.data.defects.foreground import foreground_of, has_background
from napari_anomaly.core.data.defects.kinds import KINDS
from napari_anomaly.core.data.defects.masks import side_of
from napari_anomaly.core.data.defects.noise import noise_of
from napari_anomaly.core.data.defects.place import Donor, Pixels, Place, Window, somewhere
from napari_anomaly.core.errors import DataError, ImageError

TOLERANCE = 1 / 255
"""Change, in [0, 1], up to which a pixel is put back as it was: an 8-bit file could not show it."""

Inside = Bool[np.ndarray, "n n"]

_TRIES = 60
_LEAST_SEEN = 2 / 255  # a change that a screen shows, where there is no noise


@dataclass(frozen=True)
class Planting:
    """What is planted, how large, how strong and where.

    Attributes
    ----------
    kinds : tuple of str
        Names out of `KINDS`, drawn with equal chances; ``colour`` is left out on grey images.
    smallest : int
        Longest side of the smallest defects, pixels, 1 or more.
    largest : float
        Longest side of the largest defects as a share of the image's shorter side, in (0, 0.9]; never less than
        ``smallest``. Sizes between the two are drawn evenly on a logarithmic scale.
    contrast : tuple of float
        ``(low, high)`` in [0, 1]: change of the intensities, root mean square over the defect, of marks and changes of
        light and colour. Evenly on a logarithmic scale; never less than twice the normals' noise, nor than 2 / 255.
        What is cut out, blurred, moved or taken away is as strong as it comes, but no weaker than that
        (a blur, than half the noise).
    on_object : bool
        Keep off a plain background.

    Raises
    ------
    DataError
        For a value outside these.
    """

    kinds: tuple[str, ...] = tuple(KINDS)
    smallest: int = 3
    largest: float = 0.25
    contrast: tuple[float, float] = (0.0, 0.25)
    on_object: bool = True

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown or not self.kinds:
            raise DataError(
                f"found kinds of defect {', '.join(unknown) or '(none)'}; expected one or more of {', '.join(KINDS)}"
            )
        if self.smallest < 1 or not 0 < self.largest <= 0.9:
            raise DataError(
                f"found sizes from {self.smallest} px to {self.largest} of the image; expected at least 1 px, and a "
                "share of the shorter side above 0, at most 0.9"
            )
        low, high = self.contrast
        if not 0 <= low <= high <= 1 or high == 0:
            raise DataError(
                f"found contrast {self.contrast}; expected (low, high) with 0 <= low <= high <= 1, high above 0"
            )


@dataclass(frozen=True, eq=False)
class Stock:
    """What is known from normal images: pieces to cut out, whether there is a background, how noisy pixels are.

    Attributes
    ----------
    donors : tuple of Donor
    background : bool
        Whether they show an object before a plain background.
    noise : float
        Standard deviation of pixel noise, in intensities [0, 1].
    """

    donors: tuple[Donor, ...] = ()
    background: bool = False
    noise: float = 0.0

    def object_of(self, image: Pixels) -> Bool[np.ndarray, "y x"]:
        """Find the object of an image, ``(y, x)``; everything where there is no background."""
        return foreground_of(image) if self.background else np.ones(image.shape[:2], bool)


@dataclass(frozen=True, eq=False)
class Planted:
    """An image with one defect.

    Attributes
    ----------
    image : float32 array, ``(y, x, c)`` in [0, 1]
    mask : bool array, ``(y, x)``
        True exactly where some channel differs from the normal image: there by more than `TOLERANCE`, elsewhere by
        nothing.
    kind : str
        One of `KINDS`.
    """

    image: Pixels
    mask: Bool[np.ndarray, "y x"]
    kind: str


def stock_of(normals: Sequence[Pixels]) -> Stock:
    """Look at normal images.

    Parameters
    ----------
    normals : sequence of float32 arrays, ``(y, x, c)`` in [0, 1]
        They may differ in size. All are kept, to cut pieces out of: a few dozen will do.

    Returns
    -------
    Stock
    """
    if not normals:
        raise DataError("found no normal images; expected at least one")
    background = has_background(normals)
    bare = Stock(background=background)
    donors = tuple(Donor(image, bare.object_of(image)) for image in normals)
    return Stock(donors, background, float(np.median([noise_of(image) for image in normals])))


def plant(
    image: Pixels,
    rng: np.random.Generator,
    stock: Stock | None = None,
    planting: Planting | None = None,
    foreground: Bool[np.ndarray, "y x"] | None = None,
) -> Planted:
    """Plant one defect. What comes out follows from the arguments and the generator's state alone.

    Parameters
    ----------
    image : float32 array, ``(y, x, c)`` in [0, 1], c = 1 or 3
        A normal one, at least 8 pixels a side; not changed.
    rng : numpy.random.Generator
    stock : Stock, optional
        What `stock_of` found; without it pieces come from the image itself and its own noise is the limit.
    planting : Planting, optional
    foreground : bool array, ``(y, x)``, optional
        Where defects may lie, if that is known: finding the object anew takes longer than planting.

    Returns
    -------
    Planted

    Raises
    ------
    DataError
        Nothing that was tried could be told from the noise.
    ImageError
        The image is not of that form; `napari_anomaly.synthesise` takes images as they come.
    """
    if image.ndim != 3 or image.shape[2] not in (1, 3) or image.dtype.kind != "f":
        raise ImageError(
            f"found an array of shape {image.shape}, {image.dtype}; expected floats in [0, 1] of shape (y, x, 1) or "
            "(y, x, 3); divide integers by their range"
        )
    planting = Planting() if planting is None else planting
    stock = stock_of([image]) if stock is None else stock
    if foreground is None:
        everywhere = np.ones(image.shape[:2], bool)
        foreground = stock.object_of(image) if planting.on_object else everywhere
    if not foreground.any():
        raise DataError("found no place for a defect; expected some True in the foreground")
    whole = Donor(image, foreground)
    kinds = kinds_for(image, planting)
    for _ in range(_TRIES):
        kind = kinds[rng.integers(len(kinds))]
        place = _place(whole, stock, planting, rng)
        faintest = _faintest(stock.noise, kind)
        kept = _kept(place, KINDS[kind](place, rng), planting.smallest, faintest)
        if kept is not None:
            return _planted(place, *kept, kind)
    raise DataError(
        f"none of {', '.join(planting.kinds)} could be told from the noise ({stock.noise:.2g}) in {_TRIES} tries; "
        "allow other kinds, larger sizes or more contrast"
    )


def kinds_for(image: Pixels, planting: Planting) -> tuple[str, ...]:
    """Return the kinds that may be planted into an image; a grey one has no hue to change."""
    if image.shape[2] > 1:
        return planting.kinds
    grey = tuple(kind for kind in planting.kinds if kind != "colour")
    if not grey:
        raise DataError("found a grey image and the kind colour alone; expected other kinds")
    return grey


def _place(whole: Donor, stock: Stock, planting: Planting, rng: np.random.Generator) -> Place:
    """Draw where, how large and how strong."""
    short, channels = min(whole.image.shape[:2]), whole.image.shape[2]
    room = short - 5  # see side_of
    if planting.smallest > room:
        raise DataError(
            f"found an image of {whole.image.shape[0]} x {whole.image.shape[1]} pixels; expected at least "
            f"{planting.smallest + 5} a side for defects of {planting.smallest} pixels"
        )
    size = _evenly(planting.smallest, min(planting.largest * short, room), rng)
    low, high = planting.contrast
    contrast = _evenly(max(low, _faintest(stock.noise)), high, rng)
    top, left = somewhere(whole, size, rng)
    fitting = [
        donor
        for donor in stock.donors
        if donor.image.shape[2] == channels and min(donor.image.shape[:2]) >= side_of(size)
    ]
    return Place(whole, top, left, size, min(contrast, 1.0), stock.noise, fitting)


def _planted(place: Place, pixels: Window, inside: Inside, kind: str) -> Planted:
    image, mask = place.whole.image.copy(), np.zeros(place.whole.foreground.shape, bool)
    image[place.slices], mask[place.slices] = pixels, inside
    return Planted(image, mask, kind)


def _evenly(low: float, high: float, rng: np.random.Generator) -> float:
    """Draw evenly on a logarithmic scale; the lower limit goes before the upper."""
    return float(np.exp(rng.uniform(np.log(low), np.log(max(low, high)))))


def _faintest(noise: float, kind: str = "") -> float:
    """Return the least change, root mean square over the defect, that can be told from the noise.

    A blur is told by the noise that it takes away, and can change little else.
    """
    return max(_LEAST_SEEN, noise / 2 if kind == "blur" else 2 * noise)


def _kept(
    place: Place, drawn: Window, smallest: int, faintest: float
) -> tuple[Window, Inside] | None:
    """Put back what a defect may not change; None if too little is left, or it was too faint."""
    change = np.abs(drawn - place.pixels).max(axis=2)
    touched = change > TOLERANCE
    mask = touched & place.inside
    if mask.sum() <= touched.sum() / 2:
        return None
    sides = [int(np.ptp(np.flatnonzero(mask.any(axis=axis)))) + 1 for axis in (0, 1)]
    strength = float(np.sqrt(np.mean(change[mask] ** 2)))
    if not smallest <= max(sides) <= place.size or strength < faintest:
        return None
    return np.where(mask[..., None], drawn, place.pixels), mask
