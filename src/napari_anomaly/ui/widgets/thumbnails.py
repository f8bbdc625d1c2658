"""Small pictures for a table, decoded in a thread while the table scrolls."""

from collections import OrderedDict, deque
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from weakref import finalize

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QObject, QTimer
from qtpy.QtGui import QIcon, QImage, QPixmap

from napari_anomaly.ui.thumbnails import Read, thumbnail

SIDE = 32
"""Of a thumbnail, in pixels that do not depend on the screen; it is drawn with twice as many on a fine one."""

_KEPT = 1024  # pictures, of 16 kB
_WAITING = 48  # what was asked for before that has been scrolled out of sight
_COLLECT = 30  # milliseconds


class Thumbnails(QObject):
    """Gives the pictures of a list's images, or asks for them; the newest wish comes first.

    The thread knows nothing of Qt: a timer collects what it made, so that a widget may be closed at any time.
    """

    made = Signal(list)
    """The numbers of images whose pictures came."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._read: Read | None = None
        self._pictures: OrderedDict[int, QIcon | None] = OrderedDict()
        self._wanted: deque[int] = deque(maxlen=_WAITING)
        self._ready: SimpleQueue[tuple[Read, int, np.ndarray | None]] = SimpleQueue()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="napari-anomaly-thumbnails")
        finalize(self, self._pool.shutdown, wait=False, cancel_futures=True)
        self._timer = QTimer(self)
        self._timer.setInterval(_COLLECT)
        self._timer.timeout.connect(self.collect)

    def read_with(self, read: Read) -> None:
        """Forget all pictures; those of another list are read so."""
        self._read = read
        self._wanted.clear()
        self._pictures.clear()

    def of(self, number: int) -> QIcon | None:
        """Return an image's picture if there is one by now; it is asked for if not."""
        if number in self._pictures:
            self._pictures.move_to_end(number)
            return self._pictures[number]
        if self._read is not None and number not in self._wanted:
            self._wanted.append(number)
            self._pool.submit(_make, self._read, self._wanted, self._ready)
            if not self._timer.isActive():  # starting it again would put off the collecting
                self._timer.start()
        return None

    def collect(self) -> None:
        """Take what the thread made."""
        came = []
        while True:
            try:
                read, number, pixels = self._ready.get_nowait()
            except Empty:
                break
            if read is self._read:
                self._pictures[number] = None if pixels is None else _icon(pixels)
                came.append(number)
        while len(self._pictures) > _KEPT:
            self._pictures.popitem(last=False)
        if came:
            self.made.emit(came)
        elif not self._wanted:
            self._timer.stop()


def _make(
    read: Read, wanted: deque[int], ready: "SimpleQueue[tuple[Read, int, np.ndarray | None]]"
) -> None:
    """Make the picture that was asked for last."""
    try:
        number = wanted.pop()
    except IndexError:  # scrolled away, or asked of another list
        return
    try:
        pixels = thumbnail(read(number), 2 * SIDE)
    except Exception:  # noqa: BLE001  whatever is wrong with a file: it has no picture, and its row says why
        pixels = None
    ready.put((read, number, pixels))


def _icon(pixels: np.ndarray) -> QIcon:
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels)
    image = QImage(data.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    picture = QPixmap.fromImage(image)
    picture.setDevicePixelRatio(2)
    icon = QIcon(picture)
    icon.addPixmap(picture, QIcon.Mode.Selected)  # Qt would tint it until nothing is seen
    return icon
