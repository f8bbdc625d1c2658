"""One image that is larger than what is scored whole is scanned from the Inspect page, tile by tile."""

from dataclasses import replace
from functools import partial

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from superqt.utils import WorkerBase

import napari_anomaly as na
from napari_anomaly.core import tiling
from napari_anomaly.core.preprocess import Crop
from napari_anomaly.core.progress import finished
from napari_anomaly.core.regions import regions
from napari_anomaly.ui import scanning
from napari_anomaly.ui.family import family_of
from napari_anomaly.ui.recutting import families_of
from napari_anomaly.ui.scanning import is_large, scan_layer, show_scan
from napari_anomaly.ui.widgets.inspect import InspectWidget

SECONDS = 60_000
FIELD = (40, 48)


def pattern(rng, shape):
    y, x = np.indices(shape)
    return np.uint8(120 + 60 * np.sin(y * 0.7) * np.sin(x * 0.7) + rng.normal(0, 4, shape))


@pytest.fixture(scope="module")
def detector():
    rng = np.random.default_rng(0)
    return na.fit([pattern(rng, FIELD) for _ in range(20)], "linear")


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(tiling, "scan_steps", partial(tiling.scan_steps, tile=64))


@pytest.fixture
def large():
    """Nine fields; a ring over the border of two, which is a region with its hole filled, and a blot."""
    image = pattern(np.random.default_rng(1), (120, 144))
    image[30:50, 60:80] = 255
    image[36:44, 66:74] = pattern(np.random.default_rng(2), (120, 144))[36:44, 66:74]
    image[100:108, 10:20] = 0
    return image


@pytest.fixture
def viewer():
    return ViewerModel()


def test_it_is_the_scan_of_the_image_and_lies_on_it(viewer, detector, large):
    place = {"scale": (0.5, 2), "translate": (3, 4), "units": ("mm", "mm")}
    layer = viewer.add_image(large, name="web", axis_labels=("y", "x"), **place)
    found = finished(scan_layer(detector, layer))
    heat, outlines = show_scan(viewer, found)
    expected = na.scan(detector, large, tile=64)
    np.testing.assert_array_equal(heat.data, expected.anomaly_map)
    labels, listed = regions(
        heat.data, expected.map_threshold, lambda _: 0.5, min_area=detector.recipe.min_area
    )
    assert len(listed) >= 2
    np.testing.assert_array_equal(outlines.data, labels)
    assert outlines.features["area"].tolist()[1:] == [one.area for one in listed]
    for one in (heat, outlines):
        np.testing.assert_allclose(one.data_to_world((3, 4)), layer.data_to_world((3, 4)))
        assert (one.units, one.axis_labels) == (layer.units, ("y", "x"))
        assert (one.metadata["score"], one.metadata["verdict"]) == (expected.score, "fail")
    assert family_of(viewer, layer).regions is outlines
    assert families_of(viewer, detector) == []  # a moved threshold would be that of whole images
    inspected = found.inspected
    assert inspected.verdicts(inspected.detector.calibration) == ["fail"]
    fails = int((expected.verdicts == "fail").sum())
    assert f"in 9 fields of 40 x 48 pixels, the training images' size: {fails} fail." in (
        found.in_words()
    )


def test_only_single_images_of_many_fields_are_large(viewer, detector, large):
    assert is_large(detector, viewer.add_image(large))
    assert not is_large(detector, viewer.add_image(large[:80, :96]))  # four fields
    assert not is_large(detector, viewer.add_image(large[:39].repeat(9, 1)))  # lower than a field
    assert not is_large(detector, viewer.add_image(large[None]))


