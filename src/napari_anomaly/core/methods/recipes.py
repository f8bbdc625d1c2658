"""What can be chosen: the methods' knobs, and the whole recipe from image file to map. No JAX here.

To add a method: a knob dataclass here with its ``implementation``, one file beside this one, an entry in ``RECIPES``.
"""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass as plain_dataclass
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, runtime_checkable

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from napari_anomaly.core.errors import RecipeError
from napari_anomaly.core.normalise import Normalise
from napari_anomaly.core.preprocess import Colour, Equalise, Preprocessing, Resize
from napari_anomaly.core.stack import Stack
from napari_anomaly.core.types import Progress

if TYPE_CHECKING:
    from napari_anomaly.core.methods.fitted import Fitted


@runtime_checkable
class Implementation(Protocol):
    """What the module behind a method's knobs offers."""

    def fit_steps(
        self, knobs: Any, images: Stack, *, seed: int, budget: float | None, keeper: Any
    ) -> Generator[Progress, None, "Fitted"]:
        """Fit to normalised training images."""

    def restore(self, knobs: Any, arrays: Mapping[str, np.ndarray]) -> "Fitted":
        """Rebuild a fitted method from its arrays."""


_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)  # a misspelled knob is an error

Scale = Annotated[int, Field(ge=1, le=64)]
Widths = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, max_length=10)]


@dataclass(frozen=True, config=_STRICT)
class Linear:
    """Linear autoencoder in closed form: principal components of image patches at several scales.

    Fitted in seconds on a CPU. The reconstruction of a pixel is the mean over all patches that hold it.
    ``support="image"`` takes the whole image as one patch: for aligned objects.

    References
    ----------
    Bourlard and Kamp 1988, doi:10.1007/BF00332918 (the linear autoencoder is PCA); Turk and Pentland 1991,
    doi:10.1162/jocn.1991.3.1.71 (whole images, distance from feature space).
    """

    name: Literal["linear"] = "linear"
    support: Literal["patch", "image"] = Field(
        default="patch",
        description="components of patches (textures) or of whole images (aligned objects)",
    )
    patch: int = Field(default=8, ge=2, le=32, description="side of a patch in pixels of its scale")
    scales: tuple[Scale, ...] = Field(
        default=(1, 2, 4), min_length=1, description="the image is shrunk by each of these factors"
    )
    components: int = Field(
        default=8, ge=1, description="components kept at each scale; more copy more, defects too"
    )

    def implementation(self) -> Implementation:
        """Return the module that fits it."""
        from napari_anomaly.core.methods import linear

        return linear


@dataclass(frozen=True, config=_STRICT)
class Training:
    """How a network is trained: Adam with warm-up and cosine decay, clipped gradients, averaged weights.

    References
    ----------
    Kingma and Ba 2015, arXiv:1412.6980 (Adam); Polyak and Juditsky 1992, doi:10.1137/0330046 (averaged weights).
    """

    duration: int = Field(default=600, ge=1, description="length of training, in the unit below")
    unit: Literal["steps", "epochs"] = Field(
        default="steps", description="steps, or epochs (passes over the training images)"
    )
    batch: int = Field(default=16, ge=1, description="images per step")
    learning_rate: float = Field(default=2e-3, gt=0, le=1, description="highest learning rate")
    schedule: Literal["cosine", "constant"] = Field(
        default="cosine", description="cosine: warm up, then fall to zero; constant"
    )
    clip: float | None = Field(
        default=1.0,
        gt=0,
        description="largest norm of the gradient, longer ones are cut; none: never",
    )
    average: float = Field(
        default=0.99,
        ge=0,
        lt=1,
        description="decay of the averaged weights that are kept; 0: the last ones",
    )
    flip: bool = Field(
        default=False, description="mirror half of the training images left to right"
    )
    rotate: float = Field(
        default=0.0, ge=0, le=180, description="turn training images by up to so many degrees"
    )
    crop: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="cut up to this share of the sides off training images, and enlarge the rest",
    )
    brightness: float = Field(
        default=0.0,
        ge=0,
        description="brighten or darken training images by up to so many standard deviations",
    )


