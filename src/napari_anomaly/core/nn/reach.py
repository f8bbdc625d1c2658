"""How far the networks here look around a pixel."""


def radius(levels: int) -> int:
    """Pixels around one of its output that a decoder of so many levels, on top of its encoder, depends on.

    Followed exactly: pixel o of a transposed convolution takes cells (o - 1) // 2 to (o + 1) // 2; cell j of an
    encoder's level takes pixels 2 j - 1 to 2 j + 2, strided or pooled.
    """
    furthest = 0
    for pixel in range(2**levels):  # the network repeats itself after so many
        low = high = pixel
        for _ in range(levels):
            low, high = (low - 1) // 2, (high + 1) // 2
        for _ in range(levels):
            low, high = 2 * low - 1, 2 * high + 2
        furthest = max(furthest, pixel - low, high - pixel)
    return furthest
