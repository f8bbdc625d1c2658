"""The house rules that no linter knows, checked on the source, and checked to notice when they are broken."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import napari_anomaly

ROOT = Path(napari_anomaly.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

JAX = {"jax", "jaxlib", "flax", "optax"}
JAX_ROOMS = (
    *("core/nn/", "core/methods/"),
    *(f"core/{name}.py" for name in ("filters", "residuals", "scoring")),
)
WITHOUT_JAX = (
    "core/methods/knobs/",
    *(f"core/methods/{n}.py" for n in ("recipes", "presets", "settings", "listing")),
)
WINDOW = {
    "napari",
    "magicgui",
    "npe2",
    "qtpy",
    "superqt",
    "PyQt6",
    "PySide6",
    "vispy",
    "napari_matplotlib",
}
CODE_IN_DATA = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
LONGEST_FILE, LONGEST_FUNCTION = 450, 80

Function = ast.FunctionDef | ast.AsyncFunctionDef


def breaches(name: str, source: str) -> list[str]:
    """Return in words which rules the file ``name`` (below the package) breaks."""
    tree = ast.parse(source)
    at_top, anywhere = set(imported(tree, inside_functions=False)), set(imported(tree))
    found = [f"{module} when imported" for module in at_top & JAX if not may_hold_jax(name)]
    if not name.startswith("ui/"):
        found += [f"{module} outside ui" for module in anywhere & WINDOW]
    found += [f"{module}: data that runs code" for module in anywhere & CODE_IN_DATA]
    if "__future__" in anywhere:
        found.append("annotations that cannot be checked")
    if source.count("\n") >= LONGEST_FILE:
        found.append(f"{LONGEST_FILE} lines or more")
    return found + [words for node in ast.walk(tree) for words in breaches_of(node)]


def may_hold_jax(name: str) -> bool:
    return name.startswith(JAX_ROOMS) and not name.startswith(WITHOUT_JAX)


def imported(tree: ast.AST, *, inside_functions: bool = True) -> Iterator[str]:
    """Yield the top-level names of imported packages; what only a type checker imports does not count."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        elif inside_functions or not isinstance(node, Function):
            yield from imported(node, inside_functions=inside_functions)


def breaches_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call):
        if ast.unparse(node.func) in ("print", "eval", "exec", "compile"):
            yield f"{ast.unparse(node.func)}()"
        if any(
            key.arg == "allow_pickle" and ast.unparse(key.value) != "False" for key in node.keywords
        ):
            yield "allow_pickle"
    if isinstance(node, Function) and lines_of(node) > LONGEST_FUNCTION:
        yield f"{node.name}: {lines_of(node)} lines"
    if isinstance(node, ast.ClassDef) and node.name.endswith(
        ("Manager", "Helper", "Utils", "Base")
    ):
        yield f"{node.name}: a name that says nothing"


def lines_of(function: Function) -> int:
    """Count the lines of a function without its docstring."""
    whole = (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function) is None:
        return whole
    text = function.body[0]
    return whole - ((text.end_lineno or 0) - text.lineno + 1)


@pytest.mark.parametrize("path", FILES, ids=[path.relative_to(ROOT).as_posix() for path in FILES])
def test_no_file_breaks_a_rule(path):
    assert breaches(path.relative_to(ROOT).as_posix(), path.read_text()) == []


PLANTED = {
    "jax in the data room": ("core/data/files.py", "import jax.numpy as jnp", "jax when imported"),
    "optax in the knobs": ("core/methods/knobs/vae.py", "from optax import adam", "optax when imported"),
    "flax in a class": ("core/detector.py", "class A:\n    from flax import nnx", "flax when imported"),
    "jax behind a condition": ("cli/fit.py", "try:\n    import jax\nexcept ImportError: ...", "jax when imported"),
    "napari in the core": ("core/report.py", "import napari", "napari outside ui"),
    "napari in a function": ("cli/fit.py", "def f():\n    from napari import Viewer", "napari outside ui"),
    "Qt in the core": ("core/figures.py", "import qtpy.QtWidgets", "qtpy outside ui"),
    "pickle": ("core/checkpoint.py", "def f():\n    import pickle", "pickle: data that runs code"),
    "allow_pickle": ("core/checkpoint.py", "np.load(f, allow_pickle=True)", "allow_pickle"),
    "print": ("ui/workers.py", "print('done')", "print()"),
    "eval": ("ui/forms.py", "eval('1')", "eval()"),
    "exec": ("core/types.py", "def f():\n    exec('1')", "exec()"),
    "future": ("ui/forms.py", "from __future__ import annotations", "annotations that cannot be checked"),
    "a long file": ("core/types.py", "\n" * 450, "450 lines or more"),
    "a long function": ("core/types.py", "def f():\n" + "    pass\n" * 80, "f: 81 lines"),
    "a long method": ("ui/forms.py", "class A:\n  def f(self):\n" + "    pass\n" * 80, "f: 81 lines"),
    "an empty name": ("ui/forms.py", "class LayerManager: ...", "LayerManager: a name that says nothing"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "source", "words"), PLANTED.values(), ids=PLANTED)
