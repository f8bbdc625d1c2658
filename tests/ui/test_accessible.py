"""Every page by keyboard, in large letters, and in both themes."""

import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from napari.components import ViewerModel
from napari.utils.theme import get_theme
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QScrollArea,
    QWidget,
)

import napari_anomaly

ROOT = Path(napari_anomaly.__file__).parent
GIVEN = yaml.safe_load((ROOT / "napari.yaml").read_text())["contributions"]
NAMES = {one["id"]: one["python_name"] for one in GIVEN["commands"]}
PAGES = {one["display_name"]: NAMES[one["command"]] for one in GIVEN["widgets"]}
CONTROLS = (QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit)
WIDTH = 368
"""Of the narrowest dock, in pixels."""


@pytest.fixture(params=PAGES, scope="module")
def page(request, qapp):
    """Each page of the manifest, shown in a narrow dock with all of its folds open."""
    module, _, name = PAGES[request.param].partition(":")
    widget = getattr(import_module(module), name)(ViewerModel())
    widget.resize(WIDTH, 900)
    widget.show()
    for button in widget.findChildren(QAbstractButton):
        if button.isCheckable() and button.isEnabled() and not button.isChecked():
            button.click()
    QApplication.processEvents()
    yield widget
    widget.close()
    widget.deleteLater()


def controls(page: QWidget) -> list[QWidget]:
    """List what a person can operate; the fields inside spin boxes and editable lists belong to those."""
    found = [one for one in page.findChildren(QWidget) if isinstance(one, CONTROLS)]
    inner = {child for one in found for child in one.findChildren(QWidget)}
    return [
        one
        for one in found
        if one not in inner
        and one.isVisible()
        and one.focusPolicy() & Qt.FocusPolicy.TabFocus
        and not one.objectName().startswith("qt_")
    ]


def described(control: QWidget) -> bool:
    """Tell whether a control says what it is: by its own text, a tip, or the label of its row."""
    text = control.text() if isinstance(control, QAbstractButton) else ""
    return bool(text or control.toolTip() or control.accessibleName() or label_of(control))


def label_of(control: QWidget) -> str:
    parent = control.parentWidget()
    while parent is not None:
        for form in parent.findChildren(QFormLayout):
            label = form.labelForField(control)
            if isinstance(label, QLabel) and label.text():
                return str(label.text())
        parent = parent.parentWidget()
    return ""


def in_words(control: QWidget) -> str:
    row = label_of(control)
    return f"{type(control).__name__} {getattr(control, 'text', str)()!r} {row!r}"


def test_every_control_says_what_it_is(page):
    assert [in_words(one) for one in controls(page) if not described(one)] == []


def test_tab_reaches_every_control(page):
    reached, now = set(), page
    while now not in reached:
        reached.add(now)
        now = now.nextInFocusChain()
    missed = [one for one in controls(page) if one.isEnabled() and one not in reached]
    assert [in_words(one) for one in missed] == []


def test_a_disabled_button_says_why(page):
    silent = [
        one
        for one in page.findChildren(QAbstractButton)
        if one.isVisible() and not one.isEnabled() and not one.toolTip()
    ]
    assert [in_words(one) for one in silent] == []


@pytest.mark.parametrize("percent", [100, 200])
def test_no_button_is_cut_off(page, percent):
    """Wider content scrolls; what cannot be reached by scrolling would be lost."""
    font = page.font()
    before = font.pointSizeF()
    try:
        font.setPointSizeF(before * percent / 100)
        page.setFont(font)
        QApplication.processEvents()
        cut = [
            in_words(one)
            for one in page.findChildren(QAbstractButton)
            if one.isVisible() and one.text() and one.width() < one.minimumSizeHint().width()
        ]
        assert cut == []
        assert percent > 100 or not scrolls_sideways(page)
    finally:
        font.setPointSizeF(before)
        page.setFont(font)


def scrolls_sideways(page: QWidget) -> bool:
    areas = [page, *page.findChildren(QScrollArea)]
    return any(
        isinstance(one, QScrollArea) and one.horizontalScrollBar().maximum() > 0 for one in areas
    )


COLOUR = re.compile(r"(?<!-)color:\s*(#[0-9a-fA-F]{6})")
STYLED = {
    (path.relative_to(ROOT).as_posix(), colour)
    for path in (ROOT / "ui").rglob("*.py")
    for colour in COLOUR.findall(path.read_text())
}


def luminance(colour) -> float:
    """Relative luminance of WCAG 2.2."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def rgb(colour: str) -> list[float]:
    return [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]


def test_contrast_of_known_pairs():
    assert contrast(rgb("#000000"), rgb("#ffffff")) == pytest.approx(21)
    assert contrast(rgb("#767676"), rgb("#ffffff")) == pytest.approx(4.54, abs=0.005)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_colours_of_text_can_be_read(theme):
    """A fixed colour must be readable on both backgrounds; better is none, or one of the theme's."""
    behind = [value / 255 for value in get_theme(theme).background.as_rgb_tuple()[:3]]
    faint = [one for one in STYLED if contrast(rgb(one[1]), behind) < 4.5]
    assert faint == []
