"""The table of the comparison, as it stands in docs/methods.md."""

from collections.abc import Mapping
from typing import Any

from benchmarks.methods.results import AIM_F1

COLUMNS = {
    "images_per_second": "images/s",
    "seconds_per_epoch": "s an epoch",
    "seconds_to_start": "s to start",
    "seconds": "s in all",
    "seconds_to_f1": f"s to F1 {AIM_F1}",
    "weighted_f1": "test F1",
    "peak_memory_bytes": "peak GiB",
}


def markdown_table(result: Mapping[str, Any]) -> str:
    """Return the rows of a result as a Markdown table: medians, and the smallest and largest value of each."""
    has_wall = any("at_wall" in row for row in result["methods"])
    header = ["method", *COLUMNS.values()]
    if has_wall:
        header.append(f"validation F1 after {result['settings']['wall_seconds']:g} s (epochs)")
    lines = [header, ["---"] * len(header)]
    for row in result["methods"]:
        if row["status"] == "failed":
            lines.append([row["title"], f"failed: {row['reason']}".replace("|", "/"), *[""] * (len(header) - 2)])
            continue
        cells = [row["title"], *(_cell(name, row[name], row[f"{name}_values"]) for name in COLUMNS)]
        if has_wall:
            wall = row.get("at_wall", {})
            known = wall.get("validation_f1")
            cells.append("never" if known is None else f"{known:.3f} ({wall['epochs']:g})")
        lines.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cell(name: str, value: float | None, values: list[float | None]) -> str:
    known = [each for each in values if each is not None]
    if value is None:
        return "never" if not known else f"in {len(known)} of {len(values)}"
    scale, digits = {"peak_memory_bytes": (2**30, 1), "weighted_f1": (1, 3), "seconds_per_epoch": (1, 1)}.get(
        name, (1, 0)
    )
    low, high = min(known) / scale, max(known) / scale
    return f"{value / scale:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"
