"""The samples open at once and look like what the folder reader gives."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_anomaly.core.data.defects.kinds import KINDS
from napari_anomaly.ui.samples import fabric, planted, plate


@pytest.mark.parametrize(("sample", "rgb"), [(fabric, False), (plate, True), (planted, True)])
def test_sample(sample, rgb):
    layers = sample()
    viewer = ViewerModel()
    normal, test, masks = (
        getattr(viewer, f"add_{kind}")(data, **about) for data, about, kind in layers
    )
    assert normal.rgb == test.rgb == rgb
    assert test.data.shape[:3] == masks.data.shape
    defects = test.metadata["defect"]
    assert set(normal.metadata["defect"]) == {"good"}
    for kind, mask in zip(defects, masks.data, strict=True):
        assert (kind != "good") == bool(mask.any())
    labels = np.unique(masks.data)
    assert labels.tolist() == list(range(len(labels)))
    for number in labels[1:]:
        assert len(np.unique(np.nonzero(masks.data == number)[0])) == 1


def test_planted_defects_are_of_every_kind_and_leave_the_rest_alone():
    _, (images, about, _), (masks, _, _) = planted()
    kinds = np.array(about["metadata"]["defect"])
    assert set(kinds) == {"good", *KINDS}
    good = images[kinds == "good"]
    for image, mask in zip(images[kinds != "good"], masks[kinds != "good"] > 0, strict=True):
        assert any(((image != one).any(axis=2) == mask).all() for one in good)


def test_it_is_in_the_menu(plugin):
    viewer = ViewerModel()
    layers = viewer.open_sample("napari-anomaly", "fabric")
    assert [layer.name for layer in layers] == [
        "woven fabric normal",
        "woven fabric test",
        "woven fabric ground truth",
    ]
