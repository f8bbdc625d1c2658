"""Variational autoencoder: a Gaussian latent, the evidence lower bound as loss and, if wanted, as map and score."""

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from napari_anomaly.core.methods.fitted import Images, Pair, expect
from napari_anomaly.core.methods.knobs.vae import VAE
from napari_anomaly.core.methods.strangeness import restored, smooth_gradient
from napari_anomaly.core.nn.blocks import Decoder, Encoder, Grid
from napari_anomaly.core.nn.build import fresh, from_arrays, to_arrays
from napari_anomaly.core.nn.steps import Jointly, over_batch
from napari_anomaly.core.nn.train import train
from napari_anomaly.core.stack import Stack
from napari_anomaly.core.types import Progress

Latent = Float[Array, "n latent"]

_CHUNK = 32  # images encoded at once
_LEAST = (
    -12.0
)  # log-variance, as Rybkin et al.'s code: an image that is learned by heart must not stop training


class Network(nnx.Module):
    """Encoder to mean and log-variance, decoder from a sample; where wanted, to log-variances of pixels too."""

    def __init__(self, knobs: VAE, grid: Grid, *, rngs: nnx.Rngs) -> None:
        self.encoder = Encoder(grid, knobs.widths, knobs.down, 2 * knobs.latent, rngs=rngs)
        self.pixel = knobs.variance == "pixel"
        made = (*grid[:2], 2 * grid[2]) if self.pixel else grid
        self.decoder = Decoder(made, knobs.widths, knobs.latent, rngs=rngs)
        self.beta = knobs.beta

    def encode(self, images: Images) -> tuple[Latent, Latent]:
        """Mean and log-variance of q(z | x)."""
        mean, log_variance = jnp.split(self.encoder(images).astype(jnp.float32), 2, axis=-1)
        return mean, log_variance

    def decode(self, z: Latent) -> tuple[Images, Array]:
        """Mean ``(n, y, x, c)`` and log-variance of p(x | z), the latter of each pixel, or 0."""
        made = self.decoder(z)
        if not self.pixel:
            return made, jnp.zeros(())
        mean, raw = jnp.split(made, 2, axis=-1)
        return mean, bounded(raw)


def bounded(log_variance: Array) -> Array:
    """Keep log-variances above -12, smoothly (Rybkin et al. 2021: ``log sigma > -6``)."""
    return _LEAST + jax.nn.softplus(log_variance - _LEAST)


def divergence(mean: Latent, log_variance: Latent) -> Float[Array, " n"]:
    """``KL(N(mean, exp(log_variance)) || N(0, 1))``, summed over the latent (Kingma and Welling, appendix B)."""
    return 0.5 * (mean**2 + jnp.exp(log_variance) - 1 - log_variance).sum(-1)


def surprise(images: Images, mean: Images, log_variance: Array) -> Float[Array, " n"]:
    """``-log N(x; mean, exp(log_variance))`` summed over pixels and channels, without log 2 pi / 2 for each."""
    return (0.5 * ((images - mean) ** 2 * jnp.exp(-log_variance) + log_variance)).sum((1, 2, 3))


def negative_elbo(network: Network, images: Images, keys: Array) -> Float[Array, " n"]:
    """Negative evidence lower bound of each image, divided by its number of values.

    The division changes no minimum; it keeps the loss comparable between image sizes. A unit-variance Gaussian
    decoder makes the reconstruction term half the summed squared error, up to a constant.
    """
    (made, log_variance), kl = _sampled(network, images, keys)
    return (surprise(images, made, log_variance) + network.beta * kl) / np.prod(images.shape[1:])


def calibrated_elbo(
    network: Network, images: Images, keys: Array, share: Float[Array, " n"]
) -> Float[Array, " n"]:
    """Negative evidence lower bound for the variance that suits the whole batch best: its mean squared error.

    References
    ----------
    Rybkin et al. 2021, arXiv:2006.13202 (optimal sigma-VAE).
    """
    (made, _), kl = _sampled(network, images, keys)
    error = over_batch(((images - made) ** 2).mean((1, 2, 3)), share)
    log_variance = bounded(jnp.log(error))
    return (surprise(images, made, log_variance) + network.beta * kl) / np.prod(images.shape[1:])


def _sampled(
    network: Network, images: Images, keys: Array
) -> tuple[tuple[Images, Array], Float[Array, " n"]]:
    """What is decoded from a sample of q(z | x), and the KL term."""
    mean, log_variance = network.encode(images)
    z = mean + jnp.exp(0.5 * log_variance) * _noise(keys, mean.shape[1])
    return network.decode(z), divergence(mean, log_variance)


def _noise(keys: Array, size: int) -> Latent:
    """Draw standard normal numbers, each image's by its own key."""
    return jax.vmap(lambda key: jax.random.normal(key, (size,)))(keys)


