"""HTML in which every text is escaped unless it was made here."""

from html import escape

_EMPTY = {"img", "meta"}


class Markup(str):
    """Text that is HTML already; anything else is escaped where it is put in."""

    __slots__ = ()


def element(name: str, /, *children: str | Markup, **attributes: str) -> Markup:
    """Put an element around texts and elements.

    Parameters
    ----------
    name : str
    *children : str or Markup
        Plain texts are escaped.
    **attributes : str
        Values are escaped; a trailing underscore is left out of the name (``class_``).
    """
    given = "".join(
        f' {key.rstrip("_")}="{escape(value, quote=True)}"' for key, value in attributes.items()
    )
    if name in _EMPTY:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{joined(*children)}</{name}>")


def joined(*parts: str | Markup) -> Markup:
    """Join texts and elements; plain texts are escaped."""
    return Markup(
        "".join(part if isinstance(part, Markup) else escape(part, quote=True) for part in parts)
    )
