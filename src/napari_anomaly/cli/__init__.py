"""The command line: the same verbs without a window.

Results go to standard output; progress, warnings and errors to standard error. JAX and matplotlib load inside the
commands, so that ``--help`` answers at once.
"""

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from cyclopts import App, CycloptsError, Parameter

from napari_anomaly.cli.compare import compare
from napari_anomaly.cli.demo import demo
from napari_anomaly.cli.evaluate import evaluate
from napari_anomaly.cli.fit import fit
from napari_anomaly.cli.inspect import inspect, scan
from napari_anomaly.cli.methods import methods
from napari_anomaly.cli.presence import presence
from napari_anomaly.cli.saying import tell, warnings_in_one_line
from napari_anomaly.cli.synthesise import synthesise
from napari_anomaly.cli.window import napari
from napari_anomaly.core.errors import AnomalyError

app = App(
    name="napari-anomaly",
    help="Find what does not belong in images, learning from normal images only.",
    version=lambda: version("napari-anomaly"),
    default_parameter=Parameter(negative=()),
    suppress_keyboard_interrupt=False,
)
for verb in (demo, fit, inspect, scan, evaluate, compare, synthesise, methods):
    app.command(verb)
app.command(presence)
app.command(napari, name=("napari", "widget"))


def main(tokens: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0: done; 1: done, but something was skipped; 2: an error, told in one message; 130: stopped by Ctrl-C.
    """
    try:
        with warnings_in_one_line():
            code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
            sys.stdout.flush()
    except CycloptsError as error:
        return _failed(f"{error}\nSee: napari-anomaly --help")
    except AnomalyError as error:
        return _failed(str(error))
    except BrokenPipeError:  # the reader, head say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _failed(f"{where}{error.strerror or error}")
    except KeyboardInterrupt:
        tell("Stopped.")
        return 130
    return int(code or 0)


def _failed(message: str) -> int:
    tell(f"error: {message}")
    return 2
