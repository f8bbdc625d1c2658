"""napari ignores what it does not understand in a manifest, so it is checked here."""

import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml
from napari._app_model.constants import MenuId
from npe2 import PluginManifest

import napari_anomaly

PATH = Path(napari_anomaly.__file__).with_name("napari.yaml")
RAW = yaml.safe_load(PATH.read_text())
GIVEN = RAW["contributions"]
COMMANDS = {command["id"]: command["python_name"] for command in GIVEN["commands"]}


@pytest.fixture(scope="module")
def manifest():
    return PluginManifest.from_distribution("napari-anomaly")


def test_npe2_accepts_it(manifest):
    manifest.validate_imports()
    assert manifest.name == "napari-anomaly"


def test_it_is_registered_once():
    (found,) = entry_points(group="napari.manifest", name="napari-anomaly")
    assert found.value == "napari_anomaly:napari.yaml"


@pytest.mark.parametrize("python_name", COMMANDS.values(), ids=COMMANDS.keys())
def test_every_command_imports(python_name):
    module, _, attribute = python_name.partition(":")
    assert callable(getattr(import_module(module), attribute))


def test_every_contribution_names_a_command():
    named = [
        item["command"]
        for kind in ("readers", "writers", "sample_data", "widgets")
        for item in GIVEN[kind]
    ]
    named += [
        item["command"] for items in GIVEN["menus"].values() for item in items if "command" in item
    ]
    assert set(named) == set(COMMANDS)


def test_every_menu_exists_and_is_reached():
    submenus = {submenu["id"] for submenu in GIVEN["submenus"]}
    allowed = {str(menu) for menu in MenuId.contributables()} | submenus
    assert set(GIVEN["menus"]) <= allowed
    used = {
        item["submenu"] for items in GIVEN["menus"].values() for item in items if "submenu" in item
    }
    assert used == submenus


def test_no_key_is_misspelt(manifest):
    def written(raw, read, where):
        for key, value in raw.items():
            assert hasattr(read, key), f"{where}.{key}"
            if isinstance(value, list) and value and isinstance(value[0], dict):
                for part, model in zip(value, getattr(read, key), strict=True):
                    written(part, model, f"{where}.{key}")

    written({key: value for key, value in RAW.items() if key != "contributions"}, manifest, "")
    given = {key: value for key, value in GIVEN.items() if key != "menus"}
    written(given, manifest.contributions, "contributions")
    for menu, items in GIVEN["menus"].items():
        for raw, read in zip(items, manifest.contributions.menus[menu], strict=True):
            written(raw, read, menu)


def test_the_copy_at_the_top_is_the_same_file():
    top = PATH.parents[2] / "napari.yaml"
    if not (PATH.parents[2] / "pyproject.toml").exists():
        pytest.skip("not a checkout")
    assert top.read_text() == PATH.read_text()


def test_neither_import_nor_manifest_nor_reader_loads_jax(tmp_path):
    code = (
        "import sys, napari_anomaly\n"
        "from npe2 import PluginManifest\n"
        "PluginManifest.from_distribution('napari-anomaly')\n"
        "assert 'napari' not in sys.modules and 'qtpy' not in sys.modules\n"
        "from napari_anomaly.ui import readers, writers, samples\n"
        f"readers.get_reader({str(tmp_path)!r})\n"
        "import napari_anomaly.ui.widgets.train, napari_anomaly.ui.widgets.inspect\n"
        "assert 'jax' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
