"""Folders become layers: a lazy stack where all images have one shape, else a list of layers."""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anomaly.core.data.files import is_image_name, read_image
from napari_anomaly.core.data.folders import Dataset, categories, mask_of, open_folder
from napari_anomaly.core.errors import DataError, DataWarning, ImageError
from napari_anomaly.core.types import Sample
from napari_anomaly.ui.headers import Header, headers
from napari_anomaly.ui.numbering import DIGESTS, digest, parts

if TYPE_CHECKING:
    import dask.array as da
    import pandas as pd

LayerData = tuple[Any, dict[str, Any], str]

MASK_COLOUR = {None: "#76ff03", 0: "transparent"}
"""One green for all of the ground truth, told apart from regions found and from the map."""

LIST_LIMIT = 12
"""Images of differing size that are shown per split: napari takes up to .3 s to add a layer."""

MASK_PIXELS = 2**27
"""Pixels of a mask stack up to which it is read at once and can be painted in."""


def get_reader(
    path: str | Sequence[str],
) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Return the reader of a folder: MVTec category, folder of categories, or folder of images."""
    if not isinstance(path, str):
        if len(path) != 1:
            return None
        path = path[0]
    folder = Path(path)
    if not folder.is_dir():
        return None
    try:
        ours = (folder / "train" / "good").is_dir() or _holds_images(folder) or categories(folder)
    except OSError:
        return None
    return read_folder if ours else None


def read_folder(path: str | Sequence[str]) -> list[LayerData]:
    """Read a folder as layers; ``get_reader`` says which folders."""
    folder = Path(path if isinstance(path, str) else path[0])
    single = (folder / "train" / "good").is_dir() or not categories(folder)
    roots = [folder] if single else categories(folder)
    layers: list[LayerData] = []
    with _few_warnings(folder):
        for root in roots:
            for data, attributes, kind in _category(root):
                attributes["visible"] = attributes["visible"] and root == roots[0]
                layers.append((data, attributes, kind))
    return layers


def sample_metadata(dataset: Dataset, samples: Sequence[Sample]) -> dict[str, Any]:
    """Say in a layer's metadata where each slice came from; see ``layers.ABOUT``.

    A plain folder says nothing about defects, so its samples' kind is None there, not ``"good"``.
    """
    mvtec = (dataset.root / "train" / "good").is_dir()
    return {
        "path": str(dataset.root),
        "sample": [sample.name for sample in samples],
        "split": [sample.split for sample in samples],
        "defect": [sample.defect if mvtec else None for sample in samples],
        "mask_path": [str(sample.mask_path) if sample.mask_path else None for sample in samples],
    }


def _holds_images(folder: Path, depth: int = 1) -> bool:
    folders = []
    for entry in os.scandir(folder):
        if entry.is_file() and is_image_name(entry.name):
            return True
        if entry.is_dir() and not entry.name.startswith("."):
            folders.append(Path(entry.path))
    return depth > 0 and any(_holds_images(child, depth - 1) for child in folders[:50])


@dataclass(frozen=True)
class _Page:
    sample: Sample
    header: Header


def _category(root: Path) -> list[LayerData]:
    dataset = open_folder(root)
    name = root.name or str(root)
    train, test = _pages(dataset.train), _pages(dataset.test)
    if not train and not test:
        raise DataError(f"{root}: none of its images can be read")
    stacked = _one_shape(train) and _one_shape(test)
    layers = _images(dataset, train, f"{name} normal", visible=stacked or not test)
    if stacked:  # one slider for all: test images first, normal ones after them
        layers[0][1]["translate"] = (len(test), 0, 0)
    layers += _images(dataset, test, f"{name} test", visible=True)
    if dataset.has_masks:
        layers += _masks(dataset, test, f"{name} ground truth")
    return layers


def _pages(samples: Iterable[Sample]) -> list[_Page]:
    pages = []
    for sample in samples:
        try:
            for number, header in enumerate(headers(sample.path)):
                name = f"{sample.name}[{number}]" if number else sample.name
                pages.append(_Page(replace(sample, page=number, name=name), header))
        except ImageError as error:
            warnings.warn(f"{error} (left out)", DataWarning, stacklevel=2)
    return pages


def _one_shape(pages: Sequence[_Page]) -> bool:
    return len({page.header for page in pages}) == 1


def _shown(pages: Sequence[_Page], name: str) -> Sequence[_Page]:
    if len(pages) <= LIST_LIMIT:
        return pages
    warnings.warn(
        f"{name}: the images differ in size or dtype, so each becomes a layer of its own; "
        f"{LIST_LIMIT} of them, evenly spread, are shown and {len(pages) - LIST_LIMIT} are left "
        "out. The Train and Inspect widgets take the whole folder",
        DataWarning,
        stacklevel=2,
    )
    return _spread(pages)


def _spread(pages: Sequence[_Page]) -> Sequence[_Page]:
    count = min(LIST_LIMIT, len(pages))
    return [pages[k * len(pages) // count] for k in range(count)]


def _images(
    dataset: Dataset, pages: Sequence[_Page], name: str, *, visible: bool
) -> list[LayerData]:
    if not pages:
        return []
    if _one_shape(pages):
        about = sample_metadata(dataset, [page.sample for page in pages])
        return [_image(_lazy(pages), pages[0], name, about, visible=visible)]
    return [
        _image(
            _lazy([page])[0],
            page,
            page.sample.name,
            _single(dataset, page),
            visible=visible and k == 0,
        )
        for k, page in enumerate(_shown(pages, name))
    ]


def _image(
    data: "da.Array", first: _Page, name: str, about: dict[str, Any], *, visible: bool
) -> LayerData:
    rgb = len(first.header.shape) == 3
    attributes = {"name": name, "rgb": rgb, "metadata": about, "visible": visible}
    attributes["axis_labels"] = ("image", "y", "x")[-(data.ndim - rgb) :]
    if not rgb:
        attributes["contrast_limits"] = _limits(first)
    return data, attributes, "image"


def _limits(page: _Page) -> tuple[float, float]:
    if page.header.dtype == np.uint8:
        return 0, 255
    image = _read(page)
    low, high = float(image.min()), float(image.max())
    return (low, high) if high > low else (low, low + 1)


def _single(dataset: Dataset, page: _Page) -> dict[str, Any]:
    about = sample_metadata(dataset, [page.sample])
    return {key: value[0] if isinstance(value, list) else value for key, value in about.items()}


def _lazy(pages: Sequence[_Page]) -> "da.Array":
    import dask.array  # comes with napari

    header = pages[0].header

    def block(block_id: tuple[int, ...]) -> np.ndarray:
        return _read(pages[block_id[0]])[None]

    chunks = ((1,) * len(pages), *((size,) for size in header.shape))
    meta = np.empty((0,) * len(chunks), header.dtype)
    map_blocks: Any = dask.array.map_blocks
    stack: da.Array = map_blocks(block, chunks=chunks, dtype=header.dtype, meta=meta)
    return stack


def _read(page: _Page) -> np.ndarray:
    """Read a page when it is looked at; one that fails is black and reported by name."""
    try:
        image = read_image(page.sample.path, page.sample.page)
        if image.shape == page.header.shape:
            return image.astype(page.header.dtype, copy=False)
        found = f"{page.sample.path}: {image.shape} pixels; its header says {page.header.shape}"
    except ImageError as error:
        found = str(error)
    warnings.warn(f"{found} (shown black)", DataWarning, stacklevel=2)
    return np.zeros(page.header.shape, page.header.dtype)


def _masks(dataset: Dataset, pages: Sequence[_Page], name: str) -> list[LayerData]:
    if not pages:
        return []
    if not _one_shape(pages):
        return [
            _labels(
                [page], f"{page.sample.name} ground truth", _single(dataset, page), visible=k == 0
            )
            for k, page in enumerate(_spread(pages))
            if page.sample.mask_path
        ]
    about = sample_metadata(dataset, [page.sample for page in pages])
    height, width = pages[0].header.shape[:2]
    if len(pages) * height * width > MASK_PIXELS:
        return [_lazy_labels(pages, name, about)]
    return [_labels(pages, name, about, visible=True)]


def _labels(
    pages: Sequence[_Page], name: str, about: dict[str, Any], *, visible: bool
) -> LayerData:
    """Number the defects 1..N over all images: napari's features table takes row k for label k."""
    import pandas as pd  # comes with napari

    height, width = pages[0].header.shape[:2]
    data, counts = parts(map(_mask, pages), (len(pages), height, width))
    rows: list[tuple[int, str, str]] = [(0, "", "background")]
    for page, count in zip(pages, counts, strict=True):
        rows += [(len(rows) + k, page.sample.name, page.sample.defect) for k in range(count)]
    features = pd.DataFrame(rows, columns=["index", "sample", "defect"])
    about = about | {DIGESTS: [digest(image) for image in data]}
    stacked = isinstance(about["sample"], list)
    return _labels_layer(data if stacked else data[0], name, about, visible, features)


