"""A drawn shape holds the pixels a person sees inside it, wherever the image lies."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_anomaly.core.errors import DataError
from napari_anomaly.core.preprocess import Crop
from napari_anomaly.ui.cropping import crop_of

BOX = np.array([[2, 3], [2, 9], [6, 9], [6, 3]], float)
TRIANGLE = np.array([[1, 1], [1, 9], [8, 1]], float)


@pytest.fixture
def viewer():
    return ViewerModel()


def test_a_rectangle_holds_the_pixels_whose_centres_it_holds(viewer):
    # centres 2..6 and 3..9 lie on or inside the border
    assert crop_of(viewer.add_shapes(BOX)) == Crop(box=(2, 3, 7, 10))
    grown = BOX + np.array([[-0.4, -0.4], [-0.4, 0.4], [0.4, 0.4], [0.4, -0.4]])
    assert crop_of(viewer.add_shapes(grown)) == Crop(box=(2, 3, 7, 10))


def test_scale_and_translate_are_taken_off(viewer):
    image = viewer.add_image(np.zeros((5, 20, 30)), scale=(4, 0.5, 2), translate=(1, 100, -7))
    shapes = viewer.add_shapes(BOX, scale=(0.5, 2), translate=(100, -7))
    assert crop_of(shapes, image) == Crop(box=(2, 3, 7, 10))


def test_shapes_in_a_stack(viewer):
    image = viewer.add_image(np.zeros((5, 20, 30, 3), np.uint8), rgb=True)
    shapes = viewer.add_shapes(np.pad(BOX, ((0, 0), (1, 0)), constant_values=2.0))
    assert shapes.ndim == image.ndim == 3
    assert crop_of(shapes, image) == Crop(box=(2, 3, 7, 10))


def test_the_border_of_the_image_cuts(viewer):
    image = viewer.add_image(np.zeros((5, 8)))
    corners = np.array([[-3, -4], [-3, 50], [70, 50], [70, -4]], float)
    assert crop_of(viewer.add_shapes(corners), image) == Crop(box=(0, 0, 5, 8))


def test_a_polygon_and_a_turned_rectangle_are_polygons(viewer):
    triangle = viewer.add_shapes(TRIANGLE, shape_type="polygon")
    assert crop_of(triangle) == Crop(polygon=((1, 1), (1, 9), (8, 1)))
    turned = np.array([[0, 5], [5, 10], [10, 5], [5, 0]], float)
    crop = crop_of(viewer.add_shapes(turned))
    assert crop.box is None
    np.testing.assert_allclose(crop.polygon, turned)


def test_the_first_rectangle_or_polygon_counts(viewer):
    shapes = viewer.add_shapes([TRIANGLE[:2], BOX], shape_type=["line", "rectangle"], name="drawn")
    assert crop_of(shapes) == Crop(box=(2, 3, 7, 10))


def test_what_cannot_be_cropped_is_said(viewer):
    line = viewer.add_shapes(TRIANGLE[:2], shape_type="line", name="seam")
    with pytest.raises(DataError, match="seam: found no rectangle or polygon"):
        crop_of(line)
    image = viewer.add_image(np.zeros((5, 8)))
    with pytest.raises(DataError, match="far: the rectangle holds no pixel"):
        crop_of(viewer.add_shapes(BOX + 100, name="far"), image)
