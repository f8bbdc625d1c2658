"""The recipes that have a name. No JAX here."""

from collections.abc import Mapping
from dataclasses import replace

from napari_anomaly.core.errors import RecipeError
from napari_anomaly.core.methods.knobs.autoencoder import Autoencoder
from napari_anomaly.core.methods.knobs.dagmm import DAGMM
from napari_anomaly.core.methods.knobs.denoising import Denoising
from napari_anomaly.core.methods.knobs.fanogan import FAnoGAN
from napari_anomaly.core.methods.knobs.linear import Linear
from napari_anomaly.core.methods.knobs.shared import Training
from napari_anomaly.core.methods.knobs.ssim_autoencoder import SSIMAutoencoder
from napari_anomaly.core.methods.knobs.svm import OneClassSVM
from napari_anomaly.core.methods.knobs.vae import VAE
from napari_anomaly.core.methods.knobs.vaegan import VAEGAN
from napari_anomaly.core.methods.recipes import AnyMethod, Recipe, Residual
from napari_anomaly.core.methods.settings import changed, to_plain
from napari_anomaly.core.normalise import Normalise
from napari_anomaly.core.preprocess import Colour, Equalise, Preprocessing, Resize


def _grid(size: int) -> Preprocessing:
    return Preprocessing((Colour(), Resize(size=(size, size))))


def _centred(colour: Colour) -> Preprocessing:
    """64 x 64 pixels in [-1, 1], as a generator draws them."""
    return Preprocessing((colour, Resize(size=(64, 64), enlarge=True)), Normalise(kind="fixed"))


_SLIDES = Training(
    unit="epochs",
    batch=32,
    learning_rate=2e-4,
    schedule="constant",
    clip=None,
    beta1=0.5,
    average=0.999,
    flip=True,
)

_PAPER = Training(batch=64, schedule="constant", clip=None, beta1=0.0, beta2=0.9)

_WITHIN_256 = Preprocessing(
    (Colour(), Resize(size=(256, 256), enlarge=True)), Normalise(kind="none")
)


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
    "denoising": Recipe(
        Denoising(),
        Preprocessing((Colour(), Resize(size=(128, 128))), Normalise(kind="none")),
        Residual(smooth=2.0),
    ),
    "ssim-autoencoder": Recipe(
        SSIMAutoencoder(),
        _WITHIN_256,
        Residual(kind="ssim", smooth=0.0),
        standardise="texture",
    ),
    "ssim-autoencoder-object": Recipe(
        SSIMAutoencoder(
            window=None,
            halvings=5,
            latent=500,
            training=Training(duration=150, weight_decay=1e-5),
        ),
        _WITHIN_256,
        Residual(kind="ssim", smooth=0.0),
    ),
    "vae": Recipe(VAE(), _grid(128), Residual(smooth=2.0)),
    "vae-gan": Recipe(VAEGAN(), _centred(Colour()), Residual(smooth=1.0)),
    "f-anogan": Recipe(FAnoGAN(), _centred(Colour()), Residual(smooth=1.0)),
    "f-anogan-slides": Recipe(
        FAnoGAN(
            latent=100,
            training=replace(_SLIDES, duration=1500),
            encoding=replace(_SLIDES, duration=200),
        ),
        _centred(Colour(to="rgb")),
        Residual(smooth=0.0),
        standardise="none",
        score="latent",
        latent_score="own",
    ),
    "f-anogan-paper": Recipe(
        FAnoGAN(
            widths=(64, 128, 256, 512, 512),
            blocks="residual",
            latent=128,
            training=replace(_PAPER, duration=29_500, learning_rate=1e-4, average=0.999),
            encoding=replace(
                _PAPER, duration=50_000, learning_rate=5e-5, optimiser="rmsprop", average=0.0
            ),
        ),
        _centred(Colour(to="grey")),
        Residual(smooth=0.0),
        standardise="none",
        score="latent",
        latent_score="own",
    ),
    "one-class-svm": Recipe(OneClassSVM(), _grid(128), score="latent", latent_score="own"),
    "dagmm": Recipe(DAGMM(), _grid(64), Residual(smooth=1.0), score="both", latent_score="own"),
}
"""Named recipes, cheapest first; the names that ``fit`` and the command line take."""


def recipe_of(choice: str | Recipe | AnyMethod) -> Recipe:
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
