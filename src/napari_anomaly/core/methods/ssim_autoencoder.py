"""Autoencoder trained on structural similarity; large images are seen through sliding windows."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from napari_anomaly.core.errors import RecipeError
from napari_anomaly.core.methods.fitted import Images, Pair
from napari_anomaly.core.methods.knobs.ssim_autoencoder import SSIMAutoencoder
from napari_anomaly.core.nn.blocks import Grid, bottom
from napari_anomaly.core.nn.build import fresh, from_arrays, to_arrays
from napari_anomaly.core.nn.conv import UpConv, convolve
from napari_anomaly.core.nn.train import train
from napari_anomaly.core.residuals import structural_similarity
from napari_anomaly.core.stack import Stack
from napari_anomaly.core.types import Progress

_LAYERS = ((32, 2), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), (64, 1), (32, 1))
"""Channels and strides of Conv1 to Conv8 (Table 1): kernels of 4 where the image is halved, of 3 elsewhere."""

_HALVINGS = 4  # of them
_SLOPE = 0.2
_GREY = 0.5  # what the last layer begins with


class Network(nnx.Module):
    """The published layers: convolutions to 8 x 8 x 32, a dense code, and all of it mirrored.

    The ninth convolution takes the whole of its input (8 x 8, no padding), which is a dense layer. A transposed
    convolution of stride 1 is a convolution. Leaky ReLU everywhere but after the code and the last layer.
    """

    def __init__(self, knobs: SSIMAutoencoder, window: Grid, *, rngs: nnx.Rngs) -> None:
        layers = ((32, 2),) * (knobs.halvings - _HALVINGS) + _LAYERS
        inputs = [window[2], *(channels for channels, _ in layers[:-1])]
        ends = [(c, d, stride) for c, (d, stride) in zip(inputs, layers, strict=True)]
        height, width, _ = bottom(window, [1] * knobs.halvings)
        self.small = (height, width, layers[-1][0])
        self.window = window[:2]
        self.down = nnx.List(_layer(c, d, stride, rngs) for c, d, stride in ends)
        self.encode = nnx.Linear(int(np.prod(self.small)), knobs.latent, rngs=rngs)
        self.decode = nnx.Linear(knobs.latent, int(np.prod(self.small)), rngs=rngs)
        self.up = nnx.List(
            UpConv(d, c, rngs=rngs) if stride == 2 else _layer(d, c, 1, rngs)
            for c, d, stride in reversed(ends)
        )
        # of a negative mean SSIM is lower the better the structure: training would never come back
        self.up[-1].bias = nnx.Param(jnp.full(window[2], _GREY))

    def __call__(self, windows: Images) -> Images:
        """Reconstruct ``(n, y, x, c)`` windows in [0, 1]."""
        x = windows.astype(self.encode.kernel.dtype)
        for convolution in self.down:
            x = nnx.leaky_relu(convolve(convolution, x), _SLOPE)
        code = self.encode(x.reshape(len(x), -1))
        x = nnx.leaky_relu(self.decode(code), _SLOPE).reshape(len(x), *self.small)
        *inner, last = self.up
        for layer in inner:
            x = layer(x) if isinstance(layer, UpConv) else convolve(layer, x)
            x = nnx.leaky_relu(x, _SLOPE)
        return last(x).astype(np.float32)


def _layer(inputs: int, outputs: int, stride: int, rngs: nnx.Rngs) -> nnx.Conv:
    side, he = (4 if stride == 2 else 3), jax.nn.initializers.he_normal()
    return nnx.Conv(inputs, outputs, (side, side), (stride, stride), kernel_init=he, rngs=rngs)


def structural_loss(network: Network, images: Images, keys: Array) -> Float[Array, " n"]:
    """``1 - SSIM``, averaged over the pixels of a window that is cut from each image by its own key."""
    windows = jax.vmap(partial(cut, shape=network.window))(images, keys)
    return 1 - structural_similarity(windows, network(windows)).mean((1, 2, 3))


def cut(
    image: Float[Array, "y x c"], key: Array, *, shape: tuple[int, int]
) -> Float[Array, "v u c"]:
    """Cut a window of a shape, every place as likely."""
    if image.shape[:2] == shape:
        return image
    room = jnp.array([image.shape[0] - shape[0], image.shape[1] - shape[1]])
    y, x = jax.random.randint(key, (2,), 0, room + 1)
    return jax.lax.dynamic_slice(image, (y, x, 0), (*shape, image.shape[2]))


def slid(
    network: Callable[[Images], Images], images: Images, window: tuple[int, int], stride: int
) -> Images:
    """Reconstruct windows a stride apart, the last ones at the border, and average them where they overlap."""
    rows, columns = (
        [*range(0, length - side, stride), length - side]
        for length, side in zip(images.shape[1:3], window, strict=True)
    )
    areas = [np.s_[:, y : y + window[0], x : x + window[1]] for y, x in product(rows, columns)]
    windows = jnp.stack([images[area] for area in areas])  # (w, n, y, x, c)
    made = network(windows.reshape(-1, *windows.shape[2:])).reshape(windows.shape)
    total, count = jnp.zeros_like(images), np.zeros((1, *images.shape[1:3], 1), np.float32)
    for area, one in zip(areas, made, strict=True):
        total = total.at[area].add(one)
        count[area] += 1
    return total / count


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["weights"],
    meta_fields=["graph", "window", "stride"],
)
@dataclass(frozen=True)
class FittedSSIMAutoencoder:
    """A trained network as graph and weights, its window ``(y, x, c)``, and the windows' distance."""

    weights: nnx.State[Any, Any]
    graph: Any
    window: Grid
    stride: int

    def pairs(self, images: Images) -> tuple[Pair, ...]:
        """Reconstruct through sliding windows."""
        network: Network = nnx.merge(self.graph, self.weights)
        return (Pair(images, slid(network, images, self.window[:2], self.stride)),)

    def latent_score(self, images: Images) -> None:
        """Return None: the code is not scored."""

    def reach(self) -> None:
        """Return None: the code is of a whole window, and the windows lie where the image begins and ends."""

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return the weights by name, and the window."""
        return to_arrays(self.weights, self.window)


def window_of(knobs: SSIMAutoencoder, grid: Grid) -> Grid:
    """Return the ``(y, x, c)`` that the network takes of images of a grid.

    Raises
    ------
    RecipeError
        If a window is larger than the images, or cannot be halved as often as wanted.
    """
    if knobs.window is None:
        return grid
    if knobs.window > min(grid[:2]):
        raise RecipeError(
            f"found images of {grid[0]} x {grid[1]} pixels and windows of {knobs.window}; expected windows no larger "
            "than the images. Set window, or the size that images are resized to."
        )
    if knobs.window % 2**knobs.halvings:
        raise RecipeError(
            f"found windows of {knobs.window} pixels; {knobs.halvings} halvings need a multiple of "
            f"{2**knobs.halvings}. Set window or halvings."
        )
    return knobs.window, knobs.window, grid[2]


def fit_steps(
    knobs: SSIMAutoencoder, images: Stack, *, seed: int, budget: float | None, keeper: Any = None
) -> Generator[Progress, None, FittedSSIMAutoencoder]:
    """Train on ``(n, y, x, c)`` images in [0, 1]."""
    window = window_of(knobs, images.shape[1:])
    network = fresh(Network, knobs, window, seed)
    fitted = partial(
        FittedSSIMAutoencoder, graph=nnx.graphdef(network), window=window, stride=knobs.stride
    )
    shared: dict[str, Any] = {"seed": seed, "budget": budget, "keeper": keeper, "fitted": fitted}
    return fitted((yield from train(network, structural_loss, images, knobs.training, **shared)))


def restore(knobs: SSIMAutoencoder, arrays: Mapping[str, np.ndarray]) -> FittedSSIMAutoencoder:
    """Rebuild from :meth:`FittedSSIMAutoencoder.arrays`."""
    graph, weights, window = from_arrays(Network, knobs, arrays)
    return FittedSSIMAutoencoder(weights, graph, window, knobs.stride)
