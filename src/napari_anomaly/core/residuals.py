"""Image and reconstruction in, residual map out. Both lie in [0, 1], so that numbers mean the same for every method."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from napari_anomaly.core.filters import blur, box, extended, halved, slopes, stretch

Images = Float[Array, "n y x c"]
Maps = Float[Array, "n y x"]

ResidualKind = Literal["absolute", "squared", "ssim", "ms-ssim", "ms-gms", "ncc", "histogram"]

_LUMINANCE = (0.2125, 0.7154, 0.0721)  # ITU-R BT.709, as scikit-image's rgb2gray

_SSIM_RADIUS, _NCC_RADIUS, _REGION_RADIUS = 5, 5, 10  # pixels
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, section 3.2
_GRADIENT_SCALES = 4
_FLAT = (0.5 / 255) ** 2  # variance of what half a grey level of 8 bits may hide
_BINS = 16


def absolute(image: Images, reconstruction: Images) -> Images:
    """``|x - y|`` of each channel."""
    return jnp.abs(image - reconstruction)


def squared(image: Images, reconstruction: Images) -> Images:
    """``(x - y)^2`` of each channel."""
    return (image - reconstruction) ** 2


def dissimilarity(image: Images, reconstruction: Images) -> Images:
    """``(1 - SSIM) / 2`` of each channel: 0 where structure agrees, at most 1."""
    return jnp.clip((1 - structural_similarity(image, reconstruction)) / 2, 0, 1)


def structural_similarity(image: Images, reconstruction: Images) -> Images:
    """SSIM of each channel around each pixel: 1 where images agree, at least -1.

    Gaussian window of 11 pixels, sigma 1.5, K1 = .01, K2 = .03, intensities in [0, 1]; mirrored borders.

    References
    ----------
    Wang et al. 2004, doi:10.1109/TIP.2003.819861, eq. 13.
    """
    luminance, structure = _structural(image, reconstruction)
    return luminance * structure


def _structural(image: Images, reconstruction: Images) -> tuple[Images, Images]:
    """Luminance, and contrast times structure, of Wang et al. 2004, eqs. 6, 9 and 10 with C3 = C2 / 2."""
    c1, c2 = 0.01**2, 0.03**2
    mean_x, mean_y = _window(image), _window(reconstruction)
    variance_x = _window(image**2) - mean_x**2
    variance_y = _window(reconstruction**2) - mean_y**2
    covariance = _window(image * reconstruction) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return luminance, structure


def _window(images: Images) -> Images:
    return blur(images, 1.5, radius=_SSIM_RADIUS)


def multiscale_dissimilarity(image: Images, reconstruction: Images) -> Images:
    """``1 - MS-SSIM`` of each channel: 0 where structure agrees at all of five scales, at most 1.

    The product over the scales of contrast times structure, and at the coarsest of luminance, to the published
    weights. Each scale is the means of 2 x 2 pixels of the one before. The factors, images here instead of their
    means over the image, are stretched onto the full grid before they are multiplied. Negative ones count as 0: their
    powers are not real.

    There are always five scales. Published MS-SSIM needs 176 pixels for them; smaller images are continued by their
    mirror images, and what the coarsest scales see there is the image and its reflections.

    References
    ----------
    Wang et al. 2003, doi:10.1109/ACSSC.2003.1292216, eq. 7.
    """

    def structure(x: Images, y: Images) -> Images:
        return _structural(x, y)[1]

    finer = [structure] * (len(_SCALE_WEIGHTS) - 1)
    similarity = jnp.ones_like(image)
    missing = _by_scale(image, reconstruction, [*finer, structural_similarity])
    for one, weight in zip(missing, _SCALE_WEIGHTS, strict=True):
        similarity = similarity * (1 - jnp.clip(one, 0, 1)) ** weight
    return 1 - similarity


def gradient_dissimilarity(image: Images, reconstruction: Images) -> Images:
    """Mean of ``1 - GMS`` over four scales: 0 where gradients are equally steep, at most 1.

    ``GMS = (2 g h + c) / (g^2 + h^2 + c)`` of the magnitudes g, h of Prewitt gradients, c = .0026 for intensities in
    [0, 1]; each scale is the means of 2 x 2 pixels of the one before. A constant added to an image changes nothing.

    References
    ----------
    Xue et al. 2014, doi:10.1109/TIP.2013.2293423; Zavrtanik et al. 2021, doi:10.1016/j.patcog.2020.107706 (the
    scales, as a map).
    """
    missing = _by_scale(image, reconstruction, [_gradient_similarity] * _GRADIENT_SCALES)
    return jnp.clip(jnp.mean(jnp.stack(missing), axis=0), 0, 1)


def _gradient_similarity(image: Images, reconstruction: Images) -> Images:
    c = 0.0026  # 170 / 255^2
    here, there = (_steepness(one) for one in (image, reconstruction))
    return (2 * jnp.sqrt(here * there) + c) / (here + there + c)


def _steepness(images: Images) -> Images:
    """Squared magnitude of the gradient."""
    down, across = slopes(images)
    return down**2 + across**2


def _by_scale(
    image: Images,
    reconstruction: Images,
    similarities: Sequence[Callable[[Images, Images], Images]],
) -> list[Images]:
    """What each scale's similarity lacks to 1, on the full grid, finest first."""
    height, width = image.shape[1:3]
    x, y = (extended(one, 2 ** (len(similarities) - 1)) for one in (image, reconstruction))
    whole = (x.shape[1], x.shape[2])
    missing = []
    for level, similarity in enumerate(similarities):
        if level:
            x, y = halved(x), halved(y)
        missing.append(stretch(1 - similarity(x, y), whole)[:, :height, :width])
    return missing


