"""A model outside its run: a folder with a model file, `model.json` and a card. Reading it needs no TensorFlow.

Contract of the ONNX file, which the others follow as far as their formats let them:

- input `images`, uint8 [N, H, W, 3], RGB: whole images of one size, which the graph crops and resizes as the ETL did;
  images whose sides are both `preparation.input_size` are taken as prepared already;
- output `probabilities`, float32 [N, K]: calibrated, in the order of `decision.class_names`;
- output `embedding`, float32 [N, `embedding_size`]: what the last layer is given; absent where that is None.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hvdcells import storage
from hvdcells.errors import UserError, fields_refused
from hvdcells.images.prepare import ImagePreparation
from hvdcells.scores.decision import Decision

ModelFormat = Literal["onnx", "tflite", "savedmodel", "keras"]
MODEL_FILES: dict[ModelFormat, str] = {
    "onnx": "model.onnx",
    "tflite": "model.tflite",
    "savedmodel": "savedmodel",
    "keras": "model.keras",
}
"""What lies in an export beside `model.json`, by format; `savedmodel` is a folder."""
TAKES_WHOLE: tuple[ModelFormat, ...] = ("onnx", "savedmodel")
"""Formats whose files crop and resize."""
DESCRIPTION, CARD = "model.json", "card.md"
INPUT, PROBABILITIES, EMBEDDING = "images", "probabilities", "embedding"
FORMAT_VERSION = 1
REMEDY = "export the run again: `hvdcells export RUN OUT`"


class Digests(BaseModel):
    """SHA-256 of what an export was made of, and of its file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    """Of the run's `run.json`."""
    model: str
    """Of the run's `model.keras`, as `hvdcells predict` gives it."""
    dataset: str
    """Of the dataset, as the run has noted it."""
    file: str
    """Of the export's own model file; of a folder, over its files by name."""


class FirstWeights(BaseModel):
    """Where training began from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    licence: str | None
    """None where it is not known: the user's own weights."""


class Score(BaseModel):
    """A score and its 95 % interval; None where it is not defined."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float | None
    low: float | None = None
    high: float | None = None


class ExportedModel(BaseModel):
    """What `model.json` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    format: ModelFormat
    quantized: Literal["int8"] | None = None
    color_order: Literal["RGB"] = "RGB"
    takes: Literal["whole images", "prepared images"] = "whole images"
    """Prepared ones alone (n, input_size, input_size, 3) where the format has no crop and no resize: those that are not
    in `TAKES_WHOLE`."""
    preparation: ImagePreparation
    """What is done to an image before the model; `of_content` does it by OpenCV, as `hvdcells predict`."""
    decision: Decision
    """Class names, classes that count as ill, temperature (applied inside the file), thresholds, refer band, rule from
    images to subject."""
    num_views: int = 1
    """Of each image, whose probabilities are averaged inside the file."""
    embedding_size: int | None
    backbone: str
    synthetic: bool
    """It was trained on demonstration cells."""
    digests: Digests
    versions: dict[str, str | None]
    first_weights: FirstWeights | None
    """None for random ones."""
    scores: dict[str, dict[str, Score]]
    """By evaluation (`validation`, `test`, …) and name of the score, over images."""
    range: dict[str, Any] | None = Field(default=None)
    """What tells images unlike those validated on, a `scores.image_range.ImageRange`, where the run knows."""

    @property
    def file(self) -> str:
        """The name of the model file, or folder, beside `model.json`."""
        return MODEL_FILES[self.format]

    @property
    def class_names(self) -> tuple[str, ...]:
        """By column of `probabilities`."""
        return self.decision.class_names


def read_exported(export: storage.Location) -> ExportedModel:
    """Read and check the description of an export.

    Raises:
        UserError: there is none, or it is of another version.
    """
    location = storage.join(storage.absolute(export), DESCRIPTION)
    try:
        text = storage.read_text(location)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{location} is not there", "a folder that `hvdcells export RUN OUT` has written", "name the folder OUT"
        ) from None
    with fields_refused(f"{location} is not what this version reads: ", REMEDY):
        described = ExportedModel.model_validate_json(text)
    if not storage.exists(storage.join(storage.absolute(export), described.file)):
        raise UserError(f"{described.file} is not in {export}", "the model file beside model.json", REMEDY)
    return described
