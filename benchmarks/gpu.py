"""Training on a GPU: the ``autoencoder-mvtec`` recipe on 209 images of 256 px, its roofline, PyTorch on the same card.

    python -m pip install --group bench
    python benchmarks/gpu.py --json gpu.json

Needs neither napari nor files: the images are random (seed 0). Without PyTorch, or where PyTorch sees no GPU, the other
numbers still come. Without a GPU everything runs on the CPU at a small size, to check the script; then no number says
anything of a GPU.

- ``ours``: whole fits of 300 epochs through ``fit_steps``, as a user's; convolutions and dense layers in bfloat16,
  weights, losses and Adam in float32. The first fit includes compilation; the later ones are quoted.
- ``torch bf16``: ``torch.compile`` of network and loss under autocast to bfloat16, the same otherwise; the modes are
  tried and the fastest one is kept. ``torch tf32``: float32 with TF32 matrix products. ``torch f32``: float32.
  Images, order and flips are on the card too. Fused Adam, channels_last.
- Roofline: FLOPs and bytes that the layers' shapes ask for at the least (``counts.py``), each pass at the card's peak
  of arithmetic or of memory, whichever takes longer. What XLA counts for the compiled gradient is printed beside it.
"""

import argparse
import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from counts import Card, least_seconds, totals
from timing import (
    Round,
    Side,
    Work,
    alternate,
    in_a_process,
    machine,
    ratio_cells,
    record,
    table,
    times,
    write,
)

from napari_anomaly.core.methods.presets import RECIPES

PEAKS = {  # dense bf16 FLOP/s and bytes/s by the makers' data sheets, by a part of the device's name
    "H200": (989e12, 4.8e12),
    "H100 PCIe": (756e12, 2.0e12),
    "H100 NVL": (835e12, 3.9e12),
    "H100": (989e12, 3.35e12),
    "A100-SXM4-80GB": (312e12, 2.04e12),
    "A100 80GB": (312e12, 1.94e12),
    "A100": (312e12, 1.56e12),
    "L40S": (362e12, 0.864e12),
    "L4": (121e12, 0.3e12),
    "RTX 4090": (165e12, 1.01e12),
}
MODES = ("default", "max-autotune-no-cudagraphs", "reduce-overhead")
_ROUND = 30  # steps of a round of PyTorch
_APART = {
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # PyTorch needs memory of the card, too
    "JAX_ENABLE_COMPILATION_CACHE": "false",  # the first fit compiles
}


def knobs_of(small: bool, epochs: int) -> Any:
    """Return the recipe's method, or a small one."""
    method = RECIPES["autoencoder-mvtec"].method
    if not small:
        return replace(method, training=replace(method.training, duration=epochs))
    training = replace(method.training, duration=epochs, batch=8)
    return replace(method, widths=(16, 32), latent=64, training=training)


