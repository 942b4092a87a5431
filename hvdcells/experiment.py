"""The experiment: one frozen, validated description of a training run.

It round-trips through JSON, and a run directory holds the one it was made with. Recipes (`recipes.py`) are
functions that return one; `Experiment.override` changes single fields by their dotted name.
"""

import difflib
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hvdcells.errors import UserError, raise_together

REFERENCE_GLOBAL_BATCH = 256
"""The global batch for which a learning rate is given; see `optimizer.scaled_learning_rate`."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Data(_Section):
    """What a rank reads and how."""

    input_size: int | None = Field(default=None, ge=16, le=1024)
    """Side of the square the model sees, in pixels; None for the size stored in the dataset."""
    validation_fold: int | None = Field(default=None, ge=0)
    """Of a dataset with folds (`hvdcells etl --split k-fold`): the fold to validate on, training on the others."""
    batch_size: int = Field(default=32, ge=1)
    """Images a rank takes per step; the global batch is this times the world size."""
    shuffle_buffer: int = Field(default=1024, ge=1)
    """Images in the second level of shuffling; row groups are shuffled first."""
    reader_threads: int = Field(default=2, ge=1)
    """Threads of one rank that read and decode row groups."""
    cache_bytes: int = Field(default=1 << 30, ge=0)
    """Decoded images of a rank stay in memory when they fit in this many bytes; 0 for no cache."""


class Model(_Section):
    """The classifier."""

    backbone: Literal["small_cnn", "mobilenet_v2"] = "small_cnn"
    width: float = Field(default=1.0, gt=0)
    """Multiplies the number of filters."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    normalization: Literal["batch", "none"] = "batch"
    """Of the small CNN. Batch statistics are those of one rank's batch; moving averages are averaged over ranks."""


class Optimizer(_Section):
    """How weights change."""

    name: Literal["sgd", "adam", "adamw"] = "adam"
    learning_rate: float = Field(default=8e-3, gt=0)
    """For a global batch of 256; scaled linearly to the run's global batch."""
    warmup_epochs: float = Field(default=1.0, ge=0)
    """Epochs over which the rate rises from zero to the scaled one."""
    schedule: Literal["cosine", "constant"] = "cosine"
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of `sgd`."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled, of `adamw`."""
    gradient_clip_norm: float | None = Field(default=None, gt=0)
    """Global norm to which the averaged gradient is clipped; None for no clipping."""


class Augmentation(_Section):
    """Random changes to a training image. A cell has no up or down, so flips and turns lose nothing."""

    flips: bool = True
    quarter_turns: bool = True
    brightness: float = Field(default=0.0, ge=0, lt=1)
    """Every image's intensity is multiplied by a factor drawn from 1 ± this."""
    channel_gain: float = Field(default=0.0, ge=0, lt=1)
    """Every colour channel is multiplied by its own factor from 1 ± this: stains differ from subject to subject."""


class Training(_Section):
    """How long and with what precision."""

    epochs: int = Field(default=10, ge=1)
    class_weights: Literal["balanced", "none"] = "balanced"
    """`balanced` weighs an image by images / (classes · images of its class), over the training split."""
    mixed_precision: bool = False
    """float16 compute with float32 weights and loss scaling."""
    accumulation_steps: int = Field(default=1, ge=1)
    """Batches whose gradients are summed on the rank before one allreduce and one update."""
    early_stopping_patience: int | None = Field(default=None, ge=1)
    """Epochs without a better validation score after which the run stops; None to run all epochs."""
    monitor: Literal["weighted_f1", "macro_f1", "auroc", "loss"] = "weighted_f1"
    """Validation score that names the best epoch."""


class Communication(_Section):
    """Options of Horovod; None takes the default of `hvdcells.horovod_settings` for this kind of hardware."""

    compression: Literal["none", "fp16"] = "none"
    """Gradients are sent as they are or as float16."""
    cycle_time_ms: float | None = Field(default=None, gt=0)
    fusion_threshold_bytes: int | None = Field(default=None, ge=0)
    cache_capacity: int | None = Field(default=None, ge=0)
    num_groups: int | None = Field(default=None, ge=0)
    """Groups in which the gradients are reduced together; 0 lets Horovod fuse as they come."""
    intra_op_threads: int | None = Field(default=None, ge=1)
    inter_op_threads: int | None = Field(default=None, ge=1)


class Experiment(_Section):
    """A whole run: data, model, optimisation, augmentation, stopping, communication, seed."""

    name: str = "experiment"
    seed: int = 0
    data: Data = Data()
    model: Model = Model()
    optimizer: Optimizer = Optimizer()
    augmentation: Augmentation = Augmentation()
    training: Training = Training()
    communication: Communication = Communication()

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
        try:
            return type(self).model_validate(values)
        except ValidationError as error:
            raise_together(
                UserError(
                    f"{'.'.join(map(str, problem['loc']))}={problem['input']!r} does not fit",
                    problem["msg"],
                    "give another value",
                )
                for problem in error.errors()
            )
            raise

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
        if isinstance(field.annotation, type) and issubclass(field.annotation, _Section):
            names += [f"{name}.{inner}" for inner in field.annotation.model_fields]
        else:
            names.append(name)
    return names
