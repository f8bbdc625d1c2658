"""Knobs by name, from forms, command lines and files."""

import json

import pytest

from napari_anomaly.core.errors import RecipeError
from napari_anomaly.core.methods.knobs.linear import Linear
from napari_anomaly.core.methods.knobs.vae import VAE
from napari_anomaly.core.methods.presets import RECIPES, recipe_of
from napari_anomaly.core.methods.recipes import Recipe
from napari_anomaly.core.methods.settings import changed, from_plain, knobs_of, to_plain


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_survive_json(name):
    recipe = RECIPES[name]

    assert from_plain(json.loads(json.dumps(to_plain(recipe)))) == recipe


@pytest.mark.parametrize("name", RECIPES)
def test_every_knob_says_what_it_does_and_can_be_set_to_what_it_is(name):
    recipe = RECIPES[name]

    knobs = list(knobs_of(recipe))

    assert len({knob.path for knob in knobs}) == len(knobs)
    assert all(knob.help for knob in knobs)
    assert changed(recipe, {knob.path: knob.value for knob in knobs}) == recipe


def test_bounds_are_those_that_are_checked():
    bounds = {knob.path: (knob.least, knob.most) for knob in knobs_of(RECIPES["linear"])}

    assert bounds["method.patch"] == (2, 32)
    changed(RECIPES["linear"], {"patch": 32})
    with pytest.raises(
        RecipeError, match=r"method\.linear\.patch: found 33; .*less than or equal to 32"
    ):
        changed(RECIPES["linear"], {"patch": 33})


def test_knobs_are_set_by_their_last_name_or_as_typed():
    recipe = changed(RECIPES["vae"], {"batch": "8", "beta": 0, "smooth": "1.5", "flip": "true"})

    assert recipe.method.training.batch == 8
    assert recipe.method.training.flip is True
    assert (recipe.method.beta, recipe.residual.smooth) == (0, 1.5)
    assert RECIPES["vae"].method.training.batch != 8


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"widht": 3}, r"found the knob 'widht'; expected one of method\.widths, "),
        ({"kind": "ssim"}, r"'kind' is ambiguous: write one of .*residual\.kind"),
        ({"beta": float("nan")}, r"beta: found nan; .*finite"),
        ({"beta": -1}, r"beta: found -1; .*greater than or equal to 0"),
        ({"batch": "many"}, r"batch: found 'many'; .*valid integer"),
        ({"widths": []}, r"widths: found \[\]; .*at least 1 item"),
        ({"widths": [8, 0]}, r"widths\.1: found 0"),
        ({"widths": 8}, r"widths: found 8; input should be a list, such as \[1, 2\]"),
        ({"data_range": [5, 1]}, r"used: preprocess: found data_range \(5\.0, 1\.0\); expected"),
        ({"batch": 0, "latent": 0}, r"latent: found 0; .*; .*batch: found 0; "),
    ],
)
def test_impossible_knobs_are_told(knobs, words):
    with pytest.raises(RecipeError, match=words):
        changed(RECIPES["vae"], knobs)


@pytest.mark.parametrize("place", ["method", "preprocess", "residual", None])
def test_a_misspelled_knob_in_a_file_is_told(place):
    plain = to_plain(RECIPES["vae"])
    (plain[place] if place else plain)["smoooth"] = 1

    with pytest.raises(RecipeError, match="smoooth: found 1; unexpected"):
        from_plain(plain)


def test_a_recipe_is_named_or_made_from_knobs():
    assert recipe_of("linear") is RECIPES["linear"]
    assert recipe_of(Recipe()) == Recipe()
    made = recipe_of(VAE(latent=7))
    assert made.method == VAE(latent=7)
    assert made.preprocess == RECIPES["vae"].preprocess
    assert recipe_of(Linear()).method == Linear()
    with pytest.raises(RecipeError, match="found the method 'gan'; expected one of linear, "):
        recipe_of("gan")


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("denoising", ("none", "range")),
        ("ssim-autoencoder", ("none", "range")),
        ("f-anogan", ("fixed", "range", "none")),
        ("vae-gan", ("fixed", "range", "none")),
        ("autoencoder-weld", ("standard", "fixed", "range", "none")),
    ],
)
def test_a_range_of_intensities_that_does_not_fit_the_method_is_refused(name, fits):
    for kind in ("standard", "fixed", "range", "none"):
        if kind in fits:
            recipe = changed(RECIPES[name], {"normalise.kind": kind})
            assert recipe.preprocess.normalise.kind == kind
            continue
        words = rf"used: found preprocess\.normalise\.kind={kind}; expected, for .* {' or '.join(fits)}$"
        with pytest.raises(RecipeError, match=words):
            changed(RECIPES[name], {"normalise.kind": kind})
