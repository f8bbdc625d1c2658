"""Folders become layers: lazily, aligned with their masks, and only folders that are ours."""

import warnings

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from PIL import Image

from napari_anomaly.core.data.files import read_image, read_pages
from napari_anomaly.core.errors import DataWarning
from napari_anomaly.ui.headers import headers
from napari_anomaly.ui.readers import LIST_LIMIT, get_reader, read_folder

ROTATED = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    iio.imwrite(path, image)


@pytest.fixture
def category(tmp_path):
    """Two normal and three test images of 16x20; one crack image with two regions, one with one."""
    root = tmp_path / "tile"
    for k in range(2):
        save(root / f"train/good/{k}.png", np.full((16, 20), 10 + k, np.uint8))
    save(root / "test/good/0.png", np.full((16, 20), 20, np.uint8))
    for k in range(2):
        save(root / f"test/crack/{k}.png", np.full((16, 20), 30 + k, np.uint8))
        mask = np.zeros((16, 20), np.uint8)
        mask[2:4, 2:5] = 255
        mask[10:12, 10:13] = 255 if k == 0 else 0
        save(root / f"ground_truth/crack/{k}_mask.png", mask)
    return root


def by_name(path):
    return {
        attributes["name"]: (data, attributes, kind)
        for data, attributes, kind in read_folder(str(path))
    }


def test_category_becomes_stacks_with_aligned_masks(category):
    layers = by_name(category)
    assert list(layers) == ["tile normal", "tile test", "tile ground truth"]
    test, about, _ = layers["tile test"]
    masks, mask_about, kind = layers["tile ground truth"]
    assert kind == "labels"
    assert test.shape == masks.shape == (3, 16, 20)
    names = about["metadata"]["sample"]
    assert names == ["test/crack/0.png", "test/crack/1.png", "test/good/0.png"]
    assert about["metadata"]["defect"] == ["crack", "crack", "good"]
    assert about["metadata"]["split"] == ["test"] * 3
    assert about["metadata"]["path"] == str(category)
    assert [int(np.asarray(test[k]).max()) for k in range(3)] == [30, 31, 20]
    assert [np.unique(mask).tolist() for mask in masks] == [[0, 1, 2], [0, 3], [0]]
    assert mask_about["features"]["index"].tolist() == [0, 1, 2, 3]
    assert mask_about["features"]["defect"].tolist() == ["background", "crack", "crack", "crack"]


def test_napari_opens_it(category, plugin):
    viewer = ViewerModel()
    layers = viewer.open(str(category), plugin="napari-anomaly")
    assert [layer.name for layer in layers] == ["tile normal", "tile test", "tile ground truth"]
    assert [layer.visible for layer in layers] == [True, True, True]
    # one slider shows every image once: three test images, then two normal ones
    assert viewer.dims.range[0] == (0, 4, 1)
    assert tuple(layers[0].world_to_data((4, 5, 6))) == (1, 5, 6)
    assert layers[1].axis_labels == ("image", "y", "x")


def test_folder_of_categories(category):
    save(category.parent / "plate/train/good/0.png", np.zeros((8, 9, 3), np.uint8))
    layers = by_name(category.parent)
    assert list(layers) == ["plate normal", "tile normal", "tile test", "tile ground truth"]
    assert layers["plate normal"][0].shape == (1, 8, 9, 3)
    assert layers["plate normal"][1]["rgb"]
    assert [layer[1]["visible"] for layer in layers.values()] == [True, False, False, False]


def test_plain_folder_says_nothing_about_defects(tmp_path):
    save(tmp_path / "photos/a/1.png", np.zeros((8, 9), np.uint16))
    ((data, about, _),) = read_folder([str(tmp_path / "photos")])
    assert data.dtype == np.uint16
    assert about["metadata"]["defect"] == [None]
    assert about["contrast_limits"] == (0, 1)


def test_images_of_two_sizes_become_a_list(category):
    save(category / "test/crack/1.png", np.zeros((18, 20), np.uint8))
    save(category / "ground_truth/crack/1_mask.png", np.full((18, 20), 255, np.uint8))
    layers = by_name(category)
    assert list(layers) == [
        "tile normal",
        "test/crack/0.png",
        "test/crack/1.png",
        "test/good/0.png",
        "test/crack/0.png ground truth",
        "test/crack/1.png ground truth",
    ]
    assert layers["test/crack/1.png"][0].shape == layers["test/crack/1.png ground truth"][0].shape
    assert layers["test/crack/1.png"][1]["metadata"]["defect"] == "crack"


