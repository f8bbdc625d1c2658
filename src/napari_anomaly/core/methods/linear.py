"""Linear autoencoders in closed form: principal components of patches, or of whole images.

Reconstructing every patch from its components and averaging the overlaps is one linear filter: the mean over the
components of their autocorrelations, plus a constant. Scoring is that one convolution per scale.
"""

import dataclasses
import math
from collections.abc import Generator, Mapping
from contextlib import closing
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from napari_anomaly.core.errors import TrainingError
from napari_anomaly.core.methods.fitted import Images, Pair, Reach, expect
from napari_anomaly.core.methods.knobs.linear import Linear
from napari_anomaly.core.stack import Stack
from napari_anomaly.core.threads import first_alone, in_order
from napari_anomaly.core.types import Progress

_BLOCK = 2**27  # bytes of centred images, of which whole-image components hold two such blocks


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["filters", "offsets"],
    meta_fields=["scales", "patch"],
)
@dataclasses.dataclass(frozen=True)
class PatchPCA:
    """Fitted patch components: per scale a filter ``(2p-1, 2p-1, c, c)`` and an offset ``(c,)``."""

    filters: tuple[Float[Array, "ky kx c c"], ...]
    offsets: tuple[Float[Array, " c"], ...]
    scales: tuple[int, ...]
    patch: int

    def pairs(self, images: Images) -> tuple[Pair, ...]:
        """Reconstruct at each scale."""
        return tuple(
            Pair(small, _filtered(small, kernel, offset, self.patch))
            for scale, kernel, offset in zip(self.scales, self.filters, self.offsets, strict=True)
            for small in [shrink(images, scale)]
        )

    def latent_score(self, images: Images) -> None:
        """Return None: the components are not scored."""

    def reach(self) -> tuple[Reach, ...]:
        """A patch on every side, at each scale."""
        return tuple(Reach(scale, self.patch - 1, scale) for scale in self.scales)

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return filters and offsets by scale."""
        named = {
            f"filter.{s}": np.asarray(k) for s, k in zip(self.scales, self.filters, strict=True)
        }
        return named | {
            f"offset.{s}": np.asarray(b) for s, b in zip(self.scales, self.offsets, strict=True)
        }


@partial(jax.tree_util.register_dataclass, data_fields=["mean", "components"], meta_fields=[])
@dataclasses.dataclass(frozen=True)
class ImagePCA:
    """Fitted whole-image components: ``mean`` ``(y, x, c)`` and orthonormal ``components`` ``(k, y, x, c)``."""

    mean: Float[Array, "y x c"]
    components: Float[Array, "k y x c"]

    def pairs(self, images: Images) -> tuple[Pair, ...]:
        """Project onto the components and back."""
        return (Pair(images, self.mean + jnp.tensordot(self.encode(images), self.components, 1)),)

    def encode(self, images: Images) -> Float[Array, "n k"]:
        """Project onto the components."""
        return jnp.tensordot(images - self.mean, self.components, ((1, 2, 3), (1, 2, 3)))

    def latent_score(self, images: Images) -> None:
        """Return None: the components are not scored."""

    def reach(self) -> None:
        """Return None: the components are as large as the image."""

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return mean and components."""
        return {"mean": np.asarray(self.mean), "components": np.asarray(self.components)}


def fit_steps(
    knobs: Linear, images: Stack, *, seed: int, budget: float | None, keeper: Any = None
) -> Generator[Progress, None, PatchPCA | ImagePCA]:
    """Fit to normalised images; deterministic, so ``seed`` and ``budget`` change nothing."""
    if knobs.support == "image":
        return (yield from _fit_images(knobs, images))
    _, height, width, channels = images.shape
    if min(height, width) // max(knobs.scales) < knobs.patch:
        raise TrainingError(
            f"found images of {height} x {width} pixels, {max(knobs.scales)} times smaller at the "
            f"coarsest scale; expected room for one patch of {knobs.patch}. Take fewer scales or larger images."
        )
    if knobs.components >= (values := knobs.patch**2 * channels):
        raise TrainingError(
            f"found {knobs.components} components for patches of {values} values; expected fewer, or every defect is "
            "reconstructed as well. Lower components."
        )
    moments = yield from _patch_moments(knobs, images)
    solved = [_reconstruction_filter(mean, covariance, knobs) for mean, covariance in moments]
    filters, offsets = zip(*solved, strict=True)
    return PatchPCA(
        tuple(map(jnp.asarray, filters)),
        tuple(map(jnp.asarray, offsets)),
        knobs.scales,
        knobs.patch,
    )