def decorrelation(image: Images, reconstruction: Images) -> Images:
    """``(1 - NCC) / 2`` in windows of 11 x 11 pixels: 0 where one is the other times a > 0 plus b, 1 if a < 0.

    Where one window is flat (a deviation below half a grey level of 8 bits) and the other is not, correlation has no
    meaning and counts as 0: the result is .5. Where both are flat, they agree: 0.

    References
    ----------
    Lewis 1995, "Fast normalized cross-correlation", Vision Interface, eq. 2.
    """
    x, y = image - 0.5, reconstruction - 0.5  # smaller numbers leave smaller rounding errors
    mean_x, mean_y = box(x, _NCC_RADIUS), box(y, _NCC_RADIUS)
    variance_x = box(x**2, _NCC_RADIUS) - mean_x**2
    variance_y = box(y**2, _NCC_RADIUS) - mean_y**2
    covariance = box(x * y, _NCC_RADIUS) - mean_x * mean_y
    flat_x, flat_y = variance_x <= _FLAT, variance_y <= _FLAT
    scale = jnp.sqrt(jnp.maximum(variance_x, _FLAT) * jnp.maximum(variance_y, _FLAT))
    correlation = jnp.where(flat_x | flat_y, 0.0, jnp.clip(covariance / scale, -1, 1))
    return (1 - jnp.where(flat_x & flat_y, 1.0, correlation)) / 2


def histogram_distance(image: Images, reconstruction: Images) -> Images:
    """Earth mover's distance between the histograms of the 21 x 21 pixels around each: in intensity, 0 to 1.

    16 bins with centres from 0 to 1; a pixel between two centres belongs to both in proportion, so that the result
    does not jump at an edge of a bin. In one dimension the distance is the area between the cumulative histograms.
    It grows with the distance that intensities have moved, where that of Bhattacharyya is the same for any histograms
    that do not overlap. Where in the window a pixel lies does not matter.

    References
    ----------
    Rubner et al. 2000, doi:10.1023/A:1026543900054, section 4; in one dimension Werman et al. 1985,
    doi:10.1016/0734-189X(85)90055-6.
    """
    width = 1 / (_BINS - 1)

    def shares(images: Images, centre: Array) -> Images:
        """Of each pixel, what belongs to bins up to this one."""
        return jnp.clip((centre + width - images) / width, 0, 1)

    def one(total: Images, centre: Array) -> tuple[Images, None]:
        moved = shares(image, centre) - shares(reconstruction, centre)
        return total + jnp.abs(box(moved, _REGION_RADIUS)), None

    centres = jnp.arange(_BINS - 1) * width
    total, _ = jax.lax.scan(one, jnp.zeros_like(image), centres)  # one bin in memory at a time
    return jnp.clip(total * width, 0, 1)


