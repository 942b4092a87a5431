"""What a tuning varies, in SageMaker's words."""

from collections.abc import Sequence
from typing import Any

from hvdcells.experiment.search_space import parse_space


def parameter_ranges(vary: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Turn texts as `hvdcells sweep` takes them into ranges; all values are texts.

    Args:
        vary: `FIELD=VALUE,VALUE,…`, `FIELD=LOW..HIGH` or `FIELD=LOW..HIGH:log`.

    Raises:
        UserError: texts that are not of this form.
    """
    ranges: dict[str, list[dict[str, Any]]] = {}
    for name, choices in parse_space(vary).items():
        if isinstance(choices, list):
            ranges.setdefault("CategoricalParameterRanges", []).append({"Name": name, "Values": choices})
            continue
        kind = "IntegerParameterRanges" if choices.dist.name == "randint" else "ContinuousParameterRanges"
        scaling = "Logarithmic" if choices.dist.name in ("loguniform", "reciprocal") else "Linear"
        low, high = (value.item() if hasattr(value, "item") else value for value in choices.support())
        ranges.setdefault(kind, []).append(
            {"Name": name, "MinValue": f"{low:.10g}", "MaxValue": f"{high:.10g}", "ScalingType": scaling}
        )
    return ranges
