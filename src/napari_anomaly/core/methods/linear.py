"""Linear autoencoders in closed form: principal components of patches, or of whole images.

Reconstructing every patch from its components and averaging the overlaps is one linear filter: the mean over the
components of their autocorrelations, plus a constant. Scoring is that one convolution per scale.
"""

import dataclasses
from collections.abc import Generator, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from napari_anomaly.core.errors import TrainingError
from napari_anomaly.core.methods.fitted import Images, Pair, Reach, expect
from napari_anomaly.core.methods.recipes import Linear
from napari_anomaly.core.types import Progress

_CHUNK = 16  # images whose patches are held at once


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

    def image_score(self, pooled: float, latent: float | None) -> float:
        """Return the pooled map alone."""
        return pooled

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
        code = jnp.tensordot(images - self.mean, self.components, ((1, 2, 3), (1, 2, 3)))  # (n, k)
        return (Pair(images, self.mean + jnp.tensordot(code, self.components, 1)),)

    def latent_score(self, images: Images) -> None:
        """Return None: the components are not scored."""

    def image_score(self, pooled: float, latent: float | None) -> float:
        """Return the pooled map alone."""
        return pooled

    def reach(self) -> None:
        """Return None: the components are as large as the image."""

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return mean and components."""
        return {"mean": np.asarray(self.mean), "components": np.asarray(self.components)}


def fit_steps(
    knobs: Linear, images: np.ndarray, *, seed: int, budget: float | None, keeper: Any = None
) -> Generator[Progress, None, PatchPCA | ImagePCA]:
    """Fit to ``(n, y, x, c)`` normalised images; deterministic, so ``seed`` and ``budget`` change nothing."""
    if knobs.support == "image":
        yield Progress("training", 0, 1)
        fitted = _fit_images(knobs, images)
        yield Progress("training", 1, 1)
        return fitted
    filters, offsets = [], []
    if min(images.shape[1:3]) // max(knobs.scales) < knobs.patch:
        raise TrainingError(
            f"found images of {images.shape[1]} x {images.shape[2]} pixels, {max(knobs.scales)} times smaller at the "
            f"coarsest scale; expected room for one patch of {knobs.patch}. Take fewer scales or larger images."
        )
    if knobs.components >= (values := knobs.patch**2 * images.shape[3]):
        raise TrainingError(
            f"found {knobs.components} components for patches of {values} values; expected fewer, or every defect is "
            "reconstructed as well. Lower components."
        )
    for scale in knobs.scales:
        moments = yield from _patch_moments(knobs, images, scale)
        kernel, offset = _reconstruction_filter(*moments, knobs)
        filters.append(jnp.asarray(kernel))
        offsets.append(jnp.asarray(offset))
    return PatchPCA(tuple(filters), tuple(offsets), knobs.scales, knobs.patch)


def restore(knobs: Linear, arrays: Mapping[str, np.ndarray]) -> PatchPCA | ImagePCA:
    """Rebuild from :meth:`PatchPCA.arrays` or :meth:`ImagePCA.arrays`."""
    if knobs.support == "image":
        expect(arrays, {"mean": (None,) * 3, "components": (None,) * 4})
        expect(arrays, {"mean": (None,) * 3, "components": (None, *arrays["mean"].shape)})
        return ImagePCA(jnp.asarray(arrays["mean"]), jnp.asarray(arrays["components"]))
    expect(arrays, _shapes(knobs, None))
    expect(arrays, _shapes(knobs, len(arrays[f"offset.{knobs.scales[0]}"])))
    filters = tuple(jnp.asarray(arrays[f"filter.{scale}"]) for scale in knobs.scales)
    offsets = tuple(jnp.asarray(arrays[f"offset.{scale}"]) for scale in knobs.scales)
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
    knobs: Linear, images: np.ndarray, scale: int
) -> Generator[Progress, None, tuple[np.ndarray, np.ndarray]]:
    """Mean ``(d,)`` and covariance ``(d, d)`` of patches, d = patch * patch * c, in one pass over the images."""
    every = max(1, 4 // scale) ** 2  # every scale sees about as many patches
    chunks = range(0, len(images), _CHUNK)
    total = len(chunks) * len(knobs.scales)
    before = knobs.scales.index(scale) * len(chunks)
    count, first, second = 0, 0.0, 0.0
    for done, start in enumerate(chunks):
        small = np.asarray(shrink(jnp.asarray(images[start : start + _CHUNK]), scale))
        windows = np.lib.stride_tricks.sliding_window_view(small, (knobs.patch,) * 2, axis=(1, 2))
        rows, columns = _positions(windows.shape[1], windows.shape[2], every)
        patches = windows[:, rows, columns].transpose(0, 1, 3, 4, 2)  # (n, patch, p, p, c)
        patches = patches.reshape(-1, knobs.patch**2 * small.shape[3])
        count += len(patches)
        first = first + patches.sum(0, dtype=np.float64)
        second = second + (patches.T @ patches).astype(np.float64)
        yield Progress("training", before + done + 1, total)
    mean = np.asarray(first) / count
    return mean, np.asarray(second) / count - np.outer(mean, mean)


def _positions(height: int, width: int, every: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of about one in ``every`` places, in steps that a texture's period does not share."""
    step = 1 if every == 1 else every + 1
    rows, columns = np.divmod(np.arange(0, height * width, step), width)
    return rows, columns


def _reconstruction_filter(
    mean: np.ndarray, covariance: np.ndarray, knobs: Linear
) -> tuple[np.ndarray, np.ndarray]:
    """Filter ``(2p-1, 2p-1, c, c)`` and offset ``(c,)`` equal to encode, decode and average the overlapping patches."""
    from scipy.signal import correlate  # half a second, which inspecting need not wait for

    _, vectors = np.linalg.eigh(covariance)
    components = vectors[:, ::-1][:, : knobs.components].T
    side, channels = knobs.patch, len(mean) // knobs.patch**2
    shaped = components.reshape(-1, side, side, channels)
    kernel = np.zeros((2 * side - 1, 2 * side - 1, channels, channels))
    for source in range(channels):
        for target in range(channels):
            for one in shaped:
                kernel[..., source, target] += correlate(one[..., source], one[..., target])
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


def _fit_images(knobs: Linear, images: np.ndarray) -> ImagePCA:
    """Components from the ``(n, n)`` Gram matrix: there are fewer images than pixels."""
    if len(images) < 2:
        raise TrainingError(
            f"found {len(images)} training image; expected at least 2 for components"
        )
    mean = images.mean(0, dtype=np.float64)
    flat = (images - mean).reshape(len(images), -1)
    values, vectors = np.linalg.eigh(flat @ flat.T)
    real = values > 1e-10 * values[-1]  # the rest is rounding, in directions of no meaning
    components = vectors[:, real][:, ::-1][:, : knobs.components].T @ flat
    components /= np.linalg.norm(components, axis=1, keepdims=True)
    return ImagePCA(
        jnp.asarray(mean, jnp.float32),
        jnp.asarray(components.reshape(-1, *images.shape[1:]), jnp.float32),
    )
