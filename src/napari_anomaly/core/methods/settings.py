"""Recipes as plain values, and each of their knobs by name: for files, forms and the command line. No JAX here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from napari_anomaly.core.errors import RecipeError
from napari_anomaly.core.methods.recipes import Recipe

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
        lines = [_wrong(one) for one in error.errors()]
        raise RecipeError("the recipe cannot be used: " + "; ".join(lines)) from error


def _wrong(one: Mapping[str, Any]) -> str:
    """Say where, if it is in one place, what was found and what was expected."""
    where = ".".join(map(str, one["loc"]))
    return f"{where}: {_told(one)}" if where else _told(one)


def _told(one: Mapping[str, Any]) -> str:
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


@dataclass(frozen=True)
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
