"""What is compiled is kept for the next process, in a folder that is the user's alone, and nowhere else."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest

from napari_anomaly.core.fitting import fit
from napari_anomaly.core.methods.knobs.linear import Linear
from napari_anomaly.core.nn import compiling

pytestmark = pytest.mark.skipif(
    jax.__version_info__ < (0, 10, 2), reason="an older JAX keeps nothing"
)

FIRST_MAP = """
import sys
import jax.monitoring
counts = {"/jax/compilation_cache/cache_hits": 0, "/jax/compilation_cache/cache_misses": 0}
def count(event, **_):
    if event in counts:
        counts[event] += 1
jax.monitoring.register_event_listener(count)
import numpy as np
import napari_anomaly as na
na.load(sys.argv[1]).inspect(np.arange(1024, dtype=np.uint8).reshape(32, 32))
print(*counts.values())
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    images = [image(seed) for seed in range(8)]
    detector = fit(images, Linear(patch=4, scales=(1, 2), components=3))
    return detector.save(tmp_path_factory.mktemp("saved") / "one.anomaly")


def image(seed):
    return np.random.default_rng(seed).integers(0, 255, (32, 32), dtype=np.uint8)


def hits_and_misses(file, home, **environment):
    """Load and inspect in a fresh process, whose user has another home; no word may be told."""
    usual = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JAX_", "XDG_", "XLA_"))
    }
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", FIRST_MAP, str(file)],
        env={**usual, "HOME": str(home), "LOCALAPPDATA": str(home), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    hits, misses = map(int, run.stdout.split())
    return hits, misses


def kept(home):
    return sorted(path.name for path in home.rglob("*-cache"))


def test_a_second_process_compiles_nothing_and_a_cut_short_file_is_no_news(file, tmp_path):
    none, compiled = hits_and_misses(file, tmp_path)
    again, anew = hits_and_misses(file, tmp_path)

    assert none == 0
    assert compiled == len(kept(tmp_path)) == again > 0
    assert anew == 0

    for path in tmp_path.rglob("*-cache"):
        path.write_bytes(path.read_bytes()[:100])
    assert hits_and_misses(file, tmp_path)[0] == 0


def test_a_folder_that_the_user_chose_is_used_instead(file, tmp_path):
    home, own = tmp_path / "home", tmp_path / "own"
    home.mkdir()

    hits_and_misses(file, home, JAX_COMPILATION_CACHE_DIR=str(own))

    assert kept(home) == []


def test_two_processes_at_once_do_not_disturb_each_other(file, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda _: hits_and_misses(file, tmp_path), range(2)))

    assert all(hits + misses == len(kept(tmp_path)) > 0 for hits, misses in runs)


@pytest.fixture
def switched_off():
    names = "jax_enable_compilation_cache", "jax_compilation_cache_dir"
    before = [getattr(jax.config, name) for name in names]
    for name, value in zip(names, (False, None), strict=True):
        jax.config.update(name, value)
    yield
    for name, value in zip(names, before, strict=True):
        jax.config.update(name, value)


@pytest.mark.usefixtures("switched_off")
def test_switched_off_nothing_is_set():
    compiling.cache()

    assert jax.config.jax_compilation_cache_dir is None


# -- whose folder ---------------------------------------------------------------------------------

posix = pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has other permissions")


@posix
def test_a_folder_of_our_own_is_closed_to_others(tmp_path):
    folder = tmp_path / "cache" / "napari-anomaly"

    assert compiling._private(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert compiling._private(folder)


@posix
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o722, 0o1777])
def test_a_folder_that_others_may_write_is_not_used(tmp_path, mode):
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(mode)

    assert not compiling._private(folder)


@posix
def test_nor_is_one_that_others_may_put_another_in_place_of(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)

    assert not compiling._private(tmp_path / "open" / "cache")


@posix
def test_nor_is_one_of_another_user(tmp_path, monkeypatch):
    assert compiling._private(tmp_path / "cache")
    monkeypatch.setattr(os, "getuid", lambda: (tmp_path.stat().st_uid) + 1)

    assert not compiling._private(tmp_path / "cache")


@posix
def test_nor_is_a_link_or_a_file(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").touch(mode=0o600)

    assert not compiling._private(tmp_path / "link")
    assert not compiling._private(tmp_path / "file")


def test_where_no_folder_can_be_made_none_is_used(tmp_path):
    (tmp_path / "file").touch()

    assert not compiling._private(tmp_path / "file" / "cache")


# -- how much -------------------------------------------------------------------------------------


def test_what_was_written_first_goes_first(tmp_path):
    for age, name in enumerate(["newest", "middle", "oldest"]):
        path = tmp_path / "processor" / f"{name}-cache"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(40))
        os.utime(path, (1e9 - age, 1e9 - age))
    (tmp_path / "note.txt").write_bytes(bytes(100))

    compiling._prune(tmp_path, 100)

    assert kept(tmp_path) == ["middle-cache", "newest-cache"]
    assert (tmp_path / "note.txt").exists()


def test_another_processor_has_another_name(monkeypatch):
    here = compiling._processor()
    assert compiling._processor() == here
    monkeypatch.setattr(compiling.platform, "machine", lambda: "z80")

    assert compiling._processor() != here