@pytest.mark.parametrize("kind", ["dask", "pyramid", "zarr"])
def test_it_is_read_by_rectangles(viewer, detector, large, kind, counted):
    watched = counted(large)
    if kind == "zarr":
        zarr = pytest.importorskip("zarr")
        watched.array = zarr.create_array({}, shape=large.shape, chunks=(40, 48), dtype="uint8")
        watched.array[:] = large
    lazy = da.from_array(watched, chunks=(40, 48), asarray=False, meta=large[:0])
    data = [lazy, lazy[::2, ::2]] if kind == "pyramid" else lazy
    layer = viewer.add_image(data, multiscale=kind == "pyramid", contrast_limits=(0, 255))
    watched.most = 0
    heat = show_scan(viewer, finished(scan_layer(detector, layer)))[0]
    assert watched.most == 40 * 48
    np.testing.assert_array_equal(heat.data, na.scan(detector, large, tile=64).anomaly_map)


def test_too_large_for_memory_lies_in_a_file(viewer, detector, large, monkeypatch):
    monkeypatch.setattr("napari_anomaly.ui.filling.IN_MEMORY", 1000)
    found = finished(scan_layer(detector, viewer.add_image(large)))
    assert isinstance(found.labels, np.memmap)
    assert isinstance(found.scan.anomaly_map, np.memmap)


@pytest.fixture
def page(qtbot, viewer, detector):
    widget = InspectWidget(viewer)
    qtbot.addWidget(widget)
    widget.session.detector = detector
    yield widget
    widget.panel.cancel()
    WorkerBase.await_workers(SECONDS)


def choose(page, layer):
    page.reset_choices()
    page.source.choose(layer)


def test_the_page_scans_it_and_cancels(qtbot, viewer, page, large):
    choose(page, viewer.add_image(large, name="web"))
    page.panel.press()
    page.panel.press()
    WorkerBase.await_workers(SECONDS)
    assert page.panel.state.text() == "cancelled"
    assert len(viewer.layers) == 1
    page.panel.press()
    qtbot.waitUntil(lambda: not page.panel.running, timeout=SECONDS)
    assert page.panel.state.text().startswith("scanned in 9 fields of 40 x 48 pixels")
    assert [layer.name for layer in viewer.layers][1:] == ["web anomaly map", "web anomaly regions"]
    assert page.table.rows.rowCount() == 1
    assert page.session.inspected.at_present(page.session.detector) is not page.session.detector
    assert page.table.rows.index(0, 3).data() == "fail"
    again = ViewerModel()
    again.add_image(large, name="web")
    code = page.session.script.replace("session_of(viewer).detector", "detector")
    exec(compile(code, "copied", "exec"), {"viewer": again, "detector": page.session.detector})
    np.testing.assert_array_equal(again.layers[-1].data, viewer.layers[-1].data)


def test_a_detector_that_cannot_scan_says_why_and_what_to_do(
    qtbot, viewer, page, detector, large, monkeypatch
):
    monkeypatch.setattr(scanning, "LARGEST_WHOLE", 1000)
    choose(page, viewer.add_image(large, name="web"))
    steps = detector.recipe.preprocess
    cropped = replace(steps, steps=(Crop(box=(0, 0, 10, 10)), *steps.steps))
    for preprocess, why, what in (
        (cropped, "a region of the training images", "Crop the images beforehand"),
        (replace(steps, field=None), "does not know the scale", "Fit anew, to images of one size"),
    ):
        recipe = replace(detector.recipe, preprocess=preprocess)
        page.session.detector = replace(detector, recipe=recipe)
        page.panel.press()
        qtbot.waitUntil(lambda: not page.panel.running, timeout=SECONDS)
        assert why in page.panel.state.text()
        assert what in page.panel.state.text()
    assert len(viewer.layers) == 1


def test_a_region_is_drawn_with_its_holes_and_without_others_in_its_box():
    above = np.zeros((9, 9), bool)
    above[1:, 0] = above[-1] = above[:, -1] = above[0, 4:] = above[1:5, 4] = True  # an L
    above[4, 0:5] = True  # with a hole between its arms
    above[1, 2] = False
    above[6, 2] = True  # an island in the hole
    alone = above.copy()
    alone[0, 0] = True  # touches (1, 0): part of it
    filled = scanning._filled(alone)
    assert filled[6, 1:8].all()
    assert not filled[1:4, 1:4].any()
    above[0, 2] = True  # beside it
    assert not scanning._filled(above)[0, 2]
