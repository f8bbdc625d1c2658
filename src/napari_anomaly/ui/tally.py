"""The sums over a folder in words."""

from napari_anomaly.ui.counting import FolderCount
from napari_anomaly.ui.overlap import share


def in_words(count: FolderCount) -> str:
    """Say the totals of what is counted so far; a dash stands for a share of nothing."""
    totals, pixels = count.totals, count.totals.pixels
    lines = [
        f"pixels: IoU {_short(share(lambda: pixels.iou))}, F1 {_short(share(lambda: pixels.f1))}",
        f"precision {_short(share(lambda: pixels.precision))}, recall {_short(share(lambda: pixels.recall))}",
        f"mean PRO {_short(totals.pro)}, escapes {totals.escapes} of {totals.regions} regions",
        f"false alarms in {totals.false_alarm_images} of {totals.good} good images",
        f"image AUROC {_short(count.auroc)}",
        _coverage(totals.images, count),
    ]
    return "\n".join(lines)


def _coverage(known: int, count: FolderCount) -> str:
    text = f"over {known} image{'' if known == 1 else 's'}"
    if count.unknown:
        text += f"; {count.unknown} of unknown truth left out: nothing is painted and no folder says they are good"
    if count.waiting:
        text += f"; {count.waiting} still to be counted"
    return text


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
