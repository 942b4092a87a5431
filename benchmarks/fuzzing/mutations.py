"""Changes at random: of bytes, most of them where headers are, and of values in JSON."""

import copy
import json
from typing import Any

import numpy as np

NASTY_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
NASTY_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 2**63, -(2**63), 1e308, -1e308, float("nan"), float("inf"), "", "x", "\0", "\ud800"),
    *("../../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "/dev/zero", "os:system", "images", "x" * 100_000),
    *([], {}, [[]], {"": {}}, [1, 2, 3], ["a"] * 1000, {"a": -1}, "$x^$", "[/]", "\x1b[2J", "{{7*7}}"),
)
HEADER_BYTES = 96


def changed_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a file with some bytes changed, a number put in, a part taken out, doubled, or its end cut off."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        end = len(changed)
        reach = end if rng.random() < 0.5 else min(end, HEADER_BYTES)
        at = int(rng.integers(0, max(1, reach)))
        if rng.random() < 0.2:  # footers stand at the end
            at = max(0, end - 1 - at)
        length = int(rng.integers(1, 64))
        match rng.integers(0, 8):
            case 0 | 1 | 2:
                changed[at : at + 1] = rng.bytes(1)
            case 3 | 4:
                number, order = int(rng.choice(NASTY_NUMBERS)), ("little", "big")[rng.integers(0, 2)]
                changed[at : at + 4] = number.to_bytes(4, order)  # type: ignore[arg-type]
            case 5:
                del changed[at : at + length]
            case 6:
                changed[at:at] = changed[at : at + length]
            case 7:
                del changed[max(1, end - length) :]
    return bytes(changed)


def changed_json(text: str, rng: np.random.Generator) -> str:
    """Return JSON with some values replaced, taken out, or named otherwise; now and then with bytes changed."""
    if rng.random() < 0.15:
        return changed_bytes(text.encode(), rng).decode("utf-8", "replace")
    value = json.loads(text)
    for _ in range(rng.integers(1, 4)):
        value = _changed(value, rng)
    return json.dumps(value)


def _changed(value: Any, rng: np.random.Generator) -> Any:
    inside = isinstance(value, dict | list) and bool(value)
    if not inside or rng.random() < 0.05:
        if isinstance(value, int | float) and rng.random() < 0.4:
            return value + int(rng.choice([-1, 1, 1000]))
        return copy.deepcopy(NASTY_VALUES[rng.integers(0, len(NASTY_VALUES))])
    value = copy.copy(value)
    key = rng.integers(0, len(value)) if isinstance(value, list) else list(value)[rng.integers(0, len(value))]
    match rng.integers(0, 12):
        case 0:
            del value[key]
        case 1 if isinstance(value, dict):
            value["another"] = value.pop(key)
        case 1:
            value.append(value[key])
        case _:
            value[key] = _changed(value[key], rng)
    return value
