"""Whether a training has come to weights that are good for nothing, although its loss stayed a number."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

TIMES_CHANCE = 10.0
"""A loss so many times that of a model that knows nothing is that of one whose weights have run away."""


def divergence_told(records: Sequence[Mapping[str, Any]], num_classes: int) -> str | None:
    """Say that a run has diverged; None if it has not.

    Args:
        records: of its epochs; the lines of `metrics.jsonl`.
        num_classes: of the dataset. Equal probabilities for each have the cross-entropy ln(num_classes).
    """
    if not records or not isinstance(records[-1].get("loss"), int | float):
        return None
    chance, last = math.log(num_classes), records[-1]["loss"]
    if last < TIMES_CHANCE * chance:
        return None
    first = records[0]["loss"]
    return (
        f"The training has diverged: its loss is {last:.3g} in epoch {records[-1]['epoch']} ({first:.3g} in epoch "
        f"{records[0]['epoch']}), where guessing has {chance:.3g}. Its scores mean nothing: lower "
        "optimizer.learning_rate, lengthen optimizer.warmup_epochs or set optimizer.gradient_clip_norm."
    )
