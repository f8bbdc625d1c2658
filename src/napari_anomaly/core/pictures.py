"""Small pictures of images, maps and masks, to lie beside each other on a page."""

import base64
import io

import numpy as np
from jaxtyping import Bool, Float, UInt8
from matplotlib import colormaps
from PIL import Image as Pillow

from napari_anomaly.core.figures import map_limits, viewable
from napari_anomaly.core.types import AnomalyMap, Image

Picture = UInt8[np.ndarray, "rows columns 3"]

SIDE = 160
"""Longest side of a picture, pixels."""

_COLOURS = "inferno"


def photograph(image: Image) -> Picture:
    """Shrink an image ``(y, x)`` or ``(y, x, c)``, each pixel the mean of a block; grey becomes RGB."""
    seen = viewable(image)
    seen = seen[..., None] if seen.ndim == 2 else seen
    small = _blocks(seen).mean(axis=(1, 3))
    rgb = np.repeat(small, 3, axis=2) if small.shape[2] == 1 else small[..., :3]
    return np.round(255 * rgb).astype(np.uint8)


def map_picture(anomaly_map: AnomalyMap, map_threshold: float) -> Picture:
    """Shrink and colour a map, each pixel the highest of a block, so that small peaks stay.

    The colours are tied to the detector's threshold, as in `map_limits`, not to the map's own range.
    """
    small = _blocks(anomaly_map[..., None]).max(axis=(1, 3))[..., 0]
    low, high = map_limits(map_threshold)
    colours = colormaps[_COLOURS](np.clip((small - low) / (high - low), 0, 1))[..., :3]
    return np.asarray(np.round(255 * colours), np.uint8)


def mask_picture(mask: Bool[np.ndarray, "y x"]) -> Picture:
    """Shrink a mask, white where any pixel of a block is set, so that thin defects stay."""
    small = _blocks(mask[..., None].astype(np.float32)).max(axis=(1, 3))
    return np.repeat(np.round(255 * small), 3, axis=2).astype(np.uint8)


def data_uri(picture: Picture, *, lossy: bool) -> str:
    """Write a picture into an address that holds it: JPEG for photographs, PNG of 256 colours for the rest."""
    file, pillow = io.BytesIO(), Pillow.fromarray(picture)
    if lossy:
        pillow.save(file, "JPEG", quality=80, optimize=True)
    else:
        pillow.quantize(256).save(file, "PNG", optimize=True)
    kind = "jpeg" if lossy else "png"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def png_uri(png: bytes) -> str:
    """Write a drawn PNG into an address that holds it, with 256 colours."""
    return data_uri(np.asarray(Pillow.open(io.BytesIO(png)).convert("RGB")), lossy=False)


def _blocks(pixels: Float[np.ndarray, "y x c"]) -> Float[np.ndarray, "i a j b c"]:
    """Cut into equal squares, as few as keep the longest side within `SIDE`; the last ones repeat the border."""
    size = -(-max(pixels.shape[:2]) // SIDE)
    rows, columns = (-(-side // size) for side in pixels.shape[:2])
    pad = [(0, rows * size - pixels.shape[0]), (0, columns * size - pixels.shape[1]), (0, 0)]
    return np.pad(pixels, pad, "edge").reshape(rows, size, columns, size, -1)
