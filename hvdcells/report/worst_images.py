"""The images a model is most wrong about, as thumbnails out of the dataset's Parquet."""

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hvdcells.data.dataset import Dataset
from hvdcells.errors import UserError
from hvdcells.scores.prediction_table import class_probabilities
from hvdcells.scores.scorer import called

if TYPE_CHECKING:
    import pandas as pd

THUMBNAIL_SIZE = 128
"""Side of a thumbnail in pixels; smaller images keep their size."""
MOST_THUMBNAILS = 60
"""On a page, for one split; so many that it stays a few megabytes."""


@dataclass(frozen=True)
class WorstImage:
    """One image and what the model says of it."""

    image_id: str
    subject: str
    label: int
    called: int
    """The label that the model calls it."""
    probability: float
    """Of its own class."""
    png_base64: str

    @property
    def wrong(self) -> bool:
        """Whether it is called another class."""
        return self.called != self.label


def worst_images(
    predictions: "pd.DataFrame", dataset: Dataset, split: str, per_class: int | None = None
) -> list[WorstImage]:
    """Return the images of each class with the lowest probability of their own class, worst first, last class first.

    Args:
        predictions: of all images of the split, in the order of the manifest.
        dataset: where the images are.
        split: name of the split.
        per_class: most images of each class; None for 12, and fewer where there are so many classes that the page
            would have more than about `MOST_THUMBNAILS`.

    Raises:
        UserError: the dataset does not hold the images that were predicted.
    """
    kept = dataset.read_rows(split, ["image_id", "content_hash"])
    if not kept.equals(predictions[["image_id", "content_hash"]]):
        raise UserError(
            f"the dataset {dataset.location} has other images in {split!r} than were predicted",
            "the dataset the predictions were made on",
            "evaluate the run again with `hvdcells evaluate`",
        )
    class_names = dataset.manifest.class_names
    labels, probabilities = predictions["label"].to_numpy(), class_probabilities(predictions, class_names)
    own, called_as = probabilities[np.arange(len(labels)), labels], called(probabilities)
    if per_class is None:
        per_class = max(4, min(12, MOST_THUMBNAILS // len(class_names)))
    ranked = np.argsort(own, kind="stable")
    rows = [
        int(row) for label in reversed(range(len(class_names))) for row in ranked[labels[ranked] == label][:per_class]
    ]
    thumbnails = _thumbnails(dataset, split, rows)
    return [
        WorstImage(
            image_id=predictions["image_id"][row],
            subject=predictions["subject"][row],
            label=int(labels[row]),
            called=int(called_as[row]),
            probability=float(own[row]),
            png_base64=thumbnails[row],
        )
        for row in rows
    ]


def _thumbnails(dataset: Dataset, split: str, rows: list[int]) -> dict[int, str]:
    """Return the images of these rows of the split as PNG in base64; only their row groups are read."""
    from hvdcells.images.overlay import encoded
    from hvdcells.rank.input.chosen_rows import read_chosen

    size = min(THUMBNAIL_SIZE, dataset.manifest.image_size)
    images = read_chosen(dataset, split, rows, size)
    return {row: base64.b64encode(encoded(image, ".png")).decode("ascii") for row, image in images.items()}
