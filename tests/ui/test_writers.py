"""Painted labels become the masks that the folder reader reads, and old masks survive."""

import imageio.v3 as iio
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_anomaly.core.errors import DataError
from napari_anomaly.ui.readers import read_folder
from napari_anomaly.ui.strokes import Watch
from napari_anomaly.ui.writers import write_masks, write_single_mask


def painted(*pixels, shape=(8, 9)):
    labels = np.zeros(shape, np.int32)
    for pixel in pixels:
        labels[pixel] = 3
    return labels


def layer(data, name="labels", **about):
    return data, {"name": name, "metadata": about}, "labels"


@pytest.fixture
def category(tmp_path):
    root = tmp_path / "tile"
    rng = np.random.default_rng(0)
    for name in ("train/good/0", "test/good/0", "test/crack/0", "test/crack/1", "test/hole/0"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        iio.imwrite(root / f"{name}.png", rng.integers(0, 255, (16, 20), np.uint8))
    for name in ("crack/0", "crack/1", "hole/0"):
        mask = (rng.random((16, 20)) > 0.8).astype(np.uint8) * 255
        (root / f"ground_truth/{name}_mask.png").parent.mkdir(parents=True, exist_ok=True)
        iio.imwrite(root / f"ground_truth/{name}_mask.png", mask)
    return root


def masks_below(root):
    return {
        str(path.relative_to(root)): iio.imread(path) for path in sorted(root.rglob("*_mask.png"))
    }


def test_open_and_save_gives_identical_masks(category, tmp_path):
    masks = [layer for layer in read_folder(str(category)) if layer[2] == "labels"]
    written = write_masks(str(tmp_path / "copy"), masks)
    before, after = masks_below(category), masks_below(tmp_path / "copy")
    assert len(written) == 3
    assert before.keys() == after.keys()
    for name, mask in before.items():
        assert after[name].dtype == np.uint8
        np.testing.assert_array_equal(after[name], mask)


def test_napari_saves_one_stack_and_several_layers(category, tmp_path, plugin):
    viewer = ViewerModel()
    _, _, masks = viewer.open(str(category), plugin="napari-anomaly")
    viewer.layers.selection = {masks}
    viewer.layers.save(str(tmp_path / "one"), selected=True, plugin="napari-anomaly")
    assert masks_below(tmp_path / "one").keys() == masks_below(category).keys()

    first = viewer.add_labels(painted((1, 2)), name="first part")
    second = viewer.add_labels(painted((3, 4)), name="second")
    viewer.layers.selection = {first, second}
    viewer.layers.save(str(tmp_path / "two"), selected=True, plugin="napari-anomaly")
    assert list(masks_below(tmp_path / "two")) == [
        "ground_truth/defect/first_part_mask.png",
        "ground_truth/defect/second_mask.png",
    ]


def test_saving_where_they_came_from_changes_nothing(category):
    before = {path: path.stat().st_mtime_ns for path in category.rglob("*_mask.png")}
    write_masks(
        str(category), [layer for layer in read_folder(str(category)) if layer[2] == "labels"]
    )
    assert before == {path: path.stat().st_mtime_ns for path in category.rglob("*_mask.png")}


def test_paint_in_opened_masks_is_found_by_the_first_who_watches(category):
    def opened():
        return next(
            Labels(data, **about)
            for data, about, kind in read_folder(str(category))
            if kind == "labels"
        )

    assert Watch(opened()).dirty == set()
    truth = opened()
    truth.paint((2, 5, 5), 900)
    assert Watch(truth).dirty == {2}
    assert Watch(truth).touched == (2,)


def test_a_changed_mask_is_refused_and_nothing_is_written(category):
    masks = next(layer for layer in read_folder(str(category)) if layer[2] == "labels")
    masks[0][0, 3, 3] = 1 - min(masks[0][0, 3, 3], 1)
    (category / "ground_truth/hole/0_mask.png").unlink()
    with pytest.raises(
        DataError, match=r"crack/0_mask\.png: exists and differs .* nothing was written"
    ):
        write_masks(str(category), [masks])
    assert not (category / "ground_truth/hole/0_mask.png").exists()


def test_one_mask_to_a_png(tmp_path):
    path = tmp_path / "mask.png"
    assert write_single_mask(str(path), painted((2, 3)), {"name": "x"}) == [str(path)]
    mask = iio.imread(path)
    assert (mask.dtype, mask[2, 3], int(mask.sum())) == (np.uint8, 255, 255)
    write_single_mask(str(path), painted((2, 3)), {"name": "x"})
    with pytest.raises(DataError, match="exists and differs"):
        write_single_mask(str(path), painted((2, 4)), {"name": "x"})
    assert iio.imread(path)[2, 3] == 255


def test_names_come_from_metadata(tmp_path):
    stack = np.stack([painted((1, 1)), painted(), painted((2, 2))])
    names = ["test/crack/a b.png", "test/hole/7.png", "photo.jpg"]
    about = {"sample": names, "defect": ["crack", "hole", None], "mask_path": [None, None, None]}
    write_masks(str(tmp_path), [layer(stack, **about)])
    assert list(masks_below(tmp_path)) == [
        "ground_truth/crack/a b_mask.png",
        "ground_truth/defect/photo_mask.png",
    ]


def test_metadata_of_another_shape_is_not_believed(tmp_path):
    stack = np.stack([painted((1, 1)), painted((2, 2))])
    write_masks(str(tmp_path), [layer(stack, "my labels", sample=["a.png"], defect=["good"])])
    assert list(masks_below(tmp_path)) == [
        "ground_truth/defect/my_labels_000_mask.png",
        "ground_truth/defect/my_labels_001_mask.png",
    ]


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ([layer(painted())], "nothing is painted"),
        ([layer(painted((1, 1)))] * 2, "labels_mask.png: two masks of this name"),
        (
            [layer(painted((1, 1), (1, 2)), sample="test/good/3.png", defect="good")],
            "test/good/3.png: 2 pixels are painted but the image counts as good",
        ),
        (
            [layer(painted((1, 1)), sample="/etc/x.png")],
            "'/etc/x.png': found a name that leads out",
        ),
        ([layer(painted((1, 1)), sample="a/../../../x.png")], "leads out of the folder"),
        (
            [layer(painted((1, 1)), sample="a.png", defect="../..")],
            "'../..': found a name that leads",
        ),
        ([layer(painted((1, 1)), sample="a.tif[2]")], r"a.tif\[2\]: a page of a file with several"),
    ],
)
def test_what_cannot_be_saved_says_why(tmp_path, layers, text):
    with pytest.raises(DataError, match=text):
        write_masks(str(tmp_path), layers)
    assert not list(tmp_path.iterdir())


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(DataError, match="x: a file; expected a folder"):
        write_masks(str(tmp_path / "x"), [layer(painted((1, 1)))])
