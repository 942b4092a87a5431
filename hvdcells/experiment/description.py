"""The experiment: one frozen, validated description of a training run.

It round-trips through JSON, and a run directory holds the one it was made with. Recipes (`recipes.py`) are
functions that return one; `Experiment.override` changes single fields by their dotted name.
"""

import difflib
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import model_validator

from hvdcells.errors import UserError, fields_refused, raise_together
from hvdcells.experiment.sections import (
    NO_AUGMENTATION,
    Augmentation,
    Communication,
    Data,
    Model,
    Optimizer,
    Section,
    Training,
    Transfer,
)


class Experiment(Section):
    """A whole run: data, model, transfer, optimisation, augmentation, stopping, communication, seed."""

    name: str = "experiment"
    seed: int = 0
    data: Data = Data()
    model: Model = Model()
    transfer: Transfer = Transfer()
    optimizer: Optimizer = Optimizer()
    augmentation: Augmentation = Augmentation()
    training: Training = Training()
    communication: Communication = Communication()

    @model_validator(mode="after")
    def _balanced_once(self) -> "Experiment":
        if self.data.sampling == "balanced" and self.training.class_weights == "balanced":
            raise ValueError("data.sampling=balanced balances the classes already: set training.class_weights=none")
        return self

    @model_validator(mode="after")
    def _something_to_transfer(self) -> "Experiment":
        # A function may load weights by itself.
        if self.transfer.freezes and self.model.weights is None and ":" not in self.model.backbone:
            raise ValueError("transfer freezes layers, so they need weights: set model.weights")
        return self

    def augmentation_of(self, trains: Literal["head", "all"]) -> Augmentation:
        """Return the augmentation of the epochs that train the head alone, or of those that train the rest."""
        return NO_AUGMENTATION if trains == "head" and not self.transfer.augment_head else self.augmentation

    def override(self, changes: Mapping[str, Any]) -> "Experiment":
        """Return a copy with single fields changed, validated anew.

        Args:
            changes: value by dotted field name, such as `{"optimizer.learning_rate": "0.01"}`. Text is converted
                to the field's type; the text `null` stands for None.

        Raises:
            UserError: unknown fields or values that do not fit, all of them together.
        """
        values = self.model_dump()
        known = field_names()
        problems = []
        for name, value in changes.items():
            if name not in known:
                near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
                problems.append(
                    UserError(
                        f"the experiment has no field {name!r}",
                        "one of " + ", ".join(near or known),
                        "correct the name; `hvdcells train DATASET RUN --list-fields` prints all fields",
                    )
                )
                continue
            section, _, field = name.rpartition(".")
            (values[section] if section else values)[field] = None if value == "null" else value
        raise_together(problems)
        with fields_refused("the experiment's "):
            return type(self).model_validate(values)

    def to_json(self) -> str:
        """Serialize as indented JSON text."""
        return self.model_dump_json(indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Experiment":
        """Parse what `to_json` wrote."""
        return cls.model_validate_json(text)


def field_names() -> list[str]:
    """Return the dotted names of all fields that `override` takes."""
    names = []
    for name, field in Experiment.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            names += [f"{name}.{inner}" for inner in field.annotation.model_fields]
        else:
            names.append(name)
    return names


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values by dotted name."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flattened(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
