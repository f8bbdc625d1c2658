"""Normal images however they are given."""

import numpy as np
import pytest
import tifffile

from napari_anomaly.core.data.normals import name_of, source
from napari_anomaly.core.data.split import split
from napari_anomaly.core.errors import DataError


def as_it_is(sample, image):
    return image


def test_one_stack_is_taken_page_by_page(tmp_path):
    pages = np.arange(8 * 16 * 16, dtype=np.uint16).reshape(8, 16, 16)
    tifffile.imwrite(tmp_path / "parts.tif", pages, photometric="minisblack")

    samples, read = source(tmp_path)
    parts = split(samples, calibration=0.25, seed=0)
    train, held_out = (
        [image for _, image in read(side, as_it_is)] for side in (parts.train, parts.calibration)
    )

    assert [sample.name for sample in samples[:2]] == ["parts.tif, page 0", "parts.tif, page 1"]
    assert (len(train), len(held_out)) == (6, 2)
    assert {image[0, 0] for image in train + held_out} == set(pages[:, 0, 0])
    np.testing.assert_array_equal(read.again(samples[5]), pages[5])


def test_stacks_stay_together_where_there_are_several(tmp_path):
    for name in ("a", "b", "c"):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros((4, 16, 16)), photometric="minisblack")

    samples, read = source(tmp_path)

    assert [sample.name for sample in samples] == ["a.tif", "b.tif", "c.tif"]
    assert len(list(read(samples, as_it_is))) == 12


def test_arrays_are_taken_as_they_are():
    images = [np.zeros((8, 8)), np.ones((9, 8, 3))]

    samples, read = source(images)

    assert [sample.name for sample in samples] == ["image 0", "image 1"]
    assert all(
        image is given for (_, image), given in zip(read(samples, as_it_is), images, strict=True)
    )
    assert read.again(samples[1]) is images[1]
    assert name_of(images) == "arrays"


def test_one_image_is_no_stack():
    with pytest.raises(DataError, match=r"one array of shape \(8, 8\); expected several images"):
        source(np.zeros((8, 8)))