def restore(knobs: Linear, arrays: Mapping[str, np.ndarray]) -> PatchPCA | ImagePCA:
    """Rebuild from :meth:`PatchPCA.arrays` or :meth:`ImagePCA.arrays`."""
    if knobs.support == "image":
        expect(arrays, {"mean": (None,) * 3, "components": (None,) * 4})
        expect(arrays, {"mean": (None,) * 3, "components": (None, *arrays["mean"].shape)})
        return ImagePCA(*jax.device_put((arrays["mean"], arrays["components"])))
    expect(arrays, _shapes(knobs, None))
    expect(arrays, _shapes(knobs, len(arrays[f"offset.{knobs.scales[0]}"])))
    placed = jax.device_put(arrays)  # jnp.asarray would compile a copy for each shape
    filters = tuple(placed[f"filter.{scale}"] for scale in knobs.scales)
    offsets = tuple(placed[f"offset.{scale}"] for scale in knobs.scales)
    return PatchPCA(filters, offsets, knobs.scales, knobs.patch)


def _shapes(knobs: Linear, channels: int | None) -> dict[str, tuple[int | None, ...]]:
    reach = 2 * knobs.patch - 1
    filters = {f"filter.{scale}": (reach, reach, channels, channels) for scale in knobs.scales}
    return filters | {f"offset.{scale}": (channels,) for scale in knobs.scales}


