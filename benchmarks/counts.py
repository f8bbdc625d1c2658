"""Arithmetic and memory traffic that a training step cannot do without, from the layers' shapes. Not a script."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from napari_anomaly.core.methods.knobs.autoencoder import Autoencoder

Grid = tuple[int, int, int]


@dataclass(frozen=True)
class Layer:
    """Of one layer and one image: multiply-adds, and numbers in, out and in its kernel."""

    name: str
    products: int
    inputs: int
    outputs: int
    weights: int


@dataclass(frozen=True)
class Card:
    """What a device can do: FLOP/s at some precision, bytes/s, and where the numbers are from."""

    flops: float
    bandwidth: float
    source: str


def layers(knobs: Autoencoder, grid: Grid) -> Iterator[Layer]:
    """List the layers of an autoencoder, first to last."""
    height, width, channels = grid
    side, step = (4, 2) if knobs.down == "stride" else (3, 1)
    for a, b in pairwise([channels, *knobs.widths]):
        out = height * width // step**2
        yield Layer("down", out * side**2 * a * b, height * width * a, out * b, side**2 * a * b)
        height, width = height // 2, width // 2
    small = height * width * knobs.widths[-1]
    if knobs.latent is not None:
        both = small * knobs.latent
        yield Layer("dense", both, small, knobs.latent, both)
        yield Layer("dense", both, knobs.latent, small, both)
    for a, b in pairwise([*reversed(knobs.widths), channels]):
        inputs = height * width
        yield Layer("up", inputs * 16 * a * b, inputs * a, 4 * inputs * b, 16 * a * b)
        height, width = 2 * height, 2 * width


def passes(knobs: Autoencoder, grid: Grid, batch: int, size: int) -> Iterator[tuple[int, int]]:
    """FLOPs and bytes of each layer forwards, towards its input (not of the first) and towards its weights.

    Numbers take ``size`` bytes. Activations, biases and losses are taken to ride along for nothing.
    """
    for place, one in enumerate(layers(knobs, grid)):
        flops = 2 * batch * one.products
        traffic = size * (batch * (one.inputs + one.outputs) + one.weights)
        yield from [(flops, traffic)] * (2 if place == 0 else 3)


def optimiser_bytes(knobs: Autoencoder, grid: Grid) -> int:
    """Bytes of an Adam step in float32: gradient, weight and two moments read, the last three written."""
    return 7 * 4 * sum(one.weights for one in layers(knobs, grid))


def least_seconds(knobs: Autoencoder, grid: Grid, batch: int, size: int, card: Card) -> float:
    """Roofline of one training step: each pass takes its arithmetic or its traffic, whichever is longer."""
    work = passes(knobs, grid, batch, size)
    passing = sum(max(flops / card.flops, moved / card.bandwidth) for flops, moved in work)
    return passing + optimiser_bytes(knobs, grid) / card.bandwidth


def totals(knobs: Autoencoder, grid: Grid, batch: int, size: int) -> tuple[int, int]:
    """FLOPs and bytes of one training step."""
    flops, moved = zip(*passes(knobs, grid, batch, size), strict=True)
    return sum(flops), sum(moved) + optimiser_bytes(knobs, grid)
