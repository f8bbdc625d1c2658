"""What an SVM sees of a picture: the directions of its edges, and how bright it is."""

import numpy as np
import skimage.feature
from jaxtyping import Float

_CELL, _BLOCK, _ORIENTATIONS, _BINS = 8, 2, 9, 16

Images = Float[np.ndarray, "n y x c"]


def describe(images: Images) -> Float[np.ndarray, "n d"]:
    """Return HOG and intensity histogram of images ``(n, y, x, c)`` in [0, 1], one row each.

    The histogram of oriented gradients has 9 unsigned directions in cells of 8 x 8 pixels, normalised in overlapping
    blocks of 2 x 2 cells (L2-Hys); of several channels the steepest gradient counts at each pixel. The histogram is the
    share of the pixels in each of 16 equal bins of [0, 1], for each channel. Each row depends on its image alone.

    References
    ----------
    Dalal and Triggs 2005, doi:10.1109/CVPR.2005.177, section 6 (its default detector).
    """
    return np.stack([np.concatenate([_hog(one), _histogram(one)]) for one in images])


def histogram_length(channels: int) -> int:
    """Count the features at the end of a row that are the histogram's."""
    return _BINS * channels


def _hog(image: Float[np.ndarray, "y x c"]) -> Float[np.ndarray, " h"]:
    return np.asarray(
        skimage.feature.hog(
            image.astype(np.float64),
            orientations=_ORIENTATIONS,
            pixels_per_cell=(_CELL, _CELL),
            cells_per_block=(_BLOCK, _BLOCK),
            block_norm="L2-Hys",
            channel_axis=-1,
        )
    )


def _histogram(image: Float[np.ndarray, "y x c"]) -> Float[np.ndarray, " b"]:
    planes = np.moveaxis(image, -1, 0)
    counts = [np.histogram(plane, _BINS, (0, 1))[0] for plane in planes]
    shares: Float[np.ndarray, " b"] = np.concatenate(counts) / planes[0].size
    return shares
