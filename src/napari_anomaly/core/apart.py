"""A fit in a process of its own: all the memory that it takes is given back when that process ends."""

import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.machinery import ModuleSpec
from multiprocessing import get_context
from multiprocessing.connection import wait
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_anomaly.core.errors import AnomalyError, DataWarning, ImageError, TrainingError
from napari_anomaly.core.methods.recipes import Recipe
from napari_anomaly.core.methods.settings import from_plain, to_plain
from napari_anomaly.core.types import Image, Progress, Running

if TYPE_CHECKING:
    from napari_anomaly.core.detector import Detector

Device = Literal["auto", "cpu", "gpu"]

_TURN = 0.1  # seconds that the work goes on before it waits for an answer
_PATIENCE = 60.0  # seconds that a process has to write its state and end
_DETECTOR = "detector.anomaly"


def fit_steps(
    data: str | PathLike[str] | Sequence[Any] | np.ndarray,
    recipe: Recipe,
    *,
    device: Device = "auto",
    **choices: Any,
) -> Generator[Progress, None, "Detector"]:
    """Fit a detector as :func:`napari_anomaly.core.fitting.fit_steps` does, in a process of its own.

    Parameters
    ----------
    data : folder or arrays
        Arrays, or what can be made one, are written to a private temporary folder, image by image.
    recipe : Recipe
    device : {"auto", "cpu", "gpu"}
        What that process computes on.
    **choices
        The others of ``fit_steps``.

    Yields
    ------
    Progress
        ``running.finish`` and ``running.rebuild`` work as if the training were in this process; some steps come
        without ``rebuild``.

    Returns
    -------
    Detector
        On a CPU the same bits as from a fit in this process.

    Raises
    ------
    TrainingError
        Also if the process is ended from outside, as systems do where memory runs out, or the images cannot be
        handed over.
    """
    with TemporaryDirectory(prefix="napari-anomaly-", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        given = yield from _handed_over(data, folder)
        yield Progress("starting a process", 0, 1)
        task = Task(given, to_plain(recipe), device, choices, folder / _DETECTOR)
        with _started(task) as (pipe, process):
            yield from _followed(partial(_heard, pipe, process), partial(_said, pipe))
        from napari_anomaly.core.detector import load  # loads JAX, for the detector
        from napari_anomaly.core.nn.devices import use

        use(device)
        return load(task.result)


@dataclass(frozen=True)
class Written:
    """An image in a file, read whenever it is made an array."""

    path: Path

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        image: np.ndarray = np.load(self.path, allow_pickle=False)
        return image if dtype is None else image.astype(dtype)


@dataclass(frozen=True)
class Task:
    """What the other process is to do, in plain values.

    Attributes
    ----------
    data : str or tuple of Written
        A folder, or images.
    recipe : dict
        As :func:`to_plain` gives it.
    device : {"auto", "cpu", "gpu"}
    choices : mapping
        The other arguments of ``fit_steps``.
    result : Path
        Where the detector goes.
    """

    data: str | tuple[Written, ...]
    recipe: dict[str, Any]
    device: Device
    choices: Mapping[str, Any]
    result: Path


@dataclass(frozen=True)
class Step:
    """A step of the work, as it is told.

    Attributes
    ----------
    now : Progress
        Without ``running``, which stays where the training is.
    training : int or None
        Which of the trainings it is a step of.
    waits : bool
        Whether the work waits for an answer.
    rebuilds : bool
        Whether an image may be the answer: it is rebuilt, and the work waits again.
    """

    now: Progress
    training: int | None
    waits: bool
    rebuilds: bool


@dataclass(frozen=True)
class GoOn:
    """The answer to a step; ``finish`` are trainings that are to end early."""

    finish: tuple[int, ...]


Told = Step | str | np.ndarray | Exception | None
"""A step, a warning, an image rebuilt, an error; None at the end."""


def _handed_over(
    data: str | PathLike[str] | Sequence[Any] | np.ndarray, folder: Path
) -> Generator[Progress, None, str | tuple[Written, ...]]:
    if isinstance(data, (str, PathLike)):
        return str(data)
    written = tuple(Written(folder / f"{k}.npy") for k in range(len(data)))
    for k, one in enumerate(written):
        image = np.asarray(data[k])
        try:
            np.save(one.path, image, allow_pickle=False)
        except OSError as error:
            raise TrainingError(
                f"{one.path}: the images could not be handed over to a process of its own "
                f"({error.strerror or error}). Make room there, or train in this process"
            ) from error
        yield Progress("handing over", k + 1, len(written))
    return written


@contextmanager
def _started(task: Task) -> Iterator[tuple[Any, Any]]:
    """Start the process; afterwards it has ended. Closing its pipe makes it leave its state."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, task), daemon=True)
    try:
        with closing(theirs), _main_left_out():
            process.start()
        yield ours, process
    finally:
        ours.close()
        if process.pid is not None:
            process.join(_PATIENCE)
            if process.is_alive():
                process.kill()
                process.join()


@contextmanager
def _main_left_out() -> Iterator[None]:
    """Keep the new process from running the script of this one again: that may open another window."""
    main = sys.modules["__main__"]
    spec = main.__spec__
    main.__spec__ = ModuleSpec(
        "__main__", None
    )  # a main of this name is what multiprocessing skips
    try:
        yield
    finally:
        main.__spec__ = spec


def _followed(
    hear: Callable[[], Told], say: Callable[[GoOn | Image], None]
) -> Generator[Progress, None, None]:
    """Give the steps that the other process tells, and its errors and warnings as if they were of here."""
    finish: list[int] = []  # filled from any thread
    finishing = cache(lambda training: partial(finish.append, training))

    def rebuild(image: Image) -> np.ndarray:
        say(np.asarray(image))
        pair = _without_errors(hear())
        assert isinstance(pair, np.ndarray)
        return pair

    while (told := _without_errors(hear())) is not None:
        if isinstance(told, str):
            warnings.warn(told, DataWarning, stacklevel=2)
        elif isinstance(told, Step):
            running = None
            if told.training is not None:
                running = Running(
                    finishing(told.training), rebuild=rebuild if told.rebuilds else None
                )
            yield replace(told.now, running=running)
            if told.waits:
                wanted = tuple(finish)
                del finish[: len(wanted)]
                say(GoOn(wanted))


def _heard(pipe: Any, process: Any) -> Told:
    """Wait for what the other process says next; that it died is an error."""
    wait([pipe, process.sentinel])
    try:
        if pipe.poll():  # what it said before it ended comes first
            told: Told = pipe.recv()
            return told
    except (EOFError, OSError):  # it ended in the midst of saying it
        pass
    process.join(_PATIENCE)
    raise TrainingError(_how_it_died(process.exitcode))


def _said(pipe: Any, answer: GoOn | Image) -> None:
    with suppress(OSError):  # it died: what is heard next says so
        pipe.send(answer)


def _how_it_died(code: int | None) -> str:
    if code is not None and code < 0:
        how = f"was ended from outside (signal {-code})"
    else:
        how = f"ended by itself (exit code {code}; the console may say why)"
    return (
        f"the training's process {how}. Systems end a process where memory runs out: close other programs, or choose "
        "smaller images or a smaller batch. Train goes on from the last state that was kept, if there is one, with "
        "the same settings"
    )


def _without_errors(told: Told) -> Told:
    if isinstance(told, Exception):
        raise told
    return told


# From here on, what happens in the other process.


class Left(Exception):
    """Whoever asked for the work has closed the pipe, or is no more."""


def work(pipe: Any, task: Task) -> None:
    """Fit, tell every step, and leave the detector in a file."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asked
    serve(pipe, _fit(task))


def serve(pipe: Any, steps: Generator[Progress, None, None]) -> None:
    """Tell every step, and how it ended; stop where nobody listens any more."""
    tell = partial(_tell, pipe)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            _tell_all(steps, tell, partial(_answer, pipe), caught)
            tell(None)
        except Left:
            return
        except Exception as error:  # noqa: BLE001  told to whoever asked
            tell(_as_told(error))


def _fit(task: Task) -> Generator[Progress, None, None]:
    recipe = from_plain(task.recipe)
    from napari_anomaly.core.fitting import fit_steps as fit
    from napari_anomaly.core.nn.devices import use

    use(task.device)
    data: Any = task.data  # what can be made an array is read as one
    detector = yield from fit(data, recipe, **task.choices)
    detector.save(task.result)


def _tell_all(
    steps: Generator[Progress, None, None],
    tell: Callable[[Told], None],
    answer: Callable[[], GoOn | Image],
    caught: list[Any],
) -> None:
    """Tell every step at once, and wait for an answer ten times a second: so a pause holds the work."""
    finishing: list[Callable[[], None]] = []
    last = 0.0
    with closing(steps):  # which leaves the state
        for now in steps:
            while caught:
                tell(str(caught.pop(0).message))
            running = now.running
            if running is not None and running.finish not in finishing:
                finishing.append(running.finish)
            training = None if running is None else finishing.index(running.finish)
            waits = time.monotonic() - last > _TURN
            rebuild = running.rebuild if waits and running is not None else None
            tell(Step(replace(now, running=None), training, waits, rebuild is not None))
            if waits:
                for number in _asked(answer, tell, rebuild):
                    finishing[number]()
                last = time.monotonic()
    while caught:
        tell(str(caught.pop(0).message))


def _asked(
    answer: Callable[[], GoOn | Image],
    tell: Callable[[Told], None],
    rebuild: Callable[[Image], np.ndarray] | None,
) -> tuple[int, ...]:
    """Rebuild images until the work may go on; return the trainings that are to end early."""
    while not isinstance(said := answer(), GoOn):
        assert rebuild is not None
        try:
            tell(rebuild(said))
        except ImageError as error:
            tell(error)
    return said.finish


def _tell(pipe: Any, told: Told) -> None:
    try:
        pipe.send(told)
    except OSError as error:
        raise Left from error


def _answer(pipe: Any) -> GoOn | Image:
    try:
        said: GoOn | Image = pipe.recv()
    except (EOFError, OSError) as error:
        raise Left from error
    return said


def _as_told(error: Exception) -> Exception:
    """Make an error one that any process can read."""
    if isinstance(error, AnomalyError):
        return error
    told = RuntimeError(f"{type(error).__name__}: {error}")
    told.add_note("in the training's process:\n" + "".join(traceback.format_exception(error)))
    return told
