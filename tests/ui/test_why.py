"""Why a region was marked: zoom, numbers, words, linked views, and the nearest normal patch."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QWidget
from superqt.utils import WorkerBase

from napari_anomaly.core.data.files import write_png
from napari_anomaly.core.errors import DataError
from napari_anomaly.core.progress import finished
from napari_anomaly.core.types import Inspection, Region
from napari_anomaly.ui.family import family_of
from napari_anomaly.ui.layers import add_to_viewer
from napari_anomaly.ui.nearest import likely_normals, nearest, normals_of
from napari_anomaly.ui.side_by_side import put_back, reconstruct, side_by_side
from napari_anomaly.ui.why import finding, in_words, listed, look_at, plane, region_at
from napari_anomaly.ui.widgets.pictures import Pictures
from napari_anomaly.ui.widgets.why import WhyWidget

SHAPE = (60, 80)
BOX = (10, 30, 14, 36)
"""Of the planted region: 4 x 6 pixels."""


def inspected(peak=9.0, p_value=1 / 46):
    labels = np.zeros(SHAPE, np.int32)
    labels[10:14, 30:36] = 1
    anomaly_map = np.where(labels, 6.0, 1.0).astype(np.float32)
    anomaly_map[12, 33] = peak
    region = Region(1, 24, BOX, (11.5, 32.5), peak, 6.125, p_value)
    reconstruction = np.full(SHAPE, 0.5, np.float32)
    return Inspection(
        reconstruction, anomaly_map, 7.0, 0.02, "fail", 5.0, 5.0, labels, (region,), True
    )


def image():
    pixels = np.full(SHAPE, 128, np.uint8)
    pixels[10:14, 30:36] = 51
    return pixels


@pytest.fixture
def viewer():
    return ViewerModel()


def single(viewer, **kwargs):
    source = viewer.add_image(image(), name="part", **kwargs)
    add_to_viewer(viewer, inspected(), source=source)
    return family_of(viewer)


def in_view(viewer):
    """Lowest and highest world coordinates of what the canvas shows."""
    half = np.array(viewer.canvas.viewbox_size(viewer.layers)) / viewer.scene.camera.zoom / 2
    centre = np.array(viewer.scene.camera.center[-2:])
    return centre - half, centre + half


@pytest.mark.parametrize("grid", [False, True])
def test_the_region_and_its_surroundings_are_in_view(viewer, grid):
    family = single(viewer, scale=(2, 3), translate=(100, 50))
    if grid:
        side_by_side(viewer, family)
    viewer.reset_view()
    far = viewer.scene.camera.zoom
    look_at(viewer, family.regions, finding(viewer, family, 1))
    low, high = in_view(viewer)
    assert (low < (100 + 2 * 9.5, 50 + 3 * 29.5)).all()
    assert (high > (100 + 2 * 13.5, 50 + 3 * 35.5)).all()
    assert viewer.scene.camera.zoom > 1.5 * far
    # the image's first row is the upper border; 16 pixels on the other sides
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], (100 + 29, 50 + 97.5))
    assert family.regions.selected_label == 1


def test_the_sliders_go_to_the_image_of_a_stack(viewer):
    nothing = Inspection(
        *[np.zeros(SHAPE, np.float32)] * 2, 0, 1, "pass", 5, 5, np.zeros(SHAPE, np.int32), ()
    )
    source = viewer.add_image(np.stack([image()] * 3), translate=(4, 0, 0))
    add_to_viewer(viewer, [nothing, nothing, inspected()], source=source)
    family = family_of(viewer)
    viewer.dims.set_point(0, 4)
    found = finding(viewer, family, 1)
    assert (found.image, found.box) == (2, BOX)
    look_at(viewer, family.regions, found)
    assert viewer.dims.point[0] == 6
    assert region_at(viewer, (6, 12, 33)) == (family.regions, 1)
    assert region_at(viewer, (6, 40, 33)) is None


def test_the_numbers_in_words(viewer):
    detector = SimpleNamespace(
        recipe=SimpleNamespace(
            preprocess=SimpleNamespace(
                apply=lambda pixels: (pixels[..., None] / np.float32(255), lambda x: x)
            )
        )
    )
    family = single(viewer, scale=(0.5, 0.5), units=("mm", "mm"))
    found = finding(viewer, family, 1, detector)
    assert in_words(found, SimpleNamespace(n=45)) == {
        "area": "24 px (6 mm²)",
        "place": "y 10 to 13, x 30 to 35 px; centre y 11.5, x 32.5",
        "peak": "9, 1.8 x the limit of 5",
        "mean": "6.12, 1.2 x the limit of 5",  # 23 pixels of 6, one of 9
        "chance": "at most 1 in 46 normal images has a peak this high anywhere; none of the 45 held out",
        "brightness": "darker than reconstructed by 0.30 (0.20, not 0.50, from 0 to 1)",
    }
    assert in_words(found, SimpleNamespace(n=91))["chance"] == (
        "1 in 46 normal images has a peak this high anywhere"
    )
    with pytest.raises(DataError, match=r"part anomaly regions: found no region 2; it was erased"):
        finding(viewer, family, 2)


def test_the_least_likely_region_comes_first(viewer):
    family = single(viewer)
    table = family.regions.features
    family.regions.features = {
        "index": [0, 1, 2, 3],
        **{name: [None, *[table[name][1]] * 3] for name in ("image", "area")},
        "p_value": [None, 0.1, 0.02, 0.02],
        "max_score": [None, 6.0, 7.0, 8.0],
    }
    assert [one.label for one in listed(family.regions)] == [3, 2, 1]


def test_a_plane_has_its_channels(viewer):
    pixels = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
    source = viewer.add_image(pixels, axis_labels=("z", "c", "y", "x"))
    np.testing.assert_array_equal(plane(source, 1), np.moveaxis(pixels[1], 0, -1))


@pytest.mark.parametrize(("scale", "size"), [((1, 1), (140, 70)), ((4, 1), (70, 140))])
def test_pixels_are_as_tall_as_in_the_viewer(qtbot, scale, size):
    pictures = Pictures(1)
    qtbot.addWidget(pictures)
    pictures.show_images([np.zeros((10, 20))], (0, 1), [""], tall=scale[0] / scale[1])
    shown = pictures.pictures[0].pixmap()
    assert (shown.width(), shown.height()) == size


@pytest.mark.parametrize(
    ("expected", "words"),
    [(0.324, "as bright as"), (0.326, "darker than reconstructed by 0.01 (0.32, not 0.33,")],
)
def test_brightness_that_reads_alike_is_alike(viewer, expected, words):
    found = finding(viewer, single(viewer), 1)
    found = replace(found, inside=0.317, expected=expected)
    assert in_words(found)["brightness"].startswith(words)


def state(viewer):
    grid = viewer.canvas.grid
    layers = [
        (one.name, one.visible, one.name_overlay.model_dump(), one.opacity, one.colormap)
        for one in viewer.layers
    ]
    return (
        layers,
        viewer.layers["part anomaly regions"].contour,
        grid.enabled,
        grid.stride,
        grid.shape,
    )


def test_side_by_side_leaves_no_trace(viewer):
    viewer.canvas.grid.stride = 2
    viewer.add_image(np.zeros(SHAPE), name="another")
    family = single(viewer)
    before = state(viewer)
    seen = side_by_side(viewer, family)
    cells = {
        layer.name: viewer.canvas.grid.position(k, viewer.layers)
        for k, layer in enumerate(viewer.layers)
    }
    assert cells == {
        "another": (-1, -1),
        "part": (0, 0),
        "part reconstruction": (0, 1),
        "part anomaly map": (1, 0),
        "part anomaly regions": (1, 1),
    }
    viewer.layers.remove("another")
    viewer.add_image(np.zeros(SHAPE), name="another")
    viewer.layers.move(4, 0)
    put_back(seen)
    assert state(viewer) == before


def test_another_detector_explains_nothing():
    detector = SimpleNamespace(inspect=lambda _: inspected(peak=8.0))
    with pytest.raises(DataError, match="the present detector is not the one that inspected"):
        finished(reconstruct(detector, [image()], [inspected().anomaly_map]))
    made = finished(reconstruct(detector, [image()], [inspected(peak=8.0).anomaly_map]))
    np.testing.assert_array_equal(made, np.full((1, *SHAPE), 0.5))


@pytest.mark.parametrize(
    ("size", "shape", "corner"),
    [
        ((12, 9), SHAPE, (31, 17)),
        ((12, 9), (*SHAPE, 3), (48, 71)),
        ((130, 70), (300, 210), (123, 47)),
    ],
    ids=["grey", "colours", "in blocks"],
)
def test_a_planted_patch_is_found_to_the_pixel(size, shape, corner):
    rng = np.random.default_rng(0)
    normals = [rng.integers(0, 255, shape, dtype=np.uint8) for _ in range(3)]
    y, x = corner
    crop = normals[1][y : y + size[0], x : x + size[1]].copy()
    named = [(str(k), lambda one=one: one) for k, one in enumerate(normals)]
    best = finished(nearest(crop, named))
    assert (best.name, best.corner, best.difference) == ("1", corner, 0)
    assert (best.searched, best.known) == (3, 3)
    np.testing.assert_array_equal(best.patch, crop)


def test_brightness_counts_and_the_difference_is_in_intensities():
    named = [(str(v), lambda v=v: np.full(SHAPE, v, np.uint8)) for v in (10, 103, 200)]
    best = finished(nearest(np.full((8, 8), 100, np.uint8), named))
    assert (best.name, best.difference) == ("103", 3)
    with pytest.raises(DataError, match=r"no normal image of 8 x 8 pixels or more with 3"):
        finished(nearest(np.zeros((8, 8, 3), np.uint8), named))


def test_only_normal_images_are_searched(tmp_path, viewer):
    for name in ("train/good/0", "train/good/1", "test/good/0", "test/crack/0"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_png(tmp_path / f"{name}.png", image())
    names = [name for name, _ in normals_of(tmp_path, without="train/good/1.png")]
    assert names == ["train/good/0.png"]
    about = {
        "sample": list("abc"),
        "split": ["train", "train", "test"],
        "defect": ["good", "crack", "good"],
    }
    layer = viewer.add_image(np.zeros((3, *SHAPE)), metadata=about)
    assert [name for name, _ in normals_of(layer)] == ["a"]
    with pytest.raises(DataError, match="found no normal images; expected a folder"):
        normals_of(layer, without="a")
    assert likely_normals(viewer, layer, None) is None
    layer.metadata["path"] = str(tmp_path)
    assert likely_normals(viewer, layer, None) == tmp_path


@pytest.fixture
def page(qtbot, viewer):
    widget = WhyWidget(viewer)
    qtbot.addWidget(widget)
    yield widget
    widget.panel.cancel()
    WorkerBase.await_workers(60_000)


def click(viewer, position, moved=0):
    event = SimpleNamespace(
        type="mouse_press", button=1, modifiers=(), pos=(5, 5), position=position
    )
    press = viewer.mouse_drag_callbacks[-1](viewer, event)
    next(press)
    event.type, event.pos = "mouse_release", (5 + moved, 5)
    assert next(press, None) is None


def test_a_click_on_a_region_explains_it(qtbot, viewer, page):
    assert page.title.text() == "no regions yet: inspect an image first"
    assert page.sides_button.toolTip() == "inspect an image first"
    normal = np.full((1, *SHAPE), 128, np.uint8)
    viewer.add_image(normal, name="normals", metadata={"split": ["train"], "sample": ["n.png"]})
    single(viewer)
    page.reset_choices()
    page.refresh()
    click(viewer, (0, 12, 33), moved=9)  # a drag
    click(viewer, (0, 40, 33))  # beside it
    assert page.found is None
    click(viewer, (0, 12, 33))
    assert page.numbers["area"].text() == "24 px"
    assert page.numbers["peak"].text() == "9, 1.8 x the limit of 5"
    assert page.table.currentRow() == 0
    qtbot.waitUntil(
        lambda: page.panel.state.text() == "1 of 1 normal images searched", timeout=60_000
    )
    assert (
        page.pictures.captions[1].text().startswith("nearest normal: n.png, y 0, x 0; differs by")
    )


def test_while_a_moved_limit_is_followed_there_is_no_limit_to_compare_with(qtbot, viewer, page):
    single(viewer)
    viewer.layers["part anomaly regions"].metadata["map_threshold"] = None  # images differ
    page.refresh()
    page.show_region(1)
    assert page.numbers["peak"].text() == "9"


def test_closing_the_page_goes_back_to_one_view(qtbot, viewer, page):
    dock = QWidget()
    qtbot.addWidget(dock)
    page.setParent(dock)
    single(viewer)
    page.refresh()
    before = state(viewer)
    page.toggle_sides()
    assert state(viewer) != before
    page.setParent(None)  # what napari does with a dock that is closed
    assert state(viewer) == before


def test_keys_walk_and_turn_and_go_with_the_page(qtbot, viewer):
    page = WhyWidget(viewer)  # not the fixture's, which qtbot would close once more
    single(viewer)
    page.refresh()
    keys = {str(key): call for key, call in viewer.keymap.items()}
    keys["J"](viewer)
    assert viewer.layers["part anomaly regions"].selected_label == 1
    before = state(viewer)
    keys["Shift+G"](viewer)
    assert (viewer.canvas.grid.enabled, page.sides_button.text()) == (True, "Back to one view")
    keys["Shift+G"](viewer)
    assert (state(viewer), page.sides_button.text()) == (before, "Side by side")
    viewer.layers["part anomaly regions"].data_setitem(np.nonzero(image() == 51), 0)
    page.refresh()
    assert page.numbers["area"].text() == ""
    assert "found no region 1" in page.panel.state.text()
    page.deleteLater()
    qtbot.waitUntil(lambda: not viewer.keymap, timeout=10_000)
