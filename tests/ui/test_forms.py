"""Whatever knobs a recipe has, the form shows them, reads them and restores them."""

import pytest
from magicgui.widgets import CheckBox, ComboBox, FloatSpinBox, LineEdit, SpinBox
from qtpy.QtWidgets import QPushButton

from napari_anomaly.core.errors import RecipeError
from napari_anomaly.core.methods.recipes import RECIPES, Recipe, knobs_of
from napari_anomaly.ui.forms import RecipeForm


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
    assert set(form.fields) == {knob.path for knob in knobs_of(RECIPES[name])}


def test_every_knob_explains_itself(form_of):
    form = form_of(RECIPES["vae"])
    for knob in knobs_of(RECIPES["vae"]):
        assert form.fields[knob.path].native.toolTip() == knob.help != ""


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
