"""Every pain that docs/pains.md calls answered names a test that exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TABLES = ROOT / "docs/pains.md"
ROWS = [
    [cell.strip() for cell in line.strip("|\n ").split(" | ")]
    for line in (TABLES.read_text() if TABLES.exists() else "").splitlines()
    if line.startswith("| ") and not line.startswith("| pain")
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_each_row_names_issues_and_a_test_that_exists(row):
    _, issues, answer, test = row
    assert all(re.fullmatch(r"[A-Za-z0-9-]+#\d+", one) for one in issues.split(", "))
    assert answer
    if test != "?":
        path, _, name = test.strip("`").partition("::")
        assert not name or f"def {name}(" in (ROOT / path).read_text()


def test_the_tables_are_read():
    if not TABLES.exists():
        pytest.skip("not a checkout")
    assert len(ROWS) > 40
