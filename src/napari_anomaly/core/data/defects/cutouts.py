"""Pieces of normal images in the wrong place: pasted, cloned without a seam, as a scar, as another texture."""

import numpy as np
from scipy import ndimage

from napari_anomaly.core.data.defects.masks import blot, box, cloud
from napari_anomaly.core.data.defects.place import Donor, Place, Window, somewhere
from napari_anomaly.core.data.defects.poisson import clone


def patch(place: Place, rng: np.random.Generator) -> Window:
    """Paste a piece of another normal image, or of this one, with a feathered edge.

    References
    ----------
    Li et al. 2021, CutPaste, https://doi.org/10.1109/CVPR46437.2021.00954
    """
    cover = _feathered(_outline(place, rng), rng)
    return _pasted(place, _jittered(_piece(place, rng), rng), cover)


def scar(place: Place, rng: np.random.Generator) -> Window:
    """Paste a thin, turned strip from elsewhere in the same image, its brightness changed a little.

    References
    ----------
    Li et al. 2021, CutPaste, https://doi.org/10.1109/CVPR46437.2021.00954
    """
    cover = box(place.size, rng, aspect=(0.06, 0.25))
    return _pasted(place, _jittered(_cut(place.whole, place, rng), rng), cover)


def seamless(place: Place, rng: np.random.Generator) -> Window:
    """Clone a piece of another normal image, or of this one, so that its edge takes the colours around it.

    References
    ----------
    Schlueter et al. 2022, Natural synthetic anomalies, https://doi.org/10.1007/978-3-031-19821-2_27
    """
    mask = (_outline(place, rng) > 0.5) & place.inside
    piece = _turned(_piece(place, rng), rng)
    cloned = clone(place.pixels, piece, mask, mixed=bool(rng.random() < 0.5))
    return np.asarray(np.clip(cloned, 0, 1))


def texture(place: Place, rng: np.random.Generator) -> Window:
    """Let another texture shine through a ragged patch: a piece of a normal image, inverted, faded or coarser.

    References
    ----------
    Zavrtanik et al. 2021, DRAEM, https://doi.org/10.1109/ICCV48922.2021.00822
    """
    piece = _turned(_piece(place, rng), rng)
    if rng.random() < 0.5:
        piece = ndimage.zoom(piece, (2, 2, 1), order=1)[: len(piece), : len(piece)]
    piece = _jittered(1 - piece if rng.random() < 0.5 else piece, rng, shift=0.2)
    return _pasted(place, piece, cloud(place.size, rng) * np.float32(rng.uniform(0.4, 1)))


def _pasted(place: Place, piece: np.ndarray, cover: np.ndarray) -> Window:
    mixed = place.pixels + cover[..., None] * (piece - place.pixels)
    return np.asarray(np.clip(mixed, 0, 1), np.float32)


def _outline(place: Place, rng: np.random.Generator) -> np.ndarray:
    return blot(place.size, rng) if rng.random() < 0.5 else box(place.size, rng)


def _piece(place: Place, rng: np.random.Generator) -> Window:
    """Cut a window out of one of the other images, or of this one if there is none."""
    donors = place.donors or (place.whole,)
    return _cut(donors[int(rng.integers(len(donors)))], place, rng)


def _cut(donor: Donor, place: Place, rng: np.random.Generator) -> Window:
    top, left = somewhere(donor, place.size, rng)
    n = len(place.pixels)
    return donor.image[top : top + n, left : left + n]


def _turned(piece: Window, rng: np.random.Generator) -> Window:
    turned = np.rot90(piece, int(rng.integers(4)))
    return np.asarray(turned[:, ::-1] if rng.random() < 0.5 else turned)


def _jittered(piece: Window, rng: np.random.Generator, shift: float = 0.06) -> np.ndarray:
    """Change brightness, by so much at most, and contrast a little."""
    mean = piece.mean(axis=(0, 1))
    return np.asarray(mean + rng.uniform(0.8, 1.2) * (piece - mean) + rng.uniform(-shift, shift))


def _feathered(cover: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Let the cover rise over several pixels, inside its shape."""
    deep = ndimage.distance_transform_edt(cover > 0.5)
    ramp = rng.uniform(1, max(1.01, deep.max() / 3))
    return np.asarray(cover * np.clip(deep / ramp, 0, 1), np.float32)
