"""Detection quality, time and memory of methods on MVTec-layout folders, as a Markdown table.

    python benchmarks/quality.py FOLDER ... --methods linear autoencoder vae --seeds 0 --out results/

Each row is one fresh process of ``napari-anomaly evaluate``, so that peak memory is that row's own. Test images are
used for measuring alone. Rows that already lie in ``--out`` are not measured again.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

COLUMNS = {
    "image AUROC": "image_auroc",
    "image AP": "image_ap",
    "pixel AUROC": "pixel_auroc",
    "pixel AP": "pixel_ap",
    "AU-PRO .3": "aupro_30",
    "AU-PRO .05": "aupro_05",
    "pixel F1": "pixel_f1_at_threshold",
    "wanted false alarms": "false_alarm_target",
    "false alarms": "false_alarm_rate",
    "escapes": "escape_rate",
    "fit s": "fit_seconds",
    "ms / image": "inspect_ms_per_image",
    "peak MB": "peak_rss_mb",
}


def measure(folder: Path, method: str, seed: int, budget: float | None, out: Path) -> dict:
    """Run one row, or read it if it was run before."""
    result = out / f"{folder.name}-{method}-{seed}.json"
    if not result.exists():
        command = [sys.executable, "-m", "napari_anomaly", "evaluate", str(folder)]
        command += ["--method", method, "--seed", str(seed), "--json", str(result)]
        command += [] if budget is None else ["--budget", str(budget)]
        print(" ".join(command[1:]), file=sys.stderr)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return json.loads(result.read_text())


def cell(value: float | None) -> str:
    """Show a share with three digits, a quantity with as many as matter, and what cannot be computed as a dash."""
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) <= 1 else f"{value:.0f}"


def table(rows: list[dict]) -> str:
    """Return the Markdown table of all rows."""
    heads = ["set", "method", "seed", "train / held out", *COLUMNS]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for row in rows:
        counts = f"{row['n_train']} / {row['n_calibration']}"
        cells = [row["data"], row["method"], str(row["seed"]), counts]
        cells += [cell(row[key]) for key in COLUMNS.values()]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def defects(rows: list[dict]) -> str:
    """Return the Markdown table of image AUROC, AU-PRO .3 and escapes of each kind of defect."""
    lines = ["| set | defect | images | " + " | ".join(sorted({r["method"] for r in rows})) + " |"]
    lines.append("|" + " --- |" * (lines[0].count("|") - 1))
    methods = sorted({row["method"] for row in rows})
    first = {(row["data"], row["method"]): row["per_defect"] for row in reversed(rows)}
    for data in dict.fromkeys(row["data"] for row in rows):
        for kind, numbers in first[data, methods[0]].items():
            cells = [
                " / ".join(
                    cell(first[data, method][kind].get(key))
                    for key in ("image_auroc", "aupro_30", "escape_rate")
                )
                for method in methods
            ]
            lines.append(f"| {data} | {kind} | {numbers['n']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure every method on every folder with every seed and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--methods", nargs="+", default=["linear", "autoencoder", "vae"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--budget", type=float)
    parser.add_argument("--out", type=Path, default=Path("quality"))
    choices = parser.parse_args()
    choices.out.mkdir(parents=True, exist_ok=True)
    rows = [
        measure(folder, method, seed, choices.budget, choices.out)
        for folder in choices.folders
        for method in choices.methods
        for seed in choices.seeds
    ]
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, "
        f"napari-anomaly {rows[0]['version']}, {rows[0]['device']}\n"
    )
    print(table(rows))
    print("\nPer kind of defect: image AUROC against all good images / AU-PRO .3 / escapes\n")
    print(defects(rows))


if __name__ == "__main__":
    main()