@dataclass(frozen=True, config=_STRICT)
class Autoencoder:
    """Convolutional autoencoder, mean squared error.

    Each level is a 3x3 convolution that halves the image (by stride or by max-pooling) and a transposed convolution
    that doubles it; ``latent`` adds a dense bottleneck.

    References
    ----------
    Bergmann et al. 2019, doi:10.1109/CVPR.2019.00982 (autoencoders on MVTec AD).
    """

    name: Literal["autoencoder"] = "autoencoder"
    widths: Widths = Field(default=(16, 32, 64, 64), description="channels of each level")
    down: Literal["stride", "pool"] = Field(
        default="stride",
        description="halve by a strided convolution, or by convolution and max-pooling",
    )
    latent: int | None = Field(
        default=None, ge=1, description="size of a dense bottleneck; none: stay convolutional"
    )
    training: Training = Training()

    def implementation(self) -> Implementation:
        """Return the module that fits it."""
        from napari_anomaly.core.methods import autoencoder

        return autoencoder


@dataclass(frozen=True, config=_STRICT)
class VAE:
    """Variational autoencoder: the same encoder and decoder with a Gaussian latent.

    The loss is the negative evidence lower bound for a unit-variance Gaussian decoder: squared error summed over
    pixels and channels / 2, plus ``beta`` times the KL divergence **summed over the latent**; both averaged over the
    batch.

    References
    ----------
    Kingma and Welling 2014, arXiv:1312.6114, eq. 10 and appendix B; Higgins et al. 2017 (beta-VAE).
    """

    name: Literal["vae"] = "vae"
    widths: Widths = Field(default=(16, 32, 64, 64), description="channels of each level")
    down: Literal["stride", "pool"] = Field(
        default="stride",
        description="halve by a strided convolution, or by convolution and max-pooling",
    )
    latent: int = Field(default=128, ge=1, description="size of the latent")
    beta: float = Field(default=1.0, ge=0, description="weight of the KL term")
    score: Literal["reconstruction", "kl", "both"] = Field(
        default="reconstruction",
        description="what makes an image strange: its residual, its KL term, or both",
    )
    training: Training = Training()

    def implementation(self) -> Implementation:
        """Return the module that fits it."""
        from napari_anomaly.core.methods import vae

        return vae


Method = Annotated[Linear | Autoencoder | VAE, Field(discriminator="name")]


@dataclass(frozen=True, config=_STRICT)
class Residual:
    """How image and reconstruction become a map: see :mod:`napari_anomaly.core.residuals`."""

    kind: Literal["absolute", "squared", "ssim"] = Field(
        default="absolute", description="absolute, squared, or 1 - SSIM (structure)"
    )
    colour: Literal["channels", "grey"] = Field(
        default="channels", description="mean over the channels, or of the grey images"
    )
    smooth: float = Field(
        default=4.0,
        ge=0,
        le=100,
        description="sigma of the Gaussian that smooths the map, pixels of the method's grid",
    )


@dataclass(frozen=True, config=_STRICT)
class Recipe:
    """Everything that is decided before fitting; with a seed and the images it determines the detector."""

    method: Method = Linear()
    preprocess: Preprocessing = Preprocessing()
    residual: Residual = Residual()
    standardise: Literal["place", "texture", "none"] = Field(
        default="place",
        description="place: by what held-out normals show at that place; texture: over all places; none",
    )
    pool: Literal["max", "top", "mean"] = Field(
        default="max",
        description="image score: highest value, mean of the top 0.1 % of pixels, or mean",
    )
    min_area: int = Field(
        default=4,
        ge=1,
        description="connected regions below this many pixels are noise and removed",
    )


def _grid(size: int) -> Preprocessing:
    return Preprocessing((Colour(), Resize(size=(size, size))))


RECIPES: Mapping[str, Recipe] = {
    "linear": Recipe(),
    "linear-image": Recipe(Linear(support="image"), _grid(128)),
    "autoencoder": Recipe(Autoencoder(), _grid(128), Residual(smooth=2.0)),
    "autoencoder-weld": Recipe(
        Autoencoder(
            widths=(16, 32, 64, 128),
            down="pool",
            training=Training(
                duration=100, unit="epochs", learning_rate=1e-3, clip=None, average=0.0
            ),
        ),
        Preprocessing(
            (Resize(size=(256, 256), enlarge=True), Colour(to="grey"), Equalise()),
            Normalise(kind="range"),
        ),
        Residual(smooth=0.0),
        standardise="none",
        pool="mean",
        min_area=16,
    ),
    "autoencoder-mvtec": Recipe(
        Autoencoder(
            widths=(32, 64, 128, 256, 256, 256),
            latent=1024,
            training=Training(
                duration=300,
                unit="epochs",
                batch=70,
                learning_rate=1e-3,
                schedule="constant",
                clip=None,
                average=0.0,
                flip=True,
            ),
        ),
        Preprocessing(
            (Colour(to="rgb"), Resize(size=(256, 256), enlarge=True)), Normalise(kind="fixed")
        ),
    ),
    "vae": Recipe(VAE(), _grid(128), Residual(smooth=2.0)),
}
"""Named recipes, cheapest first; the names that ``fit`` and the command line take."""