def _lazy_labels(pages: Sequence[_Page], name: str, about: dict[str, Any]) -> LayerData:
    import dask.array  # comes with napari

    size = pages[0].header.shape[:2]

    def block(block_id: tuple[int, ...]) -> np.ndarray:
        return _mask(pages[block_id[0]]).astype(np.uint8)[None]

    chunks = ((1,) * len(pages), *((side,) for side in size))
    map_blocks: Any = dask.array.map_blocks
    data = map_blocks(block, chunks=chunks, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
    warnings.warn(
        f"{name}: {len(pages)} masks of {size[0]} x {size[1]} pixels are read when they are "
        "looked at and cannot be painted in; open fewer images to edit them",
        DataWarning,
        stacklevel=2,
    )
    return _labels_layer(data, name, about, True, None)


def _labels_layer(
    data: Any, name: str, about: dict[str, Any], visible: bool, features: "pd.DataFrame | None"
) -> LayerData:
    labels = ("image", "y", "x")[-data.ndim :]
    attributes = {"name": name, "metadata": about, "visible": visible, "axis_labels": labels}
    attributes |= {"colormap": MASK_COLOUR, "opacity": 0.4}
    return data, attributes | ({} if features is None else {"features": features}), "labels"


def _mask(page: _Page) -> np.ndarray:
    shape = page.header.shape
    try:
        mask = mask_of(page.sample, shape)
    except ImageError as error:
        warnings.warn(f"{error} (shown empty)", DataWarning, stacklevel=2)
        mask = None
    return np.zeros(shape[:2], bool) if mask is None else mask


@contextmanager
def _few_warnings(folder: Path) -> Iterator[None]:
    """Pass on the first few warnings and count the rest: a popup each would bury the window."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    ours = [entry for entry in caught if issubclass(entry.category, DataWarning)]
    for entry in [entry for entry in caught if entry not in ours] + ours[:3]:
        warnings.warn(entry.message, stacklevel=3)
    if len(ours) > 3:
        warnings.warn(
            f"{folder}: {len(ours) - 3} more warnings like these", DataWarning, stacklevel=3
        )
