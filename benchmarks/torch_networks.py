"""The networks, losses and training step of this package in PyTorch, to measure against. Not a script.

The same layers, paddings, slopes, losses, Adam, schedule, clipping and averaged weights as ``core/nn`` and
``core/methods``; ``tests/benchmarks/test_torch_parity.py`` checks outputs and losses against ours, weights being equal.
PyTorch's best settings as measured: channels_last, fused Adam, activations in place, a flattening that needs no copy,
and ``torch.compile`` where it is faster: not on the CPUs we tried (``training.py --sides torch torch-compiled``).
"""

import copy
import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_anomaly.core.methods.knobs.autoencoder import Autoencoder
from napari_anomaly.core.methods.knobs.shared import Training
from napari_anomaly.core.methods.knobs.vae import VAE

Grid = tuple[int, int, int]
_SLOPE = 0.1


class Encoder(nn.Module):
    """A convolution per level that halves the image; an optional dense layer to ``outputs`` numbers."""

    def __init__(self, knobs: Any, grid: Grid, outputs: int | None) -> None:
        super().__init__()
        side, stride = (4, 2) if knobs.down == "stride" else (3, 1)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, side, stride, padding=1) for a, b in pairwise([grid[2], *knobs.widths])
        )
        self.pool = knobs.down == "pool"
        small = math.prod(_bottom(grid, knobs.widths))
        self.dense = None if outputs is None else nn.Linear(small, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Images ``(n, c, y, x)`` to codes ``(n, outputs)``, or ``(n, c', y', x')`` without a dense layer."""
        for convolution in self.convolutions:
            x = convolution(x)
            if self.pool:
                x = functional.max_pool2d(
                    x, 2
                )  # before the activation, which keeps the order: a quarter of its work
            x = functional.leaky_relu(x, _SLOPE, inplace=True)
        return x if self.dense is None else self.dense(x.permute(0, 2, 3, 1).flatten(1))


class Decoder(nn.Module):
    """The encoder mirrored: an optional dense layer from ``inputs``, then a transposed convolution per level."""

    def __init__(self, knobs: Any, grid: Grid, inputs: int | None) -> None:
        super().__init__()
        self.small = _bottom(grid, knobs.widths)
        self.dense = None if inputs is None else nn.Linear(inputs, math.prod(self.small))
        ends = [*reversed(knobs.widths), grid[2]]
        self.convolutions = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 4, 2, padding=1) for a, b in pairwise(ends)
        )

    def forward(self, code: Tensor) -> Tensor:
        """Codes to images ``(n, c, y, x)``; the last layer is linear."""
        x = code
        if self.dense is not None:
            x = functional.leaky_relu(self.dense(x), _SLOPE, inplace=True)
            x = x.view(-1, *self.small).permute(0, 3, 1, 2)  # channels_last in memory already
        for convolution in self.convolutions[:-1]:
            x = functional.leaky_relu(convolution(x), _SLOPE, inplace=True)
        return self.convolutions[-1](x)


def _bottom(grid: Grid, widths: tuple[int, ...]) -> Grid:
    factor = 2 ** len(widths)
    return grid[0] // factor, grid[1] // factor, widths[-1]


class AutoencoderNetwork(nn.Module):
    """Encoder and decoder with a mean squared error."""

    def __init__(self, knobs: Autoencoder, grid: Grid) -> None:
        super().__init__()
        self.encoder = Encoder(knobs, grid, knobs.latent)
        self.decoder = Decoder(knobs, grid, knobs.latent)

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruct ``(n, c, y, x)`` normalised images."""
        return self.decoder(self.encoder(images))

    def losses(self, images: Tensor, noise: Tensor | None) -> Tensor:
        """Mean squared error of each image."""
        return ((self(images) - images) ** 2).mean((1, 2, 3))

    def noise(self, batch: int) -> None:
        """Return None: nothing is drawn."""


class VAENetwork(nn.Module):
    """Encoder to mean and log-variance, decoder from a sample, negative evidence lower bound."""

    def __init__(self, knobs: VAE, grid: Grid) -> None:
        super().__init__()
        self.encoder = Encoder(knobs, grid, 2 * knobs.latent)
        self.decoder = Decoder(knobs, grid, knobs.latent)
        self.latent, self.beta, self.values = knobs.latent, knobs.beta, math.prod(grid)

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruct from the mean of q(z | x)."""
        return self.decoder(self.encoder(images).chunk(2, -1)[0])

    def losses(self, images: Tensor, noise: Tensor) -> Tensor:
        """Negative evidence lower bound of each image, divided by its number of values."""
        mean, log_variance = self.encoder(images).chunk(2, -1)
        z = mean + torch.exp(0.5 * log_variance) * noise
        reconstruction = 0.5 * ((self.decoder(z) - images) ** 2).sum((1, 2, 3))
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1)
        return (reconstruction + self.beta * divergence) / self.values

    def noise(self, batch: int) -> Tensor:
        """Draw standard normal numbers for a batch, on the network's device."""
        return torch.randn(batch, self.latent, device=self.encoder.dense.weight.device)


