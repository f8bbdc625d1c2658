"""How noisy pixels are: what a defect has to stand out from."""

import numpy as np
from jaxtyping import Float


def noise_of(image: Float[np.ndarray, "y x c"]) -> float:
    """Estimate the standard deviation of an image's pixel noise from its finest diagonal detail.

    The median of |a - b - c + d| / 2 over squares of four pixels, as of a normal distribution: edges and smooth
    shading hardly count, a texture as fine as the pixels does.

    References
    ----------
    Donoho and Johnstone 1994, Ideal spatial adaptation by wavelet shrinkage, https://doi.org/10.1093/biomet/81.3.425
    """
    rows, columns = (side // 2 * 2 for side in image.shape[:2])
    even = image[:rows, :columns]
    detail = even[::2, ::2] - even[1::2, ::2] - even[::2, 1::2] + even[1::2, 1::2]
    return float(np.median(np.abs(detail)) / 2 / 0.6745)
