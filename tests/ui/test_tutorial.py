"""docs/tutorial.md, step by step, as a person does it."""

from superqt.utils import WorkerBase

from napari_anomaly.ui import menus

SECONDS = 60_000  # milliseconds that a compilation may take on a busy machine


def test_the_tutorial(needs_screen, plugin, make_napari_viewer, qtbot, monkeypatch, tmp_path):
    viewer = make_napari_viewer()
    viewer.open_sample("napari-anomaly", "fabric")
    assert [layer.name for layer in viewer.layers] == [
        f"woven fabric {name}" for name in ("normal", "test", "ground truth")
    ]

    menus.open_workbench(viewer)
    train, inspect = list(viewer.window.dock_widgets.values())[:2]

    train.source.choose(viewer.layers["woven fabric normal"])
    assert train.header.state.text() == "ready"
    train.panel.button.click()
    qtbot.waitUntil(lambda: not train.panel.running, timeout=SECONDS)
    assert "held out" in train.summary.text()
    assert inspect.header.detector.text() == "linear, from a layer"

    test = viewer.layers["woven fabric test"]
    inspect.source.choose(test)
    inspect.panel.button.click()
    qtbot.waitUntil(lambda: not inspect.panel.running, timeout=SECONDS)
    WorkerBase.await_workers(SECONDS)
    assert inspect.table.rowCount() == len(test.data)
    assert inspect.table.item(0, 3).text() == "fail"
    strangest = inspect.table.number_of(0)
    assert test.metadata["defect"][strangest] != "good"
    inspect.table.cellClicked.emit(0, 0)
    assert viewer.dims.point[0] == strangest

    file = tmp_path / "fabric.anomaly"
    train.save(file)
    before = train.session.detector
    viewer.open(str(file), plugin=None)
    qtbot.waitUntil(lambda: train.session.detector is not before, timeout=SECONDS)
    WorkerBase.await_workers(SECONDS)

    table = tmp_path / "regions.csv"
    monkeypatch.setattr(menus, "ask_where_to_save", lambda *_: table)
    menus.save_regions(viewer)
    assert table.read_text().startswith("layer,index,image,area,")
    assert "woven fabric test anomaly regions,1," in table.read_text()