def test_a_planted_breach_is_found(name, source, words):
    assert breaches(name, source) == [words]


ALLOWED = {
    "jax in a room for it": ("core/nn/conv.py", "import jax"),
    "jax when a function needs it": ("ui/widgets/train.py", "def f():\n    import jax"),
    "jax for the type checker": ("core/detector.py", "if TYPE_CHECKING:\n    import jax"),
    "jaxtyping anywhere": ("core/types.py", "from jaxtyping import Float"),
    "napari in a window room": ("ui/layers.py", "import napari"),
    "a console's print": ("cli/fit.py", "console.print('done')"),
    "449 lines": ("core/types.py", "\n" * 449),
    "80 lines and a docstring": (
        "core/types.py",
        "def f():\n    '''Say\n    two lines.'''\n" + "    pass\n" * 79,
    ),
}


@pytest.mark.parametrize(("name", "source"), ALLOWED.values(), ids=ALLOWED)
def test_what_is_allowed_is_not_reported(name, source):
    assert breaches(name, source) == []


def in_a_fresh_interpreter(code: str) -> str:
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return run.stdout


HEAVY = ["jax", "flax", "optax", "matplotlib", "scipy", "skimage", "pydantic", *sorted(WINDOW)]


def test_importing_the_package_loads_nothing_heavy():
    code = f"import sys, napari_anomaly; print([m for m in {HEAVY} if m in sys.modules])"
    assert in_a_fresh_interpreter(code) == "[]\n"


def test_importing_the_package_loads_few_modules():
    """Without numpy there is nothing to load but lazy_loader and what it uses of the standard library."""
    code = "import sys; n = len(sys.modules); import napari_anomaly; print(len(sys.modules) - n)"
    assert int(in_a_fresh_interpreter(code)) < 60


def test_reading_the_manifest_loads_nothing_of_ours():
    """What napari does with a plugin when it starts."""
    pytest.importorskip("npe2")
    code = (
        "import sys, npe2; npe2.PluginManifest.from_distribution('napari-anomaly'); "
        "heavy = {'napari_anomaly', 'jax', 'flax', 'scipy', 'skimage', 'matplotlib', 'napari'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert in_a_fresh_interpreter(code) == "[]\n"


def test_a_first_map_loads_no_more_than_it_needs():
    """Each of these takes a tenth of a second or more, and only fitting or drawing needs it."""
    code = (
        "import sys, napari_anomaly.core.detector, napari_anomaly.core.methods.linear; "
        "unwanted = {'scipy.ndimage', 'scipy.signal', 'scipy.stats', 'scipy.special', 'flax', 'optax', 'matplotlib', "
        "'rich', 'skimage.measure'}; "
        "print(sorted(unwanted & set(sys.modules)))"
    )
    assert in_a_fresh_interpreter(code) == "[]\n"


def test_opening_a_folder_needs_no_jax(tmp_path):
    (tmp_path / "one.png").touch()
    code = (
        f"import sys, napari_anomaly; napari_anomaly.open_folder({str(tmp_path)!r}); "
        f"print([m for m in {sorted(JAX | WINDOW)} if m in sys.modules])"
    )
    assert in_a_fresh_interpreter(code) == "[]\n"


def test_every_public_name_resolves():
    for name in napari_anomaly.__all__:
        assert getattr(napari_anomaly, name).__module__.startswith("napari_anomaly")
