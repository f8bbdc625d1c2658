"""What a command says: results to standard output, everything else to standard error."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from napari_anomaly.core.errors import DataWarning


def tell(text: str) -> None:
    """Write to standard error, for a person."""
    Console(stderr=True).print(text, highlight=False, markup=False, soft_wrap=True)


def say(text: str) -> None:
    """Write to standard output, for a person or a program."""
    sys.stdout.write(f"{text}\n")


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Show each warning about the input as one line; leave others as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        usual = warnings.showwarning
        told: set[str] = set()  # a file may be looked at more than once

        def show(
            message: Warning | str, category: type[Warning], *where: Any, **named: Any
        ) -> None:
            text = " ".join(str(message).split())
            if not issubclass(category, DataWarning):
                usual(message, category, *where, **named)
            elif text not in told:
                told.add(text)
                tell(f"warning: {text}")

        warnings.showwarning = show
        yield
