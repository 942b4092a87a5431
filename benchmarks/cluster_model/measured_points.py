"""Reads measured points from the files that `python -m benchmarks.scaling` leaves, one JSON file a point."""

import json
from pathlib import Path
from typing import Any

from benchmarks.cluster_model.measured import MeasuredPoint
from hvdcells.errors import UserError, raise_together


def read_points(folder: Path) -> list[MeasuredPoint]:
    """Read all points of a folder.

    Raises:
        UserError: there is none, or a file is not a point.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise UserError(
            f"{folder}: no points in it", "one JSON file a point", "python -m benchmarks.scaling makes them"
        )
    points, problems = [], []
    for file in files:
        try:
            points.append(_point(json.loads(file.read_text())))
        except (ValueError, TypeError, KeyError) as error:
            problems.append(
                UserError(f"{file}: {error!r}", "a point of benchmarks.scaling", "delete the file, or measure it again")
            )
    raise_together(problems)
    return points


def _point(fields: dict[str, Any]) -> MeasuredPoint:
    return MeasuredPoint(**{name: fields[name] for name in MeasuredPoint.__dataclass_fields__})
