"""The mark of demonstration cells: `SYNTHETIC.json` at the root of a set."""

import os
from pathlib import PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict

from hvdcells import storage
from hvdcells.data.columns import SYNTHETIC_MARKER
from hvdcells.errors import fields_refused
from hvdcells.storage import retries

GENERATOR_VERSION = 1
"""Raised whenever the same seed would give other pictures."""
NOTICE = (
    "These images are synthetic: drawn by a program, not taken from any person. They show how the software works "
    "and say nothing about cancer or about how well a model does on real cells."
)
Difficulty = Literal["easy", "hard"]
_DEEPEST_FOLDER = 4
"""Levels of a set below its root: `C-NMC_Leukemia/training_data/fold_0/all`."""


class SyntheticMarker(BaseModel):
    """What `SYNTHETIC.json` says. It is there before the first image, and `complete` after the last."""

    model_config = ConfigDict(frozen=True)

    notice: str = NOTICE
    complete: bool
    generator_version: int = GENERATOR_VERSION
    seed: int
    num_subjects: int
    images_per_subject: int
    num_images: int
    num_classes: int = 2
    difficulty: Difficulty = "easy"


def read_marker(source: str | os.PathLike[str]) -> SyntheticMarker | None:
    """Return the mark of the set of demonstration cells that `source` is or lies in; None where there is none.

    The folders above `source` are looked at too, so that a part of a set doesn't pass for real.

    Raises:
        UserError: there is a mark and it cannot be read.
    """
    fs, path = storage.filesystem(source)
    folder = PurePosixPath(path)
    for above in (folder, *folder.parents)[: _DEEPEST_FOLDER + 1]:
        if above == PurePosixPath("."):  # above the bucket of an object store
            break
        marker_path = str(above / SYNTHETIC_MARKER)
        try:
            text = retries.call(fs.cat_file, marker_path, where=source)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        with fields_refused(
            f"{marker_path} cannot be read as the mark of synthetic images: ",
            "write the set again into an empty folder with `hvdcells synthesize`",
        ):
            return SyntheticMarker.model_validate_json(text)
    return None


def write_marker(root: str, marker: SyntheticMarker) -> None:
    """Write the mark at the root of a set."""
    storage.write_text(storage.join(root, SYNTHETIC_MARKER), marker.model_dump_json(indent=1) + "\n")
