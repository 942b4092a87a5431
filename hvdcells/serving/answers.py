"""From what the model says to what a client is told: one row an image, as JSON or CSV."""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hvdcells.inference.exported import ExportedModel
from hvdcells.scores.image_range import ImageRange
from hvdcells.serving.pool import Predicted
from hvdcells.serving.unlike import warnings

LONGEST_NAME = 200
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet would compute."""


@dataclass(frozen=True)
class Answers:
    """Makes rows of an export's predictions."""

    described: ExportedModel
    range: ImageRange | None

    def row(self, name: str, predicted: Predicted) -> dict[str, Any]:
        """Return what is told of an image that was predicted."""
        names, probabilities = self.described.class_names, predicted.probabilities
        decided, refer = self.described.decision.decided(probabilities[np.newaxis])
        return {
            "name": name[:LONGEST_NAME],
            "probabilities": {each: float(value) for each, value in zip(names, probabilities, strict=True)},
            "called": names[int(probabilities.argmax())],
            "decision": str(decided[0]),
            "refer": bool(refer[0]),
            "warnings": warnings(self.range, predicted.image, predicted.embedding) if self.range else [],
            "error": None,
        }

    def rejected(self, name: str, reason: str) -> dict[str, Any]:
        """Return what is told of an image that cannot be used."""
        return {
            "name": name[:LONGEST_NAME],
            "probabilities": None,
            "called": None,
            "decision": None,
            "refer": None,
            "warnings": [],
            "error": reason,
        }

    def as_json(self, rows: list[dict[str, Any]]) -> str:
        """Return rows as one JSON object, with the model they come from."""
        noted = {"model": self.described.digests.model, "synthetic": self.described.synthetic}
        return json.dumps({**noted, "predictions": rows})

    def as_csv(self, rows: Iterable[dict[str, Any]]) -> str:
        """Return rows as CSV with a line of names; a text that a spreadsheet would compute is quoted."""
        written = io.StringIO()
        lines = csv.writer(written)
        names = self.described.class_names
        of_classes = [f"probability_{name}" for name in names]
        lines.writerow(["name", *of_classes, "called", "decision", "refer", "warnings", "error"])
        for row in rows:
            values = [row["probabilities"][name] for name in names] if row["probabilities"] else [""] * len(names)
            others = [row["called"], row["decision"], row["refer"], "; ".join(row["warnings"]), row["error"]]
            lines.writerow([_text(row["name"]), *values, *("" if each is None else each for each in others)])
        return written.getvalue()


def _text(value: str) -> str:
    return f"'{value}" if value.startswith(FORMULA) else value
