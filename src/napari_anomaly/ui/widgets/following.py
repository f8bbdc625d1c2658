"""Regions on screen follow the threshold at once, all others when it rests."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from napari_anomaly.ui.family import Family, family_of
from napari_anomaly.ui.recutting import (
    Cut,
    families_of,
    is_stale,
    judge_anew,
    recut_all,
    recut_shown,
    show_all,
)
from napari_anomaly.ui.widgets.panel import is_alive
from napari_anomaly.ui.workers import Job, Outcome

if TYPE_CHECKING:
    import napari.viewer

    from napari_anomaly.ui.session import Session

REST = 250
"""Milliseconds without a change after which the images that are not on screen are cut."""


class Following:
    """Cuts regions anew whenever the detector of a session has another threshold.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    owner : QWidget
        As long as Qt has it, regions follow.
    say : callable
        Gets a sentence on what was left as it is, or "".
    """

    def __init__(
        self,
        viewer: "napari.viewer.Viewer",
        session: "Session",
        owner: QWidget,
        say: Callable[[str], None],
    ) -> None:
        self._viewer, self._session, self._owner, self._say = viewer, session, owner, say
        self._job: Job[list[list[Cut]]] | None = None
        self._rest = QTimer(owner)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST)
        self._rest.timeout.connect(self._follow_everywhere)
        viewer.dims.events.current_step.connect(self._follow_on_screen)

    @property
    def busy(self) -> bool:
        """Whether images are still to be cut."""
        return is_alive(self._owner) and (self._rest.isActive() or self._job is not None)

    def follow(self) -> None:
        """Cut what is on screen, and soon the rest."""
        self.cancel()
        detector = self._session.detector
        if detector is None:
            return
        self._say("")
        for family in families_of(self._viewer, detector):
            judge_anew(family, detector.calibration)
        self._follow_on_screen()
        self._rest.start()

    def cancel(self) -> None:
        """Leave the rest as it is."""
        self._rest.stop()
        if self._job is not None:
            self._job.cancel()
            self._job = None

    def _follow_on_screen(self) -> None:
        detector = self._session.detector
        shown = family_of(self._viewer)
        if detector is None or shown is None or not is_alive(self._owner):
            return
        for family in families_of(self._viewer, detector):
            wanted = family.regions is shown.regions and is_stale(family, detector.calibration)
            if wanted and not recut_shown(self._viewer, family, detector):
                self._say(_kept([family], [[0]]))

    def _follow_everywhere(self) -> None:
        detector = self._session.detector
        if detector is None:
            return
        calibration = detector.calibration
        families = [
            one for one in families_of(self._viewer, detector) if is_stale(one, calibration)
        ]
        if not families:
            return

        def ended(outcome: Outcome[list[list[Cut]]]) -> None:
            self._job = None
            if outcome.error is not None:
                raise outcome.error
            painted = [
                show_all(family, cuts, calibration)
                for family, cuts in zip(families, outcome.value or [], strict=True)
            ]
            self._say(_kept(families, painted))

        self._job = Job(
            lambda: recut_all(families, detector),
            progressed=lambda _: None,
            ended=ended,
            stopped=self.cancel,
            wanted=lambda: is_alive(self._owner),
        )


def _kept(families: list[Family], painted: list[list[int]]) -> str:
    """Say which layers a person painted in."""
    names = [
        family.regions.name
        for family, numbers in zip(families, painted, strict=True)
        if numbers and family.regions is not None
    ]
    if not names:
        return ""
    return f"painted by hand, so left as it is where it was: {', '.join(names)}"
