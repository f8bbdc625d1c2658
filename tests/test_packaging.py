"""What the project says about itself agrees: project file, README, changelog, CI and package."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from napari_anomaly.core.methods.presets import RECIPES
from napari_anomaly.ui.launch import PACKAGES

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
README = (ROOT / "README.md").read_text()
WINDOW = {"napari", "magicgui", "qtpy", "superqt", "napari-matplotlib", "pyqt6", "pyside6", "npe2"}


def block(name: str) -> str:
    """Return the one line of the README's block of that name, as .ci/run reads it."""
    found = re.search(rf"^<!-- {name} -->\n```bash\n(.+)\n```$", README, re.MULTILINE)
    assert found, f"no block {name}"
    return found[1]


def test_installed_version_is_that_of_the_project_file():
    assert version("napari-anomaly") == PROJECT["project"]["version"]


def test_changelog_tells_of_the_version():
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## {re.escape(PROJECT['project']['version'])}\b", changes, re.MULTILINE)


def test_no_window_in_the_base():
    base = {Requirement(text).name.lower() for text in PROJECT["project"]["dependencies"]}
    assert base & WINDOW == set()


@pytest.mark.parametrize("text", PROJECT["project"]["dependencies"])
def test_no_upper_bounds(text):
    assert {part.operator for part in Requirement(text).specifier} <= {">="}


def test_readme_names_every_system_package():
    listed = block("system packages").split()
    assert listed[:2] == ["apt-get", "install"]
    assert set(PACKAGES.split()) <= set(listed)


@pytest.mark.parametrize("name", ["demo", "test"])
def test_commands_set_everything_up(name):
    command = block(name)
    assert command.startswith("python3 -m venv .venv && . .venv/bin/activate && ")
    assert '-e ".[all]"' in command


def test_ci_has_no_commands_of_its_own():
    script = (ROOT / ".ci" / "run").read_text()
    assert "$(block test)" in script
    assert ".[all]" not in script


@pytest.mark.parametrize("name", RECIPES)
def test_readme_names_every_method(name):
    assert f"| `{name}` |" in README


def test_links_lead_somewhere():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert "docs/methods.md" in targets
    missing = [one for one in targets if "://" not in one and not (ROOT / one).exists()]
    assert missing == []
