"""What the quick start tells people to type works, and its pictures are there."""

import re
import shlex
from pathlib import Path

import pytest
from napari.components import ViewerModel

from napari_anomaly import cli
from napari_anomaly.ui.samples import fabric

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "quickstart.md").read_text(encoding="utf-8")


def blocks(language):
    """Code blocks but those that install or open a window."""
    found = re.findall(rf"(<!-- \w+ -->\n)?```{language}\n(.*?)```", TEXT, re.DOTALL)
    return [code for marked, code in found if not marked]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "sample_data").symlink_to(DOCS.parent / "sample_data", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python_as_typed(folder):
    viewer = ViewerModel()
    for data, attributes, kind in fabric():
        getattr(viewer, f"add_{kind}")(data, **attributes)
    typed = {"viewer": viewer}
    assert len(blocks("python")) == 3
    for code in blocks("python"):
        exec(code, typed)
    assert "woven fabric test anomaly regions" in viewer.layers
    assert "one anomaly map" in viewer.layers
    assert (folder / "fabric.anomaly").is_file()
    assert any((folder / "report").iterdir())


def test_commands_as_typed(folder, capsys):
    (code,) = blocks("bash")
    lines = [shlex.split(line) for line in code.splitlines()]
    assert len(lines) == 4
    for name, *arguments in lines:
        assert name == "napari-anomaly"
        assert cli.main(arguments) == 0
    assert (folder / "inspected" / "scores.csv").is_file()


def test_links_and_pictures_are_there():
    targets = re.findall(r"\]\(([^)#]+)", TEXT)
    assert len([target for target in targets if target.endswith(".png")]) == 5
    for target in targets:
        assert (DOCS / target).exists(), target


def test_the_install_line_is_the_readmes():
    install = re.search(r"<!-- install -->\n```bash\n(.*)\n", TEXT)[1]
    assert install in (DOCS.parent / "README.md").read_text(encoding="utf-8")
