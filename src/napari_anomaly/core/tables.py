"""Tables of results as CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from napari_anomaly.core.types import Region

REGION_COLUMNS = (
    *("name", "label", "area", "y0", "x0", "y1", "x1"),
    *("centroid_y", "centroid_x", "max_score", "mean_score", "p_value"),
)
"""Columns of ``regions.csv``: the name of the image, then the fields of `Region`."""


def region_row(name: str, region: Region) -> dict[str, Any]:
    """Return one row of ``regions.csv``."""
    row = {"name": name, **asdict(region)}
    row |= zip(("y0", "x0", "y1", "x1"), row.pop("bbox"), strict=True)
    row |= zip(("centroid_y", "centroid_x"), row.pop("centroid"), strict=True)
    return row


def csv_bytes(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return a table as UTF-8 CSV; numbers with all digits, None as an empty cell."""
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue().encode(errors="surrogateescape")