def shrink(images: Images, scale: int) -> Float[Array, "n small_y small_x c"]:
    """Mean over blocks of ``scale`` x ``scale`` pixels; last rows and columns repeated where it does not divide."""
    if scale == 1:
        return images
    height, width = images.shape[1:3]
    images = jnp.pad(
        images, ((0, 0), (0, -height % scale), (0, -width % scale), (0, 0)), mode="edge"
    )
    n, height, width, c = images.shape
    blocks = images.reshape(n, height // scale, scale, width // scale, scale, c)
    return blocks.mean((2, 4))


def _patch_moments(
    knobs: Linear, images: Stack
) -> Generator[Progress, None, list[tuple[np.ndarray, np.ndarray]]]:
    """Per scale mean ``(d,)`` and covariance ``(d, d)`` of patches, d = patch * patch * c: one pass over the images.

    Threads cut up one image each; what they add to has a size of its own, whatever the number of images.
    """
    n, height, width, channels = images.shape
    depth = knobs.patch**2 * channels
    totals = [(np.zeros(depth), np.zeros((depth, depth))) for _ in knobs.scales]

    def sums(k: int) -> list[tuple[np.ndarray, ...]]:
        image = jnp.asarray(images.take([k])[0])
        of_scales = [_patch_sums(image, scale, knobs.patch) for scale in knobs.scales]
        return [tuple(map(np.asarray, one)) for one in of_scales]

    with closing(in_order(first_alone(sums), range(n))) as results:
        for done, of_scales in enumerate(results, 1):
            for (first, second), (one, products) in zip(totals, of_scales, strict=True):
                np.add(first, one, out=first)
                np.add(second, products, out=second)
            yield Progress("training", done, n)
    counts = [n * len(_starts(height, width, scale, knobs.patch)) for scale in knobs.scales]
    return [_moments(*total, count) for total, count in zip(totals, counts, strict=True)]


def _moments(first: np.ndarray, second: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance from the sums of patches and of their products, the latter right of the diagonal."""
    mean, second = first / count, (np.triu(second) + np.triu(second, 1).T) / count
    return mean, second - np.outer(mean, mean)


@partial(
    jax.jit, static_argnames=("scale", "patch")
)  # all scales in one would compete for the cache
def _patch_sums(
    image: Float[Array, "y x c"], scale: int, patch: int
) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
    """The sum of an image's patches at one scale, and on and right of the diagonal that of their outer products."""
    (small,) = shrink(image[None], scale)
    starts = _starts(image.shape[0], image.shape[1], scale, patch)
    if len(starts) == (small.shape[0] - patch + 1) * (small.shape[1] - patch + 1):
        return _sums_of_all(small, patch)
    return _sums_of_some(small, starts, patch)


_product = partial(jnp.matmul, precision="highest")


def _sums_of_some(
    image: Float[Array, "y x c"], starts: np.ndarray, patch: int
) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
    """Cut the patches out, row by row of their pixels, each of which is one run in the image."""
    _, width, channels = image.shape
    rows = jnp.asarray((starts[:, None] + width * np.arange(patch)) * channels, jnp.int32)

    def run(begin: Array) -> Array:
        return lax.dynamic_slice(image.ravel(), (begin,), (patch * channels,))

    patches = _made(jax.vmap(jax.vmap(run))(rows).reshape(len(starts), -1))
    half = patches.shape[1] // 2
    upper = _product(patches[:, :half].T, patches)
    lower = _product(patches[:, half:].T, patches[:, half:])
    return patches.sum(0), jnp.concatenate([upper, jnp.pad(lower, ((0, 0), (half, 0)))])


def _sums_of_all(
    image: Float[Array, "y x c"], patch: int
) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
    """Multiply the patches' first rows alone with the patches.

    Two rows of a patch one pixel lower have the same sum of products, but for the places at the border: with R(y) what
    lies to the right in row y of the image, and h places down,
    ``S(a + 1, b + 1) = S(a, b) + R(h + a)' R(h + b) - R(a)' R(b)``.
    """
    height, width = image.shape[0] - patch + 1, image.shape[1] - patch + 1
    rows = _made(jnp.concatenate([image[:, x : x + width] for x in range(patch)], axis=-1))
    patches = _made(jnp.concatenate([rows[y : y + height] for y in range(patch)], axis=-1))
    flat, run = patches.reshape(height * width, -1), rows.shape[2]

    def at_border(some: Float[Array, "y x run"]) -> Float[Array, "d d"]:
        side_by_side = some.transpose(1, 0, 2).reshape(width, -1)
        return _product(side_by_side.T, side_by_side)

    change = at_border(rows[height:]) - at_border(rows[: patch - 1])
    blocks = [_product(rows[:height].reshape(-1, run).T, flat)]
    for start in range(0, len(change), run):
        shifted = blocks[-1][:, :-run] + change[start : start + run]
        blocks.append(jnp.pad(shifted, ((0, 0), (run, 0))))
    return flat.sum(0), jnp.concatenate(blocks)


def _made(array: Array) -> Array:
    """Have XLA make an array once, instead of anew for every use."""
    made: Array = lax.optimization_barrier(array)
    return made


def _starts(height: int, width: int, scale: int, patch: int) -> np.ndarray:
    """Where the patches that are looked at begin in the pixels, in reading order, of a shrunk image."""
    height, width = -(-height // scale), -(-width // scale)
    every = max(1, 4 // scale) ** 2  # every scale sees about as many patches
    rows, columns = _positions(height - patch + 1, width - patch + 1, every)
    starts: np.ndarray = rows * width + columns
    return starts


def _positions(height: int, width: int, every: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of about one in ``every`` places, in steps that a texture's period does not share."""
    step = 1 if every == 1 else every + 1
    rows, columns = np.divmod(np.arange(0, height * width, step), width)
    return rows, columns


def _reconstruction_filter(
    mean: np.ndarray, covariance: np.ndarray, knobs: Linear
) -> tuple[np.ndarray, np.ndarray]:
    """Filter ``(2p-1, 2p-1, c, c)`` and offset ``(c,)`` equal to encode, decode and average the overlapping patches."""
    _, vectors = np.linalg.eigh(covariance)
    components = vectors[:, ::-1][:, : knobs.components].T
    side, channels = knobs.patch, len(mean) // knobs.patch**2
    projection = (components.T @ components).reshape(2 * (side, side, channels))
    kernel = np.zeros((2 * side - 1, 2 * side - 1, channels, channels))
    for y, x in np.ndindex(
        side, side
    ):  # from every pixel of a patch to this one, by their distance
        reached = np.s_[side - 1 - y : 2 * side - 1 - y, side - 1 - x : 2 * side - 1 - x]
        kernel[reached] += projection[:, :, :, y, x]
    left_out = mean - components.T @ (components @ mean)
    offset = left_out.reshape(-1, channels).mean(0)
    return (kernel / side**2).astype(np.float32), offset.astype(np.float32)


def _filtered(images: Images, kernel: Array, offset: Array, patch: int) -> Images:
    """Apply a scale's filter by Fourier transforms: XLA's CPU convolution of few channels takes 10 times longer."""
    reach = patch - 1
    height, width = images.shape[1:3]
    padded = jnp.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="reflect")
    whole = tuple(-(-side // 16) * 16 for side in padded.shape[1:3])  # no large prime factors
    wave = jnp.fft.rfft2(padded.transpose(0, 3, 1, 2), whole)  # (n, c, y, x)
    response = jnp.fft.rfft2(kernel[::-1, ::-1].transpose(2, 3, 0, 1), whole)  # (c, d, y, x)
    product = sum(wave[:, c, None] * response[c] for c in range(len(response)))  # (n, d, y, x)
    result = jnp.fft.irfft2(product, whole)[..., 2 * reach :, 2 * reach :][..., :height, :width]
    return result.transpose(0, 2, 3, 1) + offset


def _fit_images(knobs: Linear, images: Stack) -> Generator[Progress, None, ImagePCA]:
    """Components from the ``(n, n)`` Gram matrix: there are fewer images than pixels.

    Needs ``n * n`` numbers, two blocks of centred images and the components; images that are not held in memory are
    read once more for each block.
    """
    n, pixels = len(images), math.prod(images.shape[1:])
    if n < 2:
        raise TrainingError(f"found {n} training image; expected at least 2 for components")
    size = max(1, _BLOCK // (8 * pixels))
    blocks = [range(start, min(start + size, n)) for start in range(0, n, size)]
    total = np.zeros(images.shape[1:])
    for block in blocks:
        total += images.take(block).sum(0, dtype=np.float64)
    mean, gram = total / n, np.empty((n, n))

    def centred(block: range) -> np.ndarray:
        return (images.take(block) - mean).reshape(len(block), -1)

    yield Progress("training", 0, len(blocks) + 1)
    for done, block in enumerate(blocks, 1):
        rows = centred(block)
        for earlier in blocks[:done]:
            products = rows @ (rows if earlier is block else centred(earlier)).T
            gram[block.start : block.stop, earlier.start : earlier.stop] = products
            gram[earlier.start : earlier.stop, block.start : block.stop] = products.T
        yield Progress("training", done, len(blocks) + 1)
    values, vectors = np.linalg.eigh(gram)
    real = values > 1e-10 * values[-1]  # the rest is rounding, in directions of no meaning
    chosen = vectors[:, real][:, ::-1][:, : knobs.components]
    components = np.zeros((chosen.shape[1], pixels))
    for block in blocks:
        components += chosen[block.start : block.stop].T @ centred(block)
    components /= np.linalg.norm(components, axis=1, keepdims=True)
    yield Progress("training", len(blocks) + 1, len(blocks) + 1)
    return ImagePCA(
        jnp.asarray(mean, jnp.float32),
        jnp.asarray(components.reshape(-1, *images.shape[1:]), jnp.float32),
    )
