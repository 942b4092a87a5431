"""What a sweep chooses from: a list of values or a range for each field, and the trials drawn from them."""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hvdcells.errors import UserError, raise_together

SYNTAX = "FIELD=VALUE,VALUE,… or FIELD=LOW..HIGH or FIELD=LOW..HIGH:log"
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(:log)?")
_SIGNIFICANT_DIGITS = 4


def parse_space(texts: Sequence[str]) -> dict[str, Any]:
    """Turn texts of `SYNTAX` into lists of values and distributions of scipy, by field.

    A range of two whole numbers gives whole numbers, both ends included; another one is uniform, or log-uniform with
    `:log`.

    Raises:
        UserError: texts that are not of this form, all of them together.
    """
    space, problems = {}, []
    for text in texts:
        field, _, choices = (part.strip() for part in text.partition("="))
        try:
            if not field or not choices or field in space:
                raise ValueError("names no field, no value, or a field a second time")
            space[field] = _parse_choices(choices)
        except ValueError as error:
            problems.append(UserError(f"--vary {text}: {error}", SYNTAX, "correct this --vary"))
    raise_together(problems)
    return space


def _parse_choices(text: str) -> Any:
    if ".." not in text:
        values = [value.strip() for value in text.split(",")]
        if not all(values) or len(set(values)) < len(values):
            raise ValueError("a value is empty or given twice")
        return values
    matched = _RANGE.fullmatch(text)
    if matched is None:
        raise ValueError("not a range of numbers")
    low_text, high_text, log = matched.groups()
    low, high = float(low_text), float(high_text)
    if not low < high or (log and low <= 0):
        raise ValueError("LOW must be below HIGH, and above 0 with :log")
    from scipy.stats import loguniform, randint, uniform

    if log:
        return loguniform(low, high)
    if re.fullmatch(r"[-+]?\d+", low_text) and re.fullmatch(r"[-+]?\d+", high_text):
        return randint(int(low_text), int(high_text) + 1)
    return uniform(low, high - low)


def draw_trials(space: Mapping[str, Any], num_random: int | None, seed: int) -> list[dict[str, Any]]:
    """Return the value of each field in each trial.

    Args:
        space: by field a list of values, or a distribution (anything with scipy's `rvs`).
        num_random: trials drawn at random; None for all combinations, in the order of the lists.
        seed: of the draw; the same seed draws the same trials.

    Raises:
        UserError: no field, or a distribution where all combinations are asked for.
    """
    ranges = [field for field, choices in space.items() if hasattr(choices, "rvs")]
    if not space:
        raise UserError("no field to vary", SYNTAX, "name a field with --vary")
    if num_random is None and ranges:
        raise UserError(
            f"a range for {', '.join(ranges)}, and no number of trials",
            "lists of values, whose combinations are all tried, or a number of trials to draw",
            "add --random N, or give values instead of a range",
        )
    if num_random is None:
        return [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]
    from sklearn.model_selection import ParameterGrid, ParameterSampler

    if not ranges:
        # Drawn without replacement: there are no more than all combinations.
        num_random = min(num_random, len(ParameterGrid(dict(space))))
    drawn = ParameterSampler(dict(space), num_random, random_state=seed)
    return [{field: _plain(values[field]) for field in space} for values in drawn]


def _plain(value: Any) -> Any:
    """Return a drawn value as JSON has it; floats with few digits, so that they can be read and typed again."""
    value = value.item() if hasattr(value, "item") else value
    return float(f"{value:.{_SIGNIFICANT_DIGITS}g}") if isinstance(value, float) else value
