"""Whatever knobs a recipe has, the form shows them, reads them and restores them."""

import pytest
from magicgui.widgets import CheckBox, ComboBox, FloatSpinBox, LineEdit, SpinBox
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QPushButton

from napari_anomaly.core.errors import RecipeError
from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.core.methods.recipes import Recipe
from napari_anomaly.core.methods.settings import knobs_of
from napari_anomaly.core.preprocess import Equalise, FalseColour
from napari_anomaly.ui.forms import RecipeForm, label_of, sections_of
from napari_anomaly.ui.steps import own_knobs, step_knobs


@pytest.fixture
def form_of(qtbot):
    def make(recipe):
        form = RecipeForm(recipe)
        qtbot.addWidget(form)
        return form

    return make


@pytest.mark.parametrize("name", RECIPES)
def test_an_untouched_form_gives_the_recipe_back(form_of, name):
    form = form_of(RECIPES[name])
    assert form.recipe == RECIPES[name]
    own = {knob.path for knob in knobs_of(RECIPES[name])}
    hidden = own - set(form.fields)  # the steps that can be left out have one field each
    steps = RECIPES[name].preprocess.steps
    assert all(isinstance(steps[int(path.split(".")[2])], Equalise) for path in hidden)


@pytest.mark.parametrize("name", RECIPES)
def test_every_knob_explains_itself(form_of, name):
    form = form_of(RECIPES[name])
    for knob in (*own_knobs(RECIPES[name]), *step_knobs(RECIPES[name])):
        assert form.fields[knob.path].native.toolTip() == knob.help != ""


@pytest.mark.parametrize("name", RECIPES)
def test_no_two_fields_of_a_section_have_one_name(form_of, name):
    for title, paths in sections_of(form_of(RECIPES[name]).fields).items():
        names = [label_of(path) for path in paths]
        assert len(set(names)) == len(names), title


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("preprocess.steps.0.to", "colour"),
        ("preprocess.steps.12.to", "colour"),
        ("preprocess.normalise.kind", "normalise"),
        ("residual.kind", "residual"),
        ("method.training.learning_rate", "learning rate"),
    ],
)
def test_names_say_what_is_meant(path, label):
    assert label_of(path) == label


def wheel(field):
    end = QPointF(5, 5)
    event = QWheelEvent(
        end,
        end,
        QPoint(0, 0),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(field, event)
    return event.isAccepted()


@pytest.mark.parametrize("path", ["method.training.batch", "method.training.learning_rate", "pool"])
def test_the_wheel_scrolls_and_changes_nothing(form_of, monkeypatch, path):
    form = form_of(RECIPES["autoencoder"])
    field = form.fields[path]
    before = field.value
    assert not wheel(field.native)  # so that it goes on to what scrolls
    assert field.value == before
    monkeypatch.setattr(field.native, "hasFocus", lambda: True)  # chosen by a click
    assert wheel(field.native)
    assert field.value != before


def test_optional_steps_reach_the_recipe(form_of):
    form = form_of(RECIPES["autoencoder-weld"])
    assert form.fields["preprocess.equalise"].value == "global"
    form.fields["preprocess.equalise"].value = "clahe"
    form.fields["preprocess.clip"].value = 0.2
    form.fields["preprocess.false_colour"].value = "turbo"
    form.fields["preprocess.steps.0.size"].value = "64, 96"
    resize, grey, false, equalise = form.recipe.preprocess.steps
    assert resize.size == (64, 96)
    assert grey.to == "grey"
    assert (false, equalise) == (FalseColour(colormap="turbo"), Equalise(kind="clahe", clip=0.2))
    form.restore()
    assert form.recipe == RECIPES["autoencoder-weld"]


def test_types_become_widgets(form_of):
    fields = form_of(RECIPES["autoencoder"]).fields
    assert isinstance(fields["method.training.flip"], CheckBox)
    assert isinstance(fields["method.training.unit"], ComboBox)
    assert isinstance(fields["method.training.batch"], SpinBox)
    assert isinstance(fields["method.training.learning_rate"], FloatSpinBox)
    assert isinstance(fields["method.widths"], LineEdit)
    assert fields["method.training.batch"].min == 1
    assert fields["method.latent"].value == "none"


def test_what_is_typed_reaches_the_recipe(form_of):
    form = form_of(RECIPES["autoencoder"])
    form.fields["method.training.batch"].value = 7
    form.fields["method.training.learning_rate"].value = 0.00005
    form.fields["method.training.flip"].value = True
    form.fields["method.widths"].value = "8, 16"
    form.fields["method.latent"].value = "12"
    form.fields["standardise"].value = "none"
    recipe = form.recipe
    assert recipe.method.training.batch == 7
    assert recipe.method.training.learning_rate == 0.00005
    assert recipe.method.training.flip is True
    assert recipe.method.widths == (8, 16)
    assert recipe.method.latent == 12
    assert recipe.standardise == "none"


def test_restore_defaults(form_of):
    form = form_of(RECIPES["autoencoder"])
    form.fields["method.training.batch"].value = 7
    form.fields["method.widths"].value = "nonsense"
    form.findChild(QPushButton).click()
    assert form.recipe == RECIPES["autoencoder"]


@pytest.mark.parametrize(
    ("path", "typed", "text"),
    [
        ("method.widths", "abc", r"method.*widths.*found 'abc'"),
        ("method.widths", "8, -1", r"method.*widths.*found -1"),
        ("method.latent", "0", r"method.*latent.*found 0"),
    ],
)
def test_impossible_values_name_the_knob(form_of, path, typed, text):
    form = form_of(RECIPES["autoencoder"])
    form.fields[path].value = typed
    with pytest.raises(RecipeError, match=text):
        _ = form.recipe


def test_editing_is_announced(form_of, qtbot):
    form = form_of(Recipe())
    seen = []
    form.edited.connect(lambda: seen.append(1))
    form.fields["min_area"].value = 9
    assert seen


def test_a_range_of_intensities_that_does_not_fit_the_method_is_told(form_of):
    form = form_of(RECIPES["denoising"])
    form.fields["preprocess.normalise.kind"].value = "standard"

    with pytest.raises(RecipeError, match=r"kind=standard; expected, .* denoising, none or range"):
        _ = form.recipe
