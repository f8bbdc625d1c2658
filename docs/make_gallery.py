"""Make the gallery of planted defects, from pictures the package draws itself.

Run ``python docs/make_gallery.py``; writes ``docs/images/defects.png``. Each kind is shown on a welded plate and on a
washer before a plain background, cut out around the defect, with its exact mask outlined below.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from napari_anomaly.core.data.defects.kinds import KINDS
from napari_anomaly.core.data.defects.planting import Planted, Planting, Stock, plant, stock_of
from napari_anomaly.core.data.rendering import drift, lit, photograph, streaks
from napari_anomaly.core.data.synthetic import plate
from napari_anomaly.core.preprocess import to_unit

SHAPE = (256, 256)
CUT = 100  # pixels of a picture
COLUMNS = 7
SEEDS = {
    "plate": {"colour": 2, "missing": 2, "scar": 1},
    "washer": {"twist": 1, "scar": 1, "seamless": 1},
}
"""Other seeds than 0, for kinds whose first defect shows little."""


def washer(seed: int) -> np.ndarray:
    """Photograph a turned steel washer lying on a bright table."""
    rng = np.random.default_rng((seed, 9))
    y, x = np.indices(SHAPE) - 127.5 + rng.uniform(-6, 6, (2, 1, 1))
    far, bearing = np.hypot(y, x), np.arctan2(y, x)
    there = np.clip(np.minimum(far - 42, 104 - far), 0, 1)
    turned = ndimage.map_coordinates(
        streaks(rng, (256, 64), (0.8, 20)), (far, 10.2 * (bearing + np.pi)), mode="wrap"
    )
    height = 6 * np.clip(np.minimum(far - 42, 104 - far) / 7, 0, 1) + 0.12 * turned
    diffuse, highlight = lit(ndimage.gaussian_filter(height, 0.7), (-0.5, -0.4, 1.0), gloss=12)
    sheen = 0.12 * np.cos(2 * bearing + 0.6) ** 2
    metal = (0.14 + 0.38 * diffuse + 0.10 * highlight + sheen)[..., None] * (1.0, 0.98, 0.95)
    shade = ndimage.shift(ndimage.gaussian_filter(there, 6), (5, 5), mode="nearest")
    table = (0.86 + 0.01 * drift(rng, SHAPE) - 0.18 * shade)[..., None] * (1.0, 0.99, 0.96)
    return photograph(rng, table + there[..., None] * (metal - table), 0.008)


def shown(planted: Planted) -> np.ndarray:
    """Cut out around the defect, the same with an outline below."""
    rows, columns = np.nonzero(planted.mask)
    y, x = (
        int(np.clip((at.min() + at.max()) // 2 - CUT // 2, 0, side - CUT))
        for at, side in ((rows, SHAPE[0]), (columns, SHAPE[1]))
    )
    window = np.s_[y : y + CUT, x : x + CUT]
    picture = np.round(255 * planted.image[window]).astype(np.uint8)
    grown = ndimage.binary_dilation(planted.mask[window], iterations=3)
    outline = grown & ~ndimage.binary_erosion(grown)
    below = picture.copy()
    below[outline] = (0, 230, 230)
    return np.concatenate([picture, below])


def tile(image: np.ndarray, stock: Stock, kind: str, seed: int) -> np.ndarray:
    """Plant a defect that is large enough to see in a small picture."""
    settings = Planting(kinds=(kind,), smallest=24, largest=0.18, contrast=(0.06, 0.11))
    rng = np.random.default_rng((seed, *kind.encode()))
    return shown(plant(to_unit(image), rng, stock, settings))


def main() -> None:
    """Plant, and lay everything out."""
    drawn = {
        "plate": [plate(seed, SHAPE) for seed in range(8)],
        "washer": [washer(seed) for seed in range(8)],
    }
    gap, head = 4, 14
    wide, high = CUT + gap, 2 * CUT + gap
    rows = -(-len(KINDS) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * wide - gap, rows * (2 * high + head)), "white")
    pen = ImageDraw.Draw(sheet)
    for at, (name, images) in enumerate(drawn.items()):
        stock = stock_of([to_unit(image) for image in images])
        for k, kind in enumerate(KINDS):
            row, column = divmod(k, COLUMNS)
            corner = (column * wide, row * (2 * high + head) + head + at * high)
            picture = tile(images[k % 8], stock, kind, SEEDS[name].get(kind, 0))
            sheet.paste(Image.fromarray(picture), corner)
            pen.text((corner[0] + 2, corner[1] - head + 1), kind if at == 0 else "", fill="black")
    path = Path(__file__).parent / "images" / "defects.png"
    sheet.quantize(112, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