def recipe_of(choice: "str | Recipe | Linear | Autoencoder | VAE") -> Recipe:
    """Return the whole recipe behind a name, a method's knobs, or a recipe.

    A method's knobs take the rest (preprocessing, residual, ...) from the named recipe of that method.

    Raises
    ------
    RecipeError
        For a name that is not in ``RECIPES``.
    """
    if isinstance(choice, Recipe):
        return choice
    if isinstance(choice, str):
        if choice not in RECIPES:
            raise RecipeError(f"found the method {choice!r}; expected one of {', '.join(RECIPES)}")
        return RECIPES[choice]
    return changed(RECIPES[choice.name], {"method": to_plain(choice)})


_RECIPE = TypeAdapter(Recipe)


def to_plain(recipe: Any) -> dict[str, Any]:
    """Return a recipe, or a part of one, as JSON-ready dicts, lists, numbers and strings."""
    plain: dict[str, Any] = TypeAdapter(type(recipe)).dump_python(recipe, mode="json")
    return plain


def from_plain(plain: Mapping[str, Any]) -> Recipe:
    """Build a recipe from what :func:`to_plain` gave, or a person wrote; every value is checked.

    Raises
    ------
    RecipeError
        Naming each wrong knob, what was found and what was expected.
    """
    try:
        return _RECIPE.validate_python(plain)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, one['loc']))}: {_wrong(one)}" for one in error.errors()]
        raise RecipeError("the recipe cannot be used: " + "; ".join(lines)) from error


def _wrong(one: Mapping[str, Any]) -> str:
    """Say what was found and what was expected."""
    if one["type"] == "value_error":  # our own words, which say both
        return str(one["ctx"]["error"])
    expected = one["msg"][0].lower() + one["msg"][1:]
    if one["type"] == "tuple_type":
        expected = "input should be a list, such as [1, 2]"
    return f"found {one['input']!r}; {expected}"


def changed(recipe: Recipe, knobs: Mapping[str, Any]) -> Recipe:
    """Return a recipe with some knobs changed.

    Parameters
    ----------
    recipe : Recipe
    knobs : mapping
        Names as :func:`knobs_of` lists them (``"method.training.batch"``), or their last part where that is unique
        (``"batch"``), to values, or to the strings a person typed.

    Raises
    ------
    RecipeError
        For a knob that does not exist or is ambiguous, or an impossible value.
    """
    plain = to_plain(recipe)
    known = [*(knob.path for knob in knobs_of(recipe)), "method", "preprocess", "preprocess.steps"]
    for name, value in knobs.items():
        path = _path_of(name, known)
        *parents, last = path.split(".")
        place: Any = plain
        for parent in parents:
            place = place[int(parent)] if isinstance(place, list) else place[parent]
        place[last] = value
    return from_plain(plain)


def _path_of(name: str, known: list[str]) -> str:
    matches = [path for path in known if path == name] or [
        path for path in known if path.endswith("." + name)
    ]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise RecipeError(f"the knob {name!r} is ambiguous: write one of {', '.join(matches)}")
    raise RecipeError(f"found the knob {name!r}; expected one of {', '.join(known)}")


@plain_dataclass(frozen=True)
class Knob:
    """One thing that can be set: its dotted path in the recipe, type, value, meaning and bounds."""

    path: str
    type: Any
    value: Any
    help: str
    least: float | None
    most: float | None


def knobs_of(recipe: Any, prefix: str = "") -> Iterator[Knob]:
    """List every knob of a recipe, or of a part of one, with its present value."""
    for name, field in type(recipe).__pydantic_fields__.items():
        value = getattr(recipe, name)
        if is_dataclass(value):
            yield from knobs_of(value, f"{prefix}{name}.")
        elif isinstance(value, tuple) and value and is_dataclass(value[0]):
            for place, part in enumerate(value):
                yield from knobs_of(part, f"{prefix}{name}.{place}.")
        elif field.description:
            bounds = {
                bound: float(getattr(one, bound))
                for one in field.metadata
                for bound in ("ge", "gt", "le", "lt")
                if hasattr(one, bound)
            }
            yield Knob(
                prefix + name,
                field.annotation,
                value,
                field.description,
                bounds.get("ge", bounds.get("gt")),
                bounds.get("le", bounds.get("lt")),
            )