class Seen(NamedTuple):
    """What the training images showed.

    Attributes
    ----------
    span : scalar
        Highest less lowest normalised intensity.
    variance : scalar
        Of the decoder: 1, or the mean squared error where it is learned.
    """

    span: Float[Array, ""]
    variance: Float[Array, ""]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["weights", "seen"],
    meta_fields=["graph", "grid", "knobs"],
)
@dataclass(frozen=True)
class FittedVAE:
    """A trained network, what it made of the training images, and how it is asked."""

    weights: nnx.State[Any, Any]
    seen: Seen
    graph: Any
    grid: Grid
    knobs: VAE

    @property
    def network(self) -> Network:
        """Graph and weights together."""
        network: Network = nnx.merge(self.graph, self.weights)
        return network

    def pairs(self, images: Images) -> tuple[Pair, ...]:
        """Decode the mean of q(z | x), or restore: no randomness when inspecting."""
        if self.knobs.map == "restoration":
            return (Pair(images, self._restored(images)),)
        network = self.network
        made, log_variance = network.decode(network.encode(images)[0])
        weight = jnp.exp(-0.5 * log_variance) if network.pixel else None
        if self.knobs.map == "kl-gradient":
            weight = smooth_gradient(
                lambda some: divergence(*network.encode(some)), images, self.seen.span
            )
        return (Pair(images, made, weight),)

    def _restored(self, images: Images) -> Images:
        """Restore with intensities that span 1.

        There, the training's loss is ``|x - r(x)|^2 / 2 + beta v / span^2 KL`` but for a factor and a constant, with
        v the decoder's variance.
        """
        network, span = self.network, self.seen.span

        def reconstruct(some: Images) -> Images:
            return network.decode(network.encode(some * span)[0])[0] / span

        def energy(some: Images) -> Float[Array, " n"]:
            error = 0.5 * ((some - reconstruct(some)) ** 2).sum((1, 2, 3))
            kl = divergence(*network.encode(some * span))
            return error + network.beta * self.seen.variance / span**2 * kl

        result: Images = restored(energy, reconstruct, images / span, self.knobs.rounds) * span
        return result

    def encode(self, images: Images) -> Latent:
        """Return the mean of q(z | x)."""
        return self.network.encode(images)[0]

    def latent_score(self, images: Images) -> Float[Array, " n"]:
        """Return the KL term."""
        return divergence(*self.network.encode(images))

    def reach(self) -> None:
        """Return None: the latent is of the whole image."""

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return the weights by name, the grid, and what the training images showed."""
        seen = {name: np.asarray(one) for name, one in self.seen._asdict().items()}
        return to_arrays(self.weights, self.grid) | seen


def fit_steps(
    knobs: VAE, images: Stack, *, seed: int, budget: float | None, keeper: Any = None
) -> Generator[Progress, None, FittedVAE]:
    """Train on ``(n, y, x, c)`` normalised images."""
    grid: Grid = images.shape[1:]
    network = fresh(Network, knobs, grid, seed)
    loss = Jointly(calibrated_elbo) if knobs.variance == "shared" else negative_elbo
    graph = nnx.graphdef(network)
    # what the images showed is known at the end, and only other maps need it
    unseen, plain = (
        Seen(*jax.device_put((np.float32(1), np.float32(1)))),
        replace(knobs, map="residual"),
    )
    shared: dict[str, Any] = {"seed": seed, "budget": budget, "keeper": keeper}
    shared["fitted"] = lambda weights: FittedVAE(weights, unseen, graph, grid, plain)
    weights = yield from train(network, loss, images, knobs.training, **shared)
    return FittedVAE(weights, _seen(graph, weights, images, knobs), graph, grid, knobs)


def restore(knobs: VAE, arrays: Mapping[str, np.ndarray]) -> FittedVAE:
    """Rebuild from :meth:`FittedVAE.arrays`."""
    shapes: dict[str, tuple[int | None, ...]] = {"span": (), "variance": ()}
    others = {name: one for name, one in arrays.items() if name not in shapes}
    own = expect({name: one for name, one in arrays.items() if name in shapes}, shapes)
    graph, weights, grid = from_arrays(Network, knobs, others)
    seen = Seen(**jax.device_put(dict(own)))
    return FittedVAE(weights, seen, graph, grid, knobs)


def _seen(graph: Any, weights: nnx.State[Any, Any], images: Stack, knobs: VAE) -> Seen:
    """Look at the training images again, chunk by chunk; they are rebuilt only for a variance that is learned."""
    chunks = [range(len(images))[k : k + _CHUNK] for k in range(0, len(images), _CHUNK)]
    low, high, each = np.inf, -np.inf, []
    learns = knobs.variance != "unit"
    with closing(images.batches(chunks)) as batches:
        for one in batches:
            low, high = min(low, one.min()), max(high, one.max())
            if learns:
                each.append(np.asarray(_errors(graph, weights, one)))
    variance = max(np.concatenate(each).mean(), 1e-12) if learns else 1.0
    learned = [np.array(one, np.float32) for one in (max(high - low, 1e-6), variance)]
    return Seen(*jax.device_put(learned))


@partial(jax.jit, static_argnames="graph")
def _errors(graph: Any, weights: nnx.State[Any, Any], images: Images) -> Float[Array, " n"]:
    """Mean squared error of each image."""
    network: Network = nnx.merge(graph, weights)
    made = network.decode(network.encode(images)[0])[0]
    return ((made - images) ** 2).mean((1, 2, 3))
