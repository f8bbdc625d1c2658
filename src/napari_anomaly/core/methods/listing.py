"""The recipes as text: what each method is, where it comes from, and what can be set. No JAX here."""

import inspect
import json
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Any

from napari_anomaly.core.methods.presets import RECIPES, recipe_of
from napari_anomaly.core.methods.recipes import Recipe
from napari_anomaly.core.methods.settings import Knob, knobs_of, to_plain

_WIDTH = 79
_COLUMN = 26  # of a knob's name and value


def listing(name: str | None = None) -> Iterator[str]:
    """Yield the lines that describe all recipes, or one with all its knobs.

    Raises
    ------
    RecipeError
        For a name that is not in ``RECIPES``.
    """
    if name is not None:
        yield from _described(name, recipe_of(name))
        yield from _knob_lines(list(knobs_of(recipe_of(name))), recipe_of(name))
        yield from _steps(recipe_of(name))
        return
    for one, recipe in RECIPES.items():
        yield from _described(one, recipe)
        if one == recipe.method.name:
            yield from _knob_lines(_own(recipe), recipe)
        yield ""
    common = next(iter(RECIPES.values()))
    yield "Every method"
    yield from _knob_lines([knob for knob in knobs_of(common) if knob not in _own(common)], common)
    yield from _steps(common)
    yield ""
    yield "Set a knob with --set NAME=VALUE, for example --set patch=6 --set pool=top."


def _described(name: str, recipe: Recipe) -> Iterator[str]:
    yield name
    parent = recipe.method.name
    if name != parent:
        yield from _indented(f"{parent} with {_differences(recipe, RECIPES[parent])}")
        return
    words = inspect.getdoc(type(recipe.method)) or ""
    about, _, source = words.partition("References\n----------\n")
    yield from _indented(about.split("\n\n")[0])
    yield from _indented(f"From: {source}")
    first = next(iter(RECIPES.values()))
    others = _differences(recipe, first, own=False)
    if others:
        yield from _indented(f"Differs from the defaults of every method: {others}")


def _own(recipe: Recipe) -> list[Knob]:
    return [knob for knob in knobs_of(recipe) if knob.path.startswith("method.")]


def _differences(recipe: Recipe, other: Recipe, own: bool = True) -> str:
    """Name what is set differently; ``own`` includes the method's own knobs."""
    theirs = {knob.path: knob.value for knob in knobs_of(other)}
    changes = [
        f"{_short(knob, list(knobs_of(recipe)))}={_value(knob.value)}"
        for knob in knobs_of(recipe)
        if (own or not knob.path.startswith("method."))
        if not knob.path.startswith("preprocess.steps.") and theirs.get(knob.path) != knob.value
    ]
    if recipe.preprocess.steps != other.preprocess.steps:
        changes.append(f"steps: {_step_names(recipe)}")
    return ", ".join(changes)


def _knob_lines(knobs: Sequence[Knob], recipe: Recipe) -> Iterator[str]:
    every = list(knobs_of(recipe))
    for knob in knobs:
        head = f"    {_short(knob, every)} = {_value(knob.value)}"
        text = wrap(knob.help, _WIDTH - _COLUMN - 6)
        if len(head) >= _COLUMN + 6:
            yield head
            head = ""
        yield f"{head:<{_COLUMN + 6}}{text[0]}"
        yield from (" " * (_COLUMN + 6) + line for line in text[1:])


def _steps(recipe: Recipe) -> Iterator[str]:
    yield f"    preprocess.steps = {_step_names(recipe)}, as JSON:"
    plain = json.dumps(to_plain(recipe.preprocess)["steps"])
    yield from (" " * 6 + line for line in wrap(plain, _WIDTH - 6, break_long_words=False))


def _step_names(recipe: Recipe) -> str:
    return ", ".join(_step_name(step) for step in recipe.preprocess.steps)


def _step_name(step: Any) -> str:
    size, to = getattr(step, "size", None), getattr(step, "to", None)
    where = f" {to}" if to else ""
    return f"{step.step}{where}" if size is None else f"{step.step} to {size[0]} x {size[1]}"


def _short(knob: Knob, every: Sequence[Knob]) -> str:
    """Return the last part of a knob's path where that is enough to set it."""
    last = knob.path.rpartition(".")[2]
    same = [one for one in every if one.path.rpartition(".")[2] == last]
    return last if len(same) == 1 else knob.path


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _indented(text: str) -> list[str]:
    return wrap(
        " ".join(text.split()),
        _WIDTH,
        initial_indent="  ",
        subsequent_indent="  ",
        break_on_hyphens=False,
    )
