"""Small pictures beside each other, each with a line below."""

from collections.abc import Sequence

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

_SIDE = 140
"""Pixels of a picture's longer side: two fit into a dock."""


class Pictures(QWidget):
    """Some pictures in a row; hidden until they are shown.

    Parameters
    ----------
    count : int
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self.pictures = [QLabel() for _ in range(count)]
        self.captions = [QLabel() for _ in range(count)]
        for picture, caption in zip(self.pictures, self.captions, strict=True):
            picture.setFixedSize(_SIDE, _SIDE)
            picture.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
            caption.setWordWrap(True)
            caption.setTextFormat(Qt.TextFormat.PlainText)
            column = QVBoxLayout()
            column.addWidget(picture)
            column.addWidget(caption)
            column.addStretch()
            row.addLayout(column)
        self.setVisible(False)

    def show_images(
        self,
        images: Sequence[np.ndarray],
        limits: tuple[float, float],
        captions: Sequence[str],
        tall: float = 1.0,
    ) -> None:
        """Show images ``(y, x)`` or ``(y, x, 3)``, fewer than there are places if need be, with their texts.

        Parameters
        ----------
        images : sequence of array
        limits : tuple of float
            Intensities that are black and white.
        captions : sequence of str
        tall : float
            Height of a pixel over its width.
        """
        for k, (picture, caption) in enumerate(zip(self.pictures, self.captions, strict=True)):
            picture.setPixmap(_pixmap(images[k], limits, tall) if k < len(images) else QPixmap())
            caption.setText(captions[k] if k < len(captions) else "")
            picture.setAccessibleName(caption.text())
        self.setVisible(True)


def _pixmap(image: np.ndarray, limits: tuple[float, float], tall: float) -> QPixmap:
    low, high = limits
    unit = np.clip((image.astype(float) - low) / max(high - low, 1e-12), 0, 1)
    grey = np.round(255 * unit).astype(np.uint8)
    colours = np.repeat(grey[..., None], 3, axis=2) if grey.ndim == 2 else grey[..., :3]
    pixels = np.ascontiguousarray(colours)
    height, width = pixels.shape[:2]
    shown = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy()
    longer = max(width, tall * height)
    return QPixmap.fromImage(shown).scaled(
        max(1, round(_SIDE * width / longer)),
        max(1, round(_SIDE * tall * height / longer)),
        Qt.AspectRatioMode.IgnoreAspectRatio,
        Qt.TransformationMode.FastTransformation,  # pixels as they are
    )
