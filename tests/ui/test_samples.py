"""The samples open at once and look like what the folder reader gives."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_anomaly.ui.samples import fabric, plate


@pytest.mark.parametrize(("sample", "rgb"), [(fabric, False), (plate, True)])
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


def test_it_is_in_the_menu(plugin):
    viewer = ViewerModel()
    layers = viewer.open_sample("napari-anomaly", "fabric")
    assert [layer.name for layer in layers] == [
        "woven fabric normal",
        "woven fabric test",
        "woven fabric ground truth",
    ]
