"""The synthetic materials: exact masks, seeds, and sample data that can be made again."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from napari_anomaly.core.data.files import read_image
from napari_anomaly.core.data.folders import mask_of, open_folder
from napari_anomaly.core.data.reading import read_samples
from napari_anomaly.core.data.synthetic import (
    FABRIC_DEFECTS,
    PLATE_DEFECTS,
    fabric,
    pictures,
    plate,
    sample_pictures,
    with_defect,
    write_sample_data,
)
from napari_anomaly.core.errors import DataError

SAMPLE_DATA = Path(__file__).parents[3] / "sample_data"
KINDS = [("fabric", kind) for kind in FABRIC_DEFECTS] + [("plate", kind) for kind in PLATE_DEFECTS]
SOUND = {"fabric": fabric, "plate": plate}


@pytest.mark.parametrize(("material", "channels"), [("fabric", ()), ("plate", (3,))])
@pytest.mark.parametrize("shape", [(96, 96), (128, 200)])
def test_shape_dtype_and_a_useful_range(material, channels, shape):
    image = SOUND[material](0, shape)
    assert image.dtype == np.uint8
    assert image.shape == (*shape, *channels)
    assert 80 < image.mean() < 200
    assert np.mean((image == 0) | (image == 255)) < 0.01  # hardly a pixel is clipped


@pytest.mark.parametrize("material", SOUND)
def test_a_seed_is_a_piece(material):
    sound = SOUND[material]
    np.testing.assert_array_equal(sound(3, (96, 96)), sound(3, (96, 96)))
    assert np.mean(sound(3, (96, 96)) != sound(4, (96, 96))) > 0.8


def test_the_weave_repeats_every_second_thread():
    """Over and under change places like black and white on a chessboard."""
    image = fabric(0, (256, 256)).astype(float)
    power = np.abs(np.fft.fft2(image - ndimage.gaussian_filter(image, 12))) ** 2
    slanted = power[4:128, 4:128]  # without the stripes of either set of threads alone
    y, x = np.add(np.unravel_index(np.argmax(slanted), slanted.shape), 4)
    assert 256 / y == pytest.approx(2 * 9.72, rel=0.06)
    assert 256 / x == pytest.approx(2 * 9, rel=0.06)


def test_the_seam_lies_in_the_middle_and_moves_a_little():
    rows = []
    for seed in range(12):
        warm = plate(seed, (128, 128)).astype(float) @ np.array([1, 0, -1])
        rows.append(np.average(np.arange(128), weights=np.clip(warm.mean(axis=1), 0, None)))
    assert np.mean(rows) == pytest.approx(64, abs=3)
    assert 0.5 < np.std(rows) < 6


@pytest.mark.parametrize(("material", "kind"), KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_masks_are_exact(material, kind, seed):
    picture = with_defect(material, kind, seed, (128, 128))
    changed = picture.image != SOUND[material](seed, (128, 128))
    changed = changed.any(axis=-1) if changed.ndim == 3 else changed
    assert picture.kind == kind
    assert picture.mask.dtype == bool
    assert picture.mask.shape == (128, 128)
    assert not (changed & ~picture.mask).any()
    assert np.mean(changed[picture.mask]) > 0.6
    assert 5 <= picture.mask.sum() < 0.15 * picture.mask.size


@pytest.mark.parametrize(("material", "kind"), KINDS)
def test_defects_differ_from_seed_to_seed(material, kind):
    masks = {with_defect(material, kind, seed, (96, 96)).mask.tobytes() for seed in range(6)}
    assert len(masks) == 6


@pytest.mark.parametrize("kind", ["hole", "knot", "stain"])
def test_one_blot_is_one_region(kind):
    for seed in range(10):
        mask = with_defect("fabric", kind, seed, (128, 128)).mask
        assert ndimage.label(mask, np.ones((3, 3)))[1] == 1


def test_an_unknown_kind_names_the_known_ones():
    with pytest.raises(DataError, match="fabric with defect 'pore'; expected one of broken_thread"):
        with_defect("fabric", "pore")


def test_pictures_take_turns():
    kinds = [picture.kind for picture in pictures("fabric", 2, 5, (96, 96))]
    turns = ["broken_thread", "hole", "knot", "stain", "broken_thread"]
    assert kinds == ["good", "good", *turns]


def test_written_data_opens_as_a_dataset(tmp_path):
    write_sample_data(tmp_path, (96, 96), train=3, good=2, each=1)
    for material, kinds in (("fabric", FABRIC_DEFECTS), ("plate", PLATE_DEFECTS)):
        data = open_folder(tmp_path / material)
        assert data.problems == ()
        assert len(data.train) == 3
        assert len(data.test) == 2 + len(kinds)
        assert data.defects == tuple(sorted(kinds))
        for sample, image in read_samples(data.test):
            assert mask_of(sample, image.shape).any() == (sample.defect != "good")


@pytest.mark.parametrize("material", SOUND)
def test_the_sample_data_in_the_repository_are_these(material):
    wanted = dict(sample_pictures(material))
    files = sorted((SAMPLE_DATA / material).rglob("*.png"))
    assert len(files) == len(wanted) + sum(p.kind != "good" for p in wanted.values())  # masks
    for name in list(wanted)[::9]:
        stored = read_image(SAMPLE_DATA / material / f"{name}.png")
        np.testing.assert_array_equal(stored, wanted[name].image)
    data = open_folder(SAMPLE_DATA / material)
    assert data.problems == ()
    for sample in data.test[8::4]:
        name = sample.name.removesuffix(".png")
        np.testing.assert_array_equal(mask_of(sample, (128, 128)), wanted[name].mask)
