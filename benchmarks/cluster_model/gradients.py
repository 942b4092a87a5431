"""How large a model's gradients are, and when back-propagation has each of them ready."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hvdcells.errors import UserError

TABLE = Path(__file__).parent / "gradients.json"

BYTES_PER_PARAMETER = 4
"""Gradients are float32 on the wire, unless they are compressed."""

FORWARD_SHARE = 1 / 3
"""Of a step's compute time: back-propagation does each multiply-add twice, for its inputs and for its weights."""


@dataclass(frozen=True)
class Gradient:
    """The gradient of one layer."""

    num_bytes: float
    work: float
    """Share of back-propagation that is spent in this layer; all layers together make 1."""


@dataclass(frozen=True)
class Gradients:
    """The gradients of a model, in the order in which back-propagation makes them: the last layer comes first."""

    layers: tuple[Gradient, ...]

    @property
    def num_bytes(self) -> float:
        """Bytes that all ranks have to sum in a step."""
        return sum(layer.num_bytes for layer in self.layers)

    def ready(self, compute_seconds: float) -> list[tuple[float, float]]:
        """Return (seconds since the step began, bytes) of each gradient, earliest first."""
        done, times = 0.0, []
        for layer in self.layers:
            done += layer.work
            share = FORWARD_SHARE + (1 - FORWARD_SHARE) * min(done, 1.0)
            times.append((compute_seconds * share, layer.num_bytes))
        return times


def of_model(name: str) -> Gradients:
    """Return the gradients of a model in the table.

    Raises:
        UserError: it is not in the table.
    """
    try:
        layers = _table()[name]
    except KeyError:
        raise UserError(
            f"the model {name!r}", f"one of {', '.join(known_models())}", "choose one of them, or give --gradient-mb"
        ) from None
    total = sum(multiply_adds for _, multiply_adds in layers)
    return Gradients(
        tuple(
            Gradient(parameters * BYTES_PER_PARAMETER, multiply_adds / total)
            for parameters, multiply_adds in reversed(layers)
        )
    )


def spread_evenly(num_bytes: float, num_layers: int = 50) -> Gradients:
    """Return gradients of a model of which only the size is known: equal parts, evenly over back-propagation."""
    return Gradients(tuple(Gradient(num_bytes / num_layers, 1 / num_layers) for _ in range(num_layers)))


def known_models() -> list[str]:
    """Return the names of the models in the table."""
    return list(_table())


@cache
def _table() -> dict[str, list[list[int]]]:
    return json.loads(TABLE.read_text())["models"]