class Kind(NamedTuple):
    """A residual and what surrounds a pixel of it.

    Attributes
    ----------
    function : callable
        From image and reconstruction ``(n, y, x, c)`` to residuals of the same shape, in [0, 1].
    radius : int
        Pixels around one that its residual depends on.
    step : int
        Moved by a multiple of so many pixels, images have the same residual, moved.
    """

    function: Callable[[Images, Images], Images]
    radius: int = 0
    step: int = 1


def _of_scales(count: int, radius: int) -> tuple[int, int]:
    """Radius and step of scales with windows of a radius: the coarsest sees furthest.

    Stretching by s takes pixels of a scale that lie up to ``3 s / 2 - 1`` away.
    """
    coarsest: int = 2 ** (count - 1)
    return radius * coarsest + 3 * coarsest // 2 - 1, coarsest


_KINDS = {
    "absolute": Kind(absolute),
    "squared": Kind(squared),
    "ssim": Kind(dissimilarity, _SSIM_RADIUS),
    "ms-ssim": Kind(multiscale_dissimilarity, *_of_scales(len(_SCALE_WEIGHTS), _SSIM_RADIUS)),
    "ms-gms": Kind(gradient_dissimilarity, *_of_scales(_GRADIENT_SCALES, 1)),
    "ncc": Kind(decorrelation, _NCC_RADIUS),
    "histogram": Kind(histogram_distance, _REGION_RADIUS),
}


def kind_of(name: ResidualKind) -> Kind:
    """Return the residual of a name, and what surrounds a pixel of it."""
    return _KINDS[name]


def residual_map(
    image: Images,
    reconstruction: Images,
    *,
    kind: ResidualKind = "absolute",
    colour: Literal["channels", "grey"] = "channels",
    weight: Images | None = None,
) -> Maps:
    """One map per image: the residual's mean over the channels, or the residual of the grey images.

    Parameters
    ----------
    image, reconstruction : arrays, ``(n, y, x, c)`` in [0, 1]
    kind : {"absolute", "squared", "ssim", "ms-ssim", "ms-gms", "ncc", "histogram"}
        ``ssim`` is ``(1 - SSIM) / 2``, ``ms-ssim`` is ``1 - MS-SSIM``, ``ms-gms`` the mean of ``1 - GMS`` over scales,
        ``ncc`` is ``(1 - NCC) / 2``.
    colour : {"channels", "grey"}
        ``ms-gms`` is always of the grey images, as published.
    weight : array, ``(n, y, x, c)``, optional
        Multiplies differences before the mean over the channels: ``w |x - y|`` and ``(w (x - y))^2``; of ``ssim``,
        which is no difference, the result.

    Returns
    -------
    array, ``(n, y, x)``, in [0, 1] where both inputs are and nothing is weighted
    """
    if (colour == "grey" or kind == "ms-gms") and image.shape[-1] == 3:
        weights = jnp.asarray(_LUMINANCE)[:, None]
        image, reconstruction = image @ weights, reconstruction @ weights
        weight = None if weight is None else weight @ weights
    residual = _KINDS[kind].function(image, reconstruction)
    if weight is not None:
        residual = residual * (weight**2 if kind == "squared" else weight)
    return residual.mean(-1)
