"""The range of the images that a run was validated on: sampled by the ranks, fitted at the end, kept with the run."""

import io
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hvdcells import storage
from hvdcells.errors import fields_refused
from hvdcells.runs.directory import RunDirectory
from hvdcells.runs.predictions import read_predictions

if TYPE_CHECKING:
    from hvdcells.scores.image_range import ImageRange


class Sample(NamedTuple):
    """What a range is fitted on, of some validation images."""

    rows: NDArray[np.int64]
    """Numbers in their split."""
    colors: NDArray[np.float32]
    """(images, 6), of `colors_of`."""
    features: NDArray[np.float32]
    """(images, features); without features where the model has none."""


def _sample(run: RunDirectory) -> str:
    return run.path("range-sample.npy")


def keep_sample(run: RunDirectory, sample: Sample) -> None:
    """Keep the sample of the best epoch so far, until the run ends; of 2,048 features it has 8 MB."""
    buffer = io.BytesIO()
    np.save(buffer, np.column_stack([sample.rows, sample.colors, sample.features]).astype(np.float32))
    storage.write_bytes(_sample(run), buffer.getvalue())


def fit_range(run: RunDirectory) -> None:
    """Fit the range of a run on its sample, and keep it in place of that; nothing where there is none or one image."""
    from hvdcells.scores.image_range import NUM_COLORS, ImageRange

    if not storage.exists(_sample(run)):
        return
    table = np.load(io.BytesIO(storage.read_bytes(_sample(run))), allow_pickle=False)
    rows, colors, features = table[:, 0].astype(int), table[:, 1 : 1 + NUM_COLORS], table[:, 1 + NUM_COLORS :]
    if len(rows) > 1:
        images = read_predictions(run, "validation").iloc[rows]
        known = run.read_json(run.run)["dataset"]["subjects_known"]
        groups = images["subject"].tolist() if known else [str(row) for row in rows]
        fitted = ImageRange.fit(colors, features if features.shape[1] else None, images["label"].to_numpy(), groups)
        storage.write_text(run.range, fitted.model_dump_json() + "\n")
    storage.remove(_sample(run))


def read_range(run: RunDirectory) -> "ImageRange | None":
    """Return the range of a run; None where it has none, as those of earlier versions.

    Raises:
        UserError: it is of another version.
    """
    from hvdcells.scores.image_range import ImageRange

    if not storage.exists(run.range):
        return None
    with fields_refused(f"{run.range} is not what this version reads: ", "delete it to predict without it"):
        return ImageRange.model_validate_json(storage.read_text(run.range))
