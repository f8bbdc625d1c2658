"""The nouns that travel between the rooms. Axis order is ``(n, y, x, c)`` everywhere."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int, UInt8

Image = np.ndarray
"""An image as a person gives it: ``(y, x)`` or ``(y, x, c)``, any real dtype."""

AnomalyMap = Float[np.ndarray, "y x"]
"""float32 on the image's own pixel grid; higher is stranger; comparable between images of one detector."""

Verdict = Literal["pass", "review", "fail"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a dataset: where it lies and what is known about it. Holds no pixels.

    Attributes
    ----------
    path : Path
        The image file.
    name : str
        The path below the dataset's folder with ``/`` (``test/crack/000.png``), with ``[k]`` appended for page k > 0.
    split : {"train", "test"}
        Which side of the MVTec layout it lies on; every image of a plain folder is ``"train"``.
    defect : str
        ``"good"`` or the name of the defect's folder.
    mask_path : Path or None
        Its ground-truth mask, where there is one.
    page : int
        Page of a multi-page file, from 0.
    """

    path: Path
    name: str
    split: Literal["train", "test"] = "train"
    defect: str = "good"
    mask_path: Path | None = None
    page: int = 0


@dataclass(frozen=True, slots=True)
class Running:
    """What may be asked of a training that waits at one of its steps. Asking changes nothing in what it learns.

    Attributes
    ----------
    finish : callable
        Ends this training early, as a budget would: what it learned so far is the result. May be called from any
        thread, at any time.
    fitted : callable, optional
        Returns the fitted method of now. Like `rebuild`, only in the thread of the training, before its next step.
    rebuild : callable, optional
        From an image, as a person gives it, to what the method sees of it and what it makes of that by now:
        ``(2, y, x, c)`` in [0, 1].
    """

    finish: Callable[[], None]
    fitted: Callable[[], Any] | None = None
    rebuild: Callable[[Image], Float[np.ndarray, "2 y x c"]] | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a long piece of work.

    Attributes
    ----------
    stage : str
        What is being done, in words a user may read: ``"reading"``, ``"training"``, ``"calibrating"``.
    step, total : int
        Steps done and steps in this stage.
    loss : float or None
        The training loss of the step, where there is one.
    picture : float array, ``(y, x, c)`` in [0, 1], or None
        What a generator draws by now, shown every so often.
    running : Running or None
        The training that this is a step of, where it can be asked something.
    """

    stage: str
    step: int
    total: int
    loss: float | None = None
    picture: Float[np.ndarray, "y x c"] | None = field(default=None, compare=False, repr=False)
    running: Running | None = field(default=None, compare=False, repr=False)

    @property
    def training(self) -> bool:
        """Whether it is a training: ``"training"``, or one of several, as ``"training the encoder"``."""
        return self.stage.startswith("training")


@dataclass(frozen=True, slots=True)
class Region:
    """One connected anomalous region (8-connected).

    Attributes
    ----------
    label : int
        Its value in ``Inspection.labels``, from 1.
    area : int
        Pixels.
    bbox : tuple of int
        ``(y0, x0, y1, x1)``, half open, pixels.
    centroid : tuple of float
        ``(y, x)``, pixels.
    max_score, mean_score : float
        Of the anomaly map inside the region.
    p_value : float
        Share of normal images expected to hold a peak at least as high as ``max_score``.
    """

    label: int
    area: int
    bbox: tuple[int, int, int, int]
    centroid: tuple[float, float]
    max_score: float
    mean_score: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a detector says about one image, everything on the image's own pixel grid.

    Attributes
    ----------
    reconstruction : float32 array, ``(y, x)`` or ``(y, x, 3)``
        What the method thinks the image should look like, in [0, 1], after the recipe's colour steps.
    anomaly_map : float32 array, ``(y, x)``
        Standardised residual; higher is stranger.
    score : float
        The map pooled to one number.
    p_value : float
        ``(1 + #{normals with score >= s}) / (n + 1)``.
    verdict : {"pass", "review", "fail"}
    threshold : float
        Score above which the verdict is ``"fail"``.
    map_threshold : float
        Value of the map above which a pixel belongs to a region.
    labels : int32 array, ``(y, x)``
        0 is background, 1..N are regions without gaps.
    regions : tuple of Region
        Ordered by label.
    localises : bool
        Whether the method says where; if not, the reconstruction is the image, the map 0, and there are no regions.
    """

    reconstruction: np.ndarray
    anomaly_map: AnomalyMap
    score: float
    p_value: float
    verdict: Verdict
    threshold: float
    map_threshold: float
    labels: Int[np.ndarray, "y x"]
    regions: tuple[Region, ...]
    localises: bool = True


Mask = UInt8[np.ndarray, "y x"]