def images_of(small: bool) -> np.ndarray:
    """Return normalised images ``(n, y, x, c)``."""
    shape = (24, 32, 32, 3) if small else (209, 256, 256, 3)
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def steps_per_epoch(images: np.ndarray, batch: int) -> int:
    return -(-len(images) // batch)


def prepare_ours(small: bool, epochs: int) -> Work:
    """Whole fits; their unit is an image trained on."""
    from napari_anomaly.core.progress import finished
    from napari_anomaly.core.stack import Stack

    knobs, images = knobs_of(small, epochs), images_of(small)

    def work() -> float:
        fitted = knobs.implementation().fit_steps(
            knobs, Stack.of(images), seed=0, budget=None, keeper=None
        )
        finished(fitted).arrays()  # on the host: done
        batch = knobs.training.batch
        return epochs * steps_per_epoch(images, batch) * batch

    return work


def prepare_torch(small: bool, precision: str, mode: str) -> Work:
    """Rounds of steps in PyTorch on its GPU, or on the CPU."""
    import torch
    from torch_networks import Steps, network_of, tensor_of

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_float32_matmul_precision("highest" if precision == "f32" else "high")
    torch.backends.cudnn.allow_tf32 = precision != "f32"
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    knobs, images = knobs_of(small, 300), images_of(small)
    network = network_of(knobs, images.shape[1:]).to(device)
    chosen = None if device == "cpu" else mode
    training = Steps(network, knobs.training, 900, mode=chosen, bf16=precision == "bf16")
    tensor, rng, batch = (
        tensor_of(images).to(device),
        np.random.default_rng(0),
        knobs.training.batch,
    )

    def work() -> float:
        order = rng.integers(0, len(images), (_ROUND, batch))
        training.run(tensor, order)
        return order.size

    return work


def faster_mode(small: bool, modes: list[str]) -> str:
    """Try the modes of ``torch.compile`` in bfloat16, each in a process of its own."""
    if len(modes) == 1:
        return modes[0]
    speeds = {}
    for mode in modes:
        try:
            side = Side(prepare_torch, (small, "bf16", mode))
        except EOFError:  # its process has told why
            print(f"torch.compile mode {mode}: failed")
            continue
        speeds[mode] = min(side.round().wall for _ in range(3))
        side.close()
        print(f"torch.compile mode {mode}: {1 / speeds[mode]:.0f} images/s")
    return min(speeds, key=speeds.__getitem__)


def card_of(kind: str) -> Card:
    """Return a card's peaks from the table, or measured."""
    for name, (flops, bandwidth) in PEAKS.items():
        if name in kind:
            return Card(flops, bandwidth, f"data sheet of {name}")
    return measured_card()


def measured_card() -> Card:
    """Best of a few large products and copies: what the device reaches with simple work."""
    import jax
    import jax.numpy as jnp

    on_cpu = jax.default_backend() == "cpu"
    side, kind = (2048, jnp.float32) if on_cpu else (8192, jnp.bfloat16)
    square = jnp.ones((side, side), kind)
    flat = jnp.ones(2**26 if on_cpu else 2**29, jnp.float32)
    product, copy = jax.jit(jnp.matmul), jax.jit(lambda x: x + 1)
    flops = 2 * side**3 / _fastest(lambda: product(square, square))
    moved = 2 * flat.nbytes / _fastest(lambda: copy(flat))
    return Card(flops, moved, f"measured: products of {side} x {side} {kind.__name__}, copies")


def _fastest(call: Any) -> float:
    import time

    def once() -> float:
        began = time.perf_counter()
        call().block_until_ready()
        return time.perf_counter() - began

    return min(once() for _ in range(6))


def describe(small: bool) -> dict[str, Any]:
    """Device, its peaks, and what XLA counts for the gradient of one batch."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from napari_anomaly.core.methods.autoencoder import Network, squared_error
    from napari_anomaly.core.nn.build import fresh
    from napari_anomaly.core.nn.devices import device_kind

    knobs, images = knobs_of(small, 1), images_of(small)[:1]
    batch = jnp.zeros((knobs.training.batch, *images.shape[1:]))
    graph, weights = nnx.split(fresh(Network, knobs, images.shape[1:], 0), nnx.Param)
    compute = jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16

    def mean_loss(weights: Any) -> Any:
        cast = jax.tree.map(lambda one: one.astype(compute), weights)
        keys = jax.random.split(jax.random.key(0), len(batch))
        return squared_error(nnx.merge(graph, cast), batch, keys).mean()

    found = jax.jit(jax.grad(mean_loss)).lower(weights).compile().cost_analysis() or {}
    card = card_of(device_kind())
    return {
        "device": device_kind(),
        "platform": jax.default_backend(),
        "jax": jax.__version__,
        "compute": compute.__name__,
        "card": card,
        "xla_flops": found.get("flops"),
        "xla_bytes": found.get("bytes accessed"),
    }


def torch_sees() -> str:
    """Return what PyTorch would run on: a card, the CPU, or why it does not run at all."""
    if importlib.util.find_spec("torch") is None:
        return "not installed"
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return f"{torch.__version__} on {name}"


def measure(small: bool, epochs: int, choices: argparse.Namespace) -> dict[str, Any]:
    """Time fits of ours between rounds of PyTorch in each precision."""
    sides = {"ours": Side(prepare_ours, (small, epochs), _APART)}
    first = sides["ours"].first
    mode = None
    sees = "not asked" if choices.without_torch else in_a_process(torch_sees)
    if " on " in sees and (small or not sees.endswith("cpu")):
        mode = faster_mode(small, ["default"] if small else choices.modes)
        for precision in choices.precisions if not small else ["f32"]:
            sides[f"torch {precision}"] = Side(prepare_torch, (small, precision, mode))
    return {"torch": sees, "mode": mode, "first": first, "rounds": alternate(sides, choices.rounds)}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="the CPU's small size on a GPU too")
    parser.add_argument("--without-torch", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--modes", nargs="+", default=list(MODES), help="of torch.compile to try")
    parser.add_argument("--precisions", nargs="+", default=["bf16", "tf32", "f32"])
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def rows_of(
    found: dict[str, Any], about: dict[str, Any], images: int, least: float
) -> list[list[str]]:
    """Images/s, seconds for the recipe, share of the roofline, and ours against each side of PyTorch."""
    rows = []
    ratios = dict.fromkeys(found["rounds"], "1")
    cells = ratio_cells(found["rounds"])[::3]
    ratios |= zip(list(found["rounds"])[1:], cells, strict=True)
    for name, rounds in found["rounds"].items():
        second = times(rounds)["wall"]["median"]
        told = about["platform"] != "cpu" and name in ("ours", "torch bf16")  # caches have no roof
        share = f"{least / second:.0%}" if told else "-"
        label = f"ours {about['compute']}" if name == "ours" else name
        rows.append([label, f"{1 / second:.0f}", f"{second * images:.1f}", share, ratios[name]])
    return rows


def told_of(about: dict[str, Any], knobs: Any, grid: tuple[int, int, int], size: int) -> str:
    """Say what the device can do and what a step asks of it."""
    card, batch = about["card"], knobs.training.batch
    flops, moved = totals(knobs, grid, batch, size)
    xla = [f"{about[key] / 1e9:.2f}" if about[key] else "no" for key in ("xla_flops", "xla_bytes")]
    return (
        f"{about['device']}, jax {about['jax']}, computed in {about['compute']}\n"
        f"peaks: {card.flops / 1e12:.3g} TFLOP/s, {card.bandwidth / 1e9:.3g} GB/s ({card.source})\n"
        f"a step of {batch} images: {flops / 1e9:.2f} GFLOP and {moved / 1e9:.2f} GB, counted from the layers\n"
        f"(XLA counts {xla[0]} GFLOP and {xla[1]} GB for its gradient, without Adam)"
    )


def main() -> None:
    """Measure and print."""
    choices = parse()
    about = in_a_process(describe, True)
    small = choices.small or about["platform"] == "cpu"
    if not small:
        about = in_a_process(describe, False)
    if about["platform"] == "cpu":
        print("CPU run: small size, not the goal's numbers. Nothing was measured on a GPU.")
    epochs = 10 if small else 300
    knobs, images = knobs_of(small, epochs), images_of(small)
    batch, size = knobs.training.batch, 4 if about["compute"] == "float32" else 2
    trained = epochs * steps_per_epoch(images, batch) * batch
    least = least_seconds(knobs, images.shape[1:], batch, size, about["card"]) / batch
    print(told_of(about, knobs, images.shape[1:], size))
    found = measure(small, epochs, choices)
    first: Round = found["first"]
    print(f"torch: {found['torch']}" + (f", compiled: {found['mode']}" if found["mode"] else ""))
    print(f"first fit, compilation included: {first.wall * trained:.1f} s\n")
    heads = [
        "side",
        "images/s",
        f"{epochs} epochs of {len(images)}, s",
        "of the roofline",
        "ours /",
    ]
    print(table(heads, rows_of(found, about, trained, least)))
    result = {"machine": machine(), "small": small, "about": about | {"card": vars(about["card"])}}
    result |= {"torch": found["torch"], "mode": found["mode"], "first_fit": first.wall * trained}
    write(choices.json, result | record(found["rounds"]))


if __name__ == "__main__":
    main()
