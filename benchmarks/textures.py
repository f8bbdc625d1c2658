"""Images to measure with: made in microseconds, from a seed. Not a script."""

import os
from pathlib import Path

import numpy as np
import tifffile


def texture(seed: int, side: int, channels: int = 1) -> np.ndarray:
    """Return a uint8 image of crossing waves and noise, ``(y, x)`` or ``(y, x, c)``."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    waves = np.sin(y / 3 + rng.uniform(0, 6)) + np.sin(x / 5 + rng.uniform(0, 6))
    shape = (side, side, channels) if channels > 1 else (side, side)
    noise = rng.standard_normal(shape, dtype=np.float32)
    both = (waves[..., None] if channels > 1 else waves) * 30 + noise * 12 + 128
    return both.clip(0, 255).astype(np.uint8)


def write_folder(folder: Path, images: int, side: int, channels: int = 1) -> Path:
    """Write images as uncompressed TIFF files into ``train/good`` of a folder; return the folder."""
    place = folder / "train" / "good"
    place.mkdir(parents=True)
    for k in range(images):
        tifffile.imwrite(place / f"{k:05}.tif", texture(k, side, channels))
    return folder


def part_of(folder: Path, images: int) -> Path:
    """Return a folder beside another with the first of its images, as hard links."""
    part = folder.with_name(f"{folder.name}-{images}")
    place = part / "train" / "good"
    place.mkdir(parents=True)
    for path in sorted((folder / "train" / "good").iterdir())[:images]:
        os.link(path, place / path.name)
    return part
