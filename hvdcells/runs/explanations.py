"""Heat maps of some images of an evaluation, kept with the run so that its report can show them without TensorFlow."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from hvdcells import storage
from hvdcells.runs.directory import RunDirectory

MOST_IMAGES = 48
"""Of an evaluation."""
MOST_STRIP_CHARACTERS = 60_000
"""Of one picture in base64, which noise alone would need."""


Kind = Literal["worst", "surest"]
Panel = Literal["image", "Grad-CAM", "occlusion"]


class Explained(BaseModel):
    """An image, and where the model finds the class that it calls it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_id: str
    kind: Kind
    label: Annotated[int, Field(ge=0)]
    called: Annotated[int, Field(ge=0)]
    probability: Annotated[float, Field(ge=0, le=1)]
    """Of its own class."""
    strip: Annotated[str, Field(max_length=MOST_STRIP_CHARACTERS, pattern=r"^[A-Za-z0-9+/=]*$")]
    """JPEG in base64: the image, Grad-CAM where there is one, occlusion where it was made."""
    panels: tuple[Panel, ...]


class Explanations(BaseModel):
    """Those of one evaluation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: str | None
    """Whose features Grad-CAM reads; None where there is none."""
    no_layer_because: str | None
    images: Annotated[tuple[Explained, ...], Field(max_length=MOST_IMAGES)]


def explanations_location(run: RunDirectory, name: str) -> str:
    """Return where those of an evaluation are kept (JSON)."""
    return run.path("explanations", f"{name}.json")


def write_explanations(run: RunDirectory, name: str, explanations: Explanations) -> None:
    """Keep those of an evaluation."""
    storage.write_text(explanations_location(run, name), explanations.model_dump_json(indent=1) + "\n")


def read_explanations(run: RunDirectory, name: str) -> Explanations | None:
    """Return those of an evaluation; None where none were made.

    Raises:
        ValueError: the file is not as `write_explanations` leaves it.
    """
    location = explanations_location(run, name)
    return Explanations.model_validate_json(storage.read_text(location)) if storage.exists(location) else None