def test_a_long_list_is_cut_and_says_so(tmp_path):
    for k in range(LIST_LIMIT + 7):
        save(tmp_path / f"{k:03d}.png", np.zeros((8, 8 + k % 2), np.uint8))
    with pytest.warns(DataWarning, match=rf"{LIST_LIMIT} of them, .* and 7 are left out"):
        layers = read_folder(str(tmp_path))
    names = [about["name"] for _, about, _ in layers]
    assert len(names) == len(set(names)) == LIST_LIMIT
    assert names[0] == "000.png"
    assert names[-1] == f"{(LIST_LIMIT - 1) * (LIST_LIMIT + 7) // LIST_LIMIT:03d}.png"


def test_pages_become_slices(tmp_path):
    pages = np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((1, 8, 9), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
    ((data, about, _),) = read_folder(str(tmp_path))
    assert about["metadata"]["sample"] == ["a.tif", "a.tif[1]", "a.tif[2]"]
    assert np.asarray(data)[:, 0, 0].tolist() == [0, 1, 2]


def test_damaged_image_is_shown_black_and_named(category):
    path = category / "test/crack/1.png"
    path.write_bytes(path.read_bytes()[:45])
    data = by_name(category)["tile test"][0]
    with pytest.warns(DataWarning, match=r"crack/1\.png: .*\(shown black\)"):
        assert not np.asarray(data[1]).any()


def test_many_warnings_become_few(category):
    for k in range(10):
        save(category / f"ground_truth/lonely/{k}_mask.png", np.zeros((16, 20), np.uint8))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_folder(str(category))
    assert len(caught) == 4
    assert "more warnings like these" in str(caught[-1].message)


def test_a_thousand_images_open_without_being_decoded(tmp_path, monkeypatch):
    image = np.random.default_rng(0).integers(0, 255, (256, 256), np.uint8)
    (tmp_path / "train/good").mkdir(parents=True)
    save(tmp_path / "train/good/0.png", image)
    content = (tmp_path / "train/good/0.png").read_bytes()
    for k in range(1, 1000):
        (tmp_path / f"train/good/{k}.png").write_bytes(content)
    decoded = []

    def counted(path, page=0):
        decoded.append(path)
        return read_image(path, page)

    monkeypatch.setattr("napari_anomaly.ui.readers.read_image", counted)

    ((data, _, _),) = get_reader(str(tmp_path))(str(tmp_path))

    assert data.shape == (1000, 256, 256)
    assert len(decoded) <= 1
    np.testing.assert_array_equal(np.asarray(data[999]), image)


def test_folders_that_are_not_ours(tmp_path):
    (tmp_path / "scan.zarr/0").mkdir(parents=True)
    (tmp_path / "scan.zarr/0/.zarray").write_text("{}")
    (tmp_path / "notes.txt").write_text("")
    assert get_reader(str(tmp_path)) is None
    assert get_reader(str(tmp_path / "scan.zarr")) is None
    assert get_reader(str(tmp_path / "notes.txt")) is None
    assert get_reader([str(tmp_path), str(tmp_path)]) is None


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        ("a.png", "L", {}),
        ("a.png", "1", {}),
        ("a.png", "P", {}),
        ("a.png", "LA", {}),
        ("a.png", "RGBA", {}),
        ("a.png", "I;16", {}),
        ("a.jpg", "L", {}),
        ("a.jpg", "RGB", {"exif": ROTATED}),
        ("a.bmp", "RGB", {}),
        ("a.bmp", "P", {}),
        ("a.tif", "L", {}),
        ("a.tif", "RGB", {}),
        ("a.tif", "F", {}),
        ("a.tif", "P", {}),
        ("a.tif", "RGBA", {}),
    ],
)  # fmt: skip
def test_headers_agree_with_the_decoder(tmp_path, name, mode, options):
    Image.new(mode, (9, 12)).save(tmp_path / name, **options)
    page = read_pages(tmp_path / name)[0]
    assert [(h.shape, h.dtype) for h in headers(tmp_path / name)] == [(page.shape, page.dtype)]
