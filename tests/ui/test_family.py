"""Layers of one inspection find each other, and the sliders say which image is shown."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_anomaly.core.types import Inspection
from napari_anomaly.ui.family import family_of, number_shown
from napari_anomaly.ui.layers import add_to_viewer, slide_to


def nothing_found(shape=(6, 5)):
    zeros = np.zeros(shape, np.float32)
    return Inspection(zeros, zeros, 0.0, 1.0, "pass", 1.0, 1.0, zeros.astype(np.int32), ())


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.mark.parametrize("member", ["source", "reconstruction", "anomaly_map", "regions"])
def test_every_member_leads_to_the_family(viewer, member):
    other = viewer.add_image(np.zeros((6, 5)), name="other")
    source = viewer.add_image(np.zeros((6, 5)), name="part")
    added = add_to_viewer(viewer, nothing_found(), source=source)
    layers = dict(zip(["reconstruction", "anomaly_map", "regions"], added, strict=True))
    layers["source"] = source
    family = family_of(viewer, layers[member])
    assert {name: getattr(family, name) for name in layers} == layers
    assert family.truth is None
    assert family_of(viewer, other) is None


def test_the_active_layer_counts_then_the_last(viewer):
    first, second = (viewer.add_image(np.zeros((6, 5)), name=name) for name in "ab")
    for source in (first, second):
        add_to_viewer(viewer, nothing_found(), source=source)
    viewer.layers.selection.active = first
    assert family_of(viewer).source is first
    viewer.layers.selection.active = None
    assert family_of(viewer).source is second
    assert family_of(ViewerModel()) is None


def test_masks_of_the_same_folder_are_the_truth(viewer):
    about = {"path": "folder", "sample": ["a", "b"]}
    source = viewer.add_image(np.zeros((2, 6, 5)), metadata=about)
    masks = viewer.add_labels(np.zeros((2, 6, 5), np.uint8), metadata=about)
    add_to_viewer(viewer, [nothing_found()] * 2, source=source)
    assert family_of(viewer, source).truth is masks
    assert family_of(viewer, masks).source is source


def test_the_sliders_say_which_image_is_shown(viewer):
    viewer.add_image(np.zeros((9, 6, 5)), name="longer")
    layer = viewer.add_image(np.zeros((2, 3, 6, 5)), translate=(0, 4, 0, 0), scale=(1, 2, 1, 1))
    for number in range(6):
        slide_to(viewer, layer, number)
        assert number_shown(viewer, layer) == number
    assert number_shown(viewer, viewer.add_image(np.zeros((6, 5)))) == 0
