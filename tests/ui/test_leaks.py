"""A page that is closed leaves nothing behind, however often it trained."""

import gc
import threading
import weakref

import numpy as np
import psutil
from qtpy.QtCore import QCoreApplication, QEvent
from superqt.utils import WorkerBase

from napari_anomaly.ui.widgets.train import TrainWidget

ROUNDS, FIRST, GROWTH = 10, 3, 8  # the first rounds fill caches; then at most so many MB in all
NORMALS = (np.random.default_rng(0).random((8, 16, 16)) * 255).astype(np.uint8)


def used():
    return psutil.Process().memory_info().rss / 2**20


def trained_and_closed(viewer, layer, qtbot):
    """Weak references to what a page had."""
    page = TrainWidget(viewer)
    viewer.window.add_dock_widget(page, name="Train")
    page.reset_choices()
    page.source.choose(layer)
    page.method.value = "linear"
    page.panel.press()
    jobs = list(page.panel._jobs)
    qtbot.waitUntil(lambda: not page.panel.running, timeout=60_000)
    assert page.session.detector is not None, page.panel.state.text()
    owned = [page, page.session, page.session.detector, page.live, page.form, page.panel, *jobs]
    viewer.window.remove_dock_widget(page)
    page.close()
    page.deleteLater()
    return [weakref.ref(one) for one in owned]


def settled():
    """Let Qt delete what waits for it, which takes turns: a widget, then what was connected to it."""
    for _ in range(3):
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
        QCoreApplication.processEvents()
    gc.collect()


def test_ten_trainings_leave_nothing_behind(needs_screen, make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    layer = viewer.add_image(NORMALS, name="normals")
    memory, threads = [], []
    for _ in range(ROUNDS):
        left = trained_and_closed(viewer, layer, qtbot)
        WorkerBase.await_workers(60_000)
        settled()
        assert [type(one()).__name__ for one in left if one() is not None] == []
        memory.append(used())
        threads.append(threading.active_count())
    assert not WorkerBase._worker_set
    assert list(viewer.layers) == [layer]
    assert threads[-1] <= threads[0]
    assert memory[-1] - memory[FIRST] < GROWTH, memory
