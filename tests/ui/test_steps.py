"""Optional preprocessing is shown as the recipe has it, and put where it makes sense."""

from dataclasses import replace

import pytest

from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.core.preprocess import (
    Colour,
    Crop,
    Equalise,
    FalseColour,
    Preprocessing,
    Resize,
)
from napari_anomaly.ui.steps import CLIP, EQUALISE, FALSE_COLOUR, step_knobs, with_crop, with_steps


def having(*steps):
    return replace(RECIPES["linear"], preprocess=Preprocessing(steps))


def chosen(recipe, **changes):
    names = {"false_colour": FALSE_COLOUR, "equalise": EQUALISE, "clip": CLIP}
    return {knob.path: knob.value for knob in step_knobs(recipe)} | {
        names[name]: value for name, value in changes.items()
    }


@pytest.mark.parametrize("name", RECIPES)
def test_nothing_changed_gives_the_recipe_back(name):
    assert with_steps(RECIPES[name], chosen(RECIPES[name])) is RECIPES[name]


def test_present_steps_are_the_values():
    recipe = having(
        Colour(), FalseColour(colormap="bone"), Equalise(kind="clahe", clip=0.2), Resize()
    )
    assert chosen(recipe) == {FALSE_COLOUR: "bone", EQUALISE: "clahe", CLIP: 0.2}
    assert chosen(RECIPES["autoencoder-weld"])[EQUALISE] == "global"
    assert chosen(RECIPES["linear"]) == {FALSE_COLOUR: "none", EQUALISE: "none", CLIP: 0.01}


@pytest.mark.parametrize(
    ("before", "changes", "after"),
    [
        (
            (Colour(), Resize()),
            {"equalise": "global"},
            (Colour(), Resize(), Equalise(kind="global")),
        ),
        (
            (Colour(), Resize()),
            {"false_colour": "jet"},
            (Colour(), FalseColour(colormap="jet"), Resize()),
        ),
        ((Resize(),), {"false_colour": "jet"}, (FalseColour(colormap="jet"), Resize())),
        (
            (Crop(box=(0, 0, 9, 9)), Resize()),
            {"false_colour": "jet"},
            (Crop(box=(0, 0, 9, 9)), FalseColour(colormap="jet"), Resize()),
        ),
        # a grey step after false colours would take them away again
        (
            (Resize(), Colour(to="grey"), Equalise()),
            {"false_colour": "jet", "equalise": "clahe", "clip": 0.5},
            (
                Resize(),
                Colour(to="grey"),
                FalseColour(colormap="jet"),
                Equalise(kind="clahe", clip=0.5),
            ),
        ),
        ((Colour(), Equalise(), Resize()), {"equalise": "none"}, (Colour(), Resize())),
        ((FalseColour(colormap="jet"), Resize()), {"false_colour": "none"}, (Resize(),)),
    ],
)
def test_steps_stand_in_order(before, changes, after):
    recipe = having(*before)
    assert with_steps(recipe, chosen(recipe, **changes)).preprocess.steps == after


def test_a_crop_is_first_and_alone():
    recipe = having(Crop(box=(0, 0, 9, 9)), Resize())
    after = with_crop(recipe, Crop(box=(1, 2, 30, 40)))
    assert after.preprocess.steps == (Crop(box=(1, 2, 30, 40)), Resize())