Network = AutoencoderNetwork | VAENetwork


def network_of(knobs: Autoencoder | VAE, grid: Grid) -> Network:
    """Return the network of a method's knobs, channels_last."""
    made = VAENetwork(knobs, grid) if isinstance(knobs, VAE) else AutoencoderNetwork(knobs, grid)
    return made.to(memory_format=torch.channels_last)


def take_weights(network: Network, arrays: Mapping[str, np.ndarray]) -> None:
    """Set the weights to ours, by the names that ``core.nn.build.to_arrays`` gives."""
    ours = {name: one for name, one in arrays.items() if name not in ("grid", "kl")}
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            array = ours.pop(name.replace("weight", "kernel"))
            parameter.copy_(_their_order(name, array))
    if ours:
        raise ValueError(f"found weights {sorted(ours)}; expected none beyond those of {network}")


def _their_order(name: str, array: np.ndarray) -> Tensor:
    """``(y, x, in, out)`` to ``(out, in, y, x)``, or ``(in, out, y, x)`` of a transposed convolution."""
    ours = torch.tensor(array)
    if ours.ndim == 4:
        return ours.permute((2, 3, 0, 1) if name.startswith("decoder") else (3, 2, 0, 1))
    return ours.T if ours.ndim == 2 else ours


def tensor_of(images: np.ndarray) -> Tensor:
    """``(n, y, x, c)`` to ``(n, c, y, x)`` with the same memory: channels_last."""
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def array_of(images: Tensor) -> np.ndarray:
    """``(n, c, y, x)`` to ``(n, y, x, c)``."""
    return images.detach().permute(0, 2, 3, 1).cpu().numpy()


class Steps:
    """A training step as ours: Adam with the recipe's schedule, clipped gradients, averaged weights.

    ``mode`` is that of ``torch.compile``, None leaves it out; ``bf16`` computes in bfloat16 by autocast, with
    weights and losses in float32.
    """

    def __init__(
        self,
        network: Network,
        knobs: Training,
        total: int,
        *,
        mode: str | None = None,
        bf16: bool = False,
    ) -> None:
        self.network, self.knobs, self.total, self.done = network, knobs, total, 0
        self.weights = list(network.parameters())
        self.mean = [weight.detach().clone() for weight in self.weights]
        self.adam = torch.optim.Adam(self.weights, lr=knobs.learning_rate, fused=True)
        self.losses = network.losses if mode is None else torch.compile(network.losses, mode=mode)
        self.compiled, self.bf16 = mode is not None, bf16

    def step(self, batch: Tensor, noise: Tensor | None = None) -> Tensor:
        """Take one step on ``(b, c, y, x)`` images; return the ``(b,)`` losses before it."""
        noise = self.network.noise(len(batch)) if noise is None else noise
        if self.compiled:
            torch.compiler.cudagraph_mark_step_begin()
        with torch.autocast(batch.device.type, torch.bfloat16, enabled=self.bf16):
            losses = self.losses(batch, noise)
        losses.mean().backward()
        if self.knobs.clip is not None:
            nn.utils.clip_grad_norm_(self.weights, self.knobs.clip, foreach=True)
        self.adam.param_groups[0]["lr"] = rate(self.knobs, self.total, self.done)
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        self._average()
        self.done += 1
        return losses.detach()

    def averaged(self) -> Network:
        """Return a copy of the network with the weights that a fit keeps."""
        kept = copy.deepcopy(self.network)
        if self.knobs.average > 0:
            with torch.no_grad():
                for weight, mean in zip(kept.parameters(), self.mean, strict=True):
                    weight.copy_(mean)
        return kept

    def _average(self) -> None:
        if self.knobs.average > 0:  # otherwise the last weights are kept, and nothing needs doing
            decay = min(self.knobs.average, (1 + self.done) / (10 + self.done))
            with torch.no_grad():
                torch._foreach_lerp_(self.mean, self.weights, 1 - decay)

    def run(self, images: Tensor, order: np.ndarray) -> float:
        """Take a step for each row of ``order`` ``(steps, b)``; return the last mean loss."""
        for chosen in torch.from_numpy(order).to(images.device):
            batch = images[chosen]
            if self.knobs.flip:
                mirrored = torch.rand(len(batch), 1, 1, 1, device=batch.device) < 0.5
                batch = torch.where(mirrored, batch.flip(3), batch)
            losses = self.step(batch.contiguous(memory_format=torch.channels_last))
        return float(losses.mean())


def rate(knobs: Training, total: int, step: int) -> float:
    """Learning rate of a step: optax's ``warmup_cosine_decay_schedule`` in plain numbers."""
    if knobs.schedule == "constant":
        return knobs.learning_rate
    warm = min(50, total // 10)
    if step < warm:
        return knobs.learning_rate * step / warm
    share = min(1.0, (step - warm) / (max(total, warm + 1) - warm))
    return knobs.learning_rate * 0.5 * (1 + math.cos(math.pi * share))
