"""Layers lie where their source lies, carry the numbers, and never overwrite."""

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_anomaly.core.types import Inspection, Region
from napari_anomaly.ui.layers import add_to_viewer, in_words, slices


def inspection(shape=(12, 10), *, boxes=((2, 2, 4, 5),), score=3.0, rgb=False):
    """Build a result by hand: one region per box ``(y0, x0, y1, x1)``, map 5 inside, 1 outside."""
    labels = np.zeros(shape, np.int32)
    regions = []
    for label, (y0, x0, y1, x1) in enumerate(boxes, 1):
        labels[y0:y1, x0:x1] = label
        area = (y1 - y0) * (x1 - x0)
        centre = ((y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2)
        regions.append(Region(label, area, (y0, x0, y1, x1), centre, 5.0, 5.0, 0.05))
    return Inspection(
        reconstruction=np.full((*shape, 3) if rgb else shape, 0.5, np.float32),
        anomaly_map=np.where(labels > 0, 5, 1).astype(np.float32),
        score=score,
        p_value=0.05,
        verdict="fail" if boxes else "pass",
        threshold=2.0,
        map_threshold=4.0,
        labels=labels,
        regions=tuple(regions),
    )


@pytest.fixture
def viewer():
    return ViewerModel()


def test_one_image_becomes_three_layers(viewer):
    reconstruction, anomaly_map, regions = add_to_viewer(viewer, inspection(), name="tile")
    assert [layer.name for layer in viewer.layers] == [
        "tile reconstruction",
        "tile anomaly map",
        "tile anomaly regions",
    ]
    assert not reconstruction.visible
    assert anomaly_map.data.dtype == np.float32
    assert regions.data.dtype == np.int32
    assert anomaly_map.metadata["score"] == 3.0
    assert anomaly_map.metadata["verdict"] == "fail"
    assert viewer.status == "tile: fail, score 3 (limit 2), p = 0.05, 1 region"


def test_colours_come_from_the_detector_not_from_the_image(viewer):
    quiet = add_to_viewer(viewer, inspection(boxes=()), name="quiet")[1]
    loud = add_to_viewer(viewer, inspection(), name="loud")[1]
    assert quiet.contrast_limits == loud.contrast_limits == [2, 8]


@pytest.mark.parametrize("rgb", [False, True])
def test_result_lies_on_its_source(viewer, rgb):
    pixels = np.zeros((12, 10, 3) if rgb else (12, 10), np.uint8)
    source = viewer.add_image(
        pixels,
        rgb=rgb,
        name="part",
        scale=(0.5, 0.25),
        translate=(10, 20),
        rotate=30,
        shear=[0.2],
        affine=[[0, 2, 1], [1, 0, 3], [0, 0, 1]],
        units=("mm", "um"),
        axis_labels=("height", "width"),
    )
    for layer in add_to_viewer(viewer, inspection(rgb=rgb), source=source):
        np.testing.assert_allclose(layer.data_to_world((3, 4)), source.data_to_world((3, 4)))
        np.testing.assert_allclose(layer.scale, (0.5, 0.25))
        assert layer.units == source.units
        assert layer.axis_labels == ("height", "width")
        assert layer.name.startswith("part ")


def test_stack_lies_on_its_source_and_regions_count_over_it(viewer):
    source = viewer.add_image(
        np.zeros((3, 12, 10)),
        scale=(1, 0.5, 0.25),
        translate=(0, 10, 20),
        units=("pixel", "mm", "mm"),
        axis_labels=("n", "y", "x"),
    )
    results = [
        inspection(boxes=((0, 0, 2, 2), (5, 5, 6, 6))),
        inspection(boxes=()),
        inspection(boxes=((1, 1, 4, 4),)),
    ]
    reconstruction, anomaly_map, regions = add_to_viewer(viewer, results, source=source)
    assert reconstruction.data.shape == anomaly_map.data.shape == regions.data.shape == (3, 12, 10)
    np.testing.assert_allclose(regions.data_to_world((2, 3, 4)), (2, 11.5, 21))
    assert regions.axis_labels == ("n", "y", "x")
    assert [np.unique(image).tolist() for image in regions.data] == [[0, 1, 2], [0], [0, 3]]
    # the features table selects by row number: row k must describe label k
    assert regions.features["index"].tolist() == [0, 1, 2, 3]
    assert regions.features["image"].tolist() == [None, 0, 0, 2]
    for label, area in zip(
        regions.features["index"][1:], regions.features["area"][1:], strict=True
    ):
        assert np.count_nonzero(regions.data == label) == area
    assert anomaly_map.metadata["verdict"] == ["fail", "pass", "fail"]


def test_one_slice_of_a_stack_takes_the_trailing_axes(viewer):
    source = viewer.add_image(np.zeros((3, 12, 10)), scale=(7, 0.5, 0.25), units=("s", "mm", "um"))
    layer = add_to_viewer(viewer, inspection(), source=source)[1]
    np.testing.assert_allclose(layer.scale, (0.5, 0.25))
    assert [str(unit) for unit in layer.units] == ["millimeter", "micrometer"]


def test_leading_axes_of_the_source_are_kept(viewer):
    source = viewer.add_image(np.zeros((2, 2, 12, 10)))
    layers = add_to_viewer(viewer, [inspection()] * 4, source=source)
    assert [layer.data.shape for layer in layers] == [(2, 2, 12, 10)] * 3


def test_rgb_stack(viewer):
    source = viewer.add_image(np.zeros((2, 12, 10, 3), np.uint8), rgb=True)
    reconstruction, anomaly_map, _ = add_to_viewer(
        viewer, [inspection(rgb=True)] * 2, source=source
    )
    assert reconstruction.rgb
    assert reconstruction.data.shape == (2, 12, 10, 3)
    assert anomaly_map.data.shape == (2, 12, 10)


def test_existing_layers_are_never_overwritten(viewer):
    painted = viewer.add_labels(np.full((12, 10), 7), name="tile anomaly regions")
    add_to_viewer(viewer, inspection(), name="tile")
    add_to_viewer(viewer, inspection(), name="tile")
    assert np.all(painted.data == 7)
    assert len({layer.name for layer in viewer.layers}) == 7


def test_a_gap_in_the_labels_is_closed(viewer):
    result = inspection(boxes=((0, 0, 2, 2),))
    result.labels[result.labels == 1] = 9
    gapped = Inspection(
        result.reconstruction, result.anomaly_map, 3.0, 0.05, "fail", 2.0, 4.0, result.labels,
        (Region(9, 4, (0, 0, 2, 2), (0.5, 0.5), 5.0, 5.0, 0.05),),
    )  # fmt: skip
    regions = add_to_viewer(viewer, gapped)[2]
    assert regions.features["index"].tolist() == [0, 1]
    assert set(np.unique(regions.data)) == {0, 1}


def test_a_source_with_too_few_axes_is_refused(viewer):
    source = viewer.add_image(np.zeros((12, 10)), name="flat")
    with pytest.raises(ValueError, match="'flat' has 2 axes, the inspections have 3"):
        add_to_viewer(viewer, [inspection(), inspection()], source=source)


def test_words():
    assert in_words(inspection(boxes=())) == "pass, score 3 (limit 2), p = 0.05, 0 regions"


def test_slices_of_a_layer(viewer):
    stack = np.arange(2 * 3 * 8 * 9).reshape(2, 3, 8, 9)
    images = slices(viewer.add_image(stack))
    assert len(images) == 6
    np.testing.assert_array_equal(images[4], stack[1, 1])
    rgb = viewer.add_image(np.zeros((2, 8, 9, 3), np.uint8), rgb=True)
    assert [image.shape for image in slices(rgb)] == [(8, 9, 3)] * 2
    assert slices(viewer.add_image(stack[0, 0]))[0].shape == (8, 9)
    pyramid = viewer.add_image([np.zeros((64, 64)), np.zeros((32, 32))], multiscale=True)
    assert slices(pyramid)[0].shape == (64, 64)


def test_what_is_normal_leaves_the_image_as_it_is(viewer):
    anomaly_map = add_to_viewer(viewer, inspection())[1]
    low, high = anomaly_map.contrast_limits
    colours = anomaly_map.colormap.map(np.array([0.0, 1.0]))
    assert (low, high) == (2, 8)
    assert colours[0, 3] == 0
    assert colours[1, 3] == pytest.approx(0.6)


def test_a_method_that_does_not_localise_shows_no_map(viewer):
    found = replace(inspection(boxes=()), localises=False)

    layers = add_to_viewer(viewer, found, name="tile")

    assert [layer.name for layer in layers] == ["tile anomaly regions"]
    assert layers[0].metadata["verdict"] == found.verdict
    assert in_words(found).endswith("no map")
