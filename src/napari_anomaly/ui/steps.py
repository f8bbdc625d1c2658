"""Preprocessing that a recipe may or may not have, as knobs beside the recipe's own."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

from napari_anomaly.core.methods.recipes import Recipe
from napari_anomaly.core.methods.settings import Knob, knobs_of
from napari_anomaly.core.preprocess import Colour, Crop, Equalise, FalseColour, Step

COLORMAPS = ("inferno", "magma", "viridis", "turbo", "jet", "hot")
"""Those heat-map cameras show, and their modern relatives."""

FALSE_COLOUR, EQUALISE, CLIP = "preprocess.false_colour", "preprocess.equalise", "preprocess.clip"
NONE = "none"


def own_knobs(recipe: Recipe) -> Iterator[Knob]:
    """List the recipe's knobs but those of the steps that can be left out."""
    optional = tuple(
        f"preprocess.steps.{place}."
        for place, step in enumerate(recipe.preprocess.steps)
        if isinstance(step, (FalseColour, Equalise, Crop))
    )
    return (knob for knob in knobs_of(recipe) if not knob.path.startswith(optional))


def step_knobs(recipe: Recipe) -> Iterator[Knob]:
    """List the steps that can be left out, with what the recipe has of them."""
    steps = recipe.preprocess.steps
    colour = next((step.colormap for step in steps if isinstance(step, FalseColour)), NONE)
    equalise = next((step for step in steps if isinstance(step, Equalise)), None)
    colormaps: Any = Literal[tuple(dict.fromkeys((NONE, *COLORMAPS, colour)))]
    yield Knob(
        FALSE_COLOUR,
        colormaps,
        colour,
        "show grey values in the colours of this matplotlib colormap, as a heat-map camera does",
        None,
        None,
    )
    yield Knob(
        EQUALISE,
        Literal["none", "global", "clahe"],
        NONE if equalise is None else equalise.kind,
        "spread the histogram of each image: over the whole image, or in tiles (clahe)",
        None,
        None,
    )
    yield Knob(
        CLIP,
        float,
        (equalise or Equalise()).clip,
        "clahe only: how much contrast a tile may gain, 0 to 1",
        0.0,
        1.0,
    )


def with_steps(recipe: Recipe, chosen: Mapping[str, Any]) -> Recipe:
    """Return a recipe with the chosen steps, in the order that makes sense of them.

    Parameters
    ----------
    recipe : Recipe
    chosen : mapping
        From the paths of :func:`step_knobs` to values.
    """
    if all(chosen[knob.path] == knob.value for knob in step_knobs(recipe)):
        return recipe
    steps: list[Step] = [
        step for step in recipe.preprocess.steps if not isinstance(step, (FalseColour, Equalise))
    ]
    if chosen[FALSE_COLOUR] != NONE:
        places = [place for place, step in enumerate(steps) if isinstance(step, (Colour, Crop))]
        steps.insert(max(places, default=-1) + 1, FalseColour(colormap=chosen[FALSE_COLOUR]))
    if chosen[EQUALISE] != NONE:
        steps.append(Equalise(kind=chosen[EQUALISE], clip=chosen[CLIP]))
    return _with(recipe, steps)


def with_crop(recipe: Recipe, crop: Crop) -> Recipe:
    """Return a recipe that looks at a region of interest only."""
    others = [step for step in recipe.preprocess.steps if not isinstance(step, Crop)]
    return _with(recipe, [crop, *others])


def _with(recipe: Recipe, steps: list[Step]) -> Recipe:
    return replace(recipe, preprocess=replace(recipe.preprocess, steps=tuple(steps)))
