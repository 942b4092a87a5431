"""An export tried on a dataset's images: against the Keras model, and by its scores, size and time."""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hvdcells.data.dataset import Dataset
from hvdcells.images.decode import Pixels
from hvdcells.images.prepare import ImagePreparation, resize_stored
from hvdcells.rank.input.reader import open_reader
from hvdcells.scores.formulas import Floats

MOST_DIFFERENCE = 1e-4
"""Of a probability, between an export of float32 and the Keras model."""
MOST_IMAGES = 2000
"""Validation images that an export is tried on."""
CALIBRATION_IMAGES = 256
"""Training images whose ranges an 8-bit file is made for."""
_BATCH = 16
_WHOLE_IMAGES = 64

Images = Callable[[Pixels], NDArray[np.float32]]
"""From uint8 images to probabilities."""


@dataclass(frozen=True)
class Difference:
    """Of probabilities, at most."""

    prepared: float
    """Where both are given the same pixels."""
    whole: float | None
    """Where the file crops and resizes by itself; None where it does not."""
    num_images: int

    @property
    def largest(self) -> float:
        """The larger of both."""
        return max(self.prepared, self.whole or 0.0)


@dataclass(frozen=True)
class Quality:
    """What a file is worth on validation images, and what it takes."""

    f1_by_image: float
    f1_by_subject: float | None
    size_bytes: int
    seconds_per_image: float


def stored_batches(dataset: Dataset, split: str, most: int) -> Generator[Pixels, None, None]:
    """Yield images of a split as the dataset stores them, in batches, at most so many."""
    order = range(len(dataset.row_groups(split)))
    with open_reader(dataset, split, order, input_size=dataset.manifest.image_size, num_threads=1) as row_groups:
        left = most
        for row_group in row_groups:
            for first in range(0, len(row_group.image), _BATCH):
                if left <= 0:
                    return
                batch = row_group.image[first : first + min(_BATCH, left)].copy()
                left -= len(batch)
                yield batch


def for_model(stored: Pixels, preparation: ImagePreparation) -> Pixels:
    """Return stored images as the model takes them."""
    return np.stack([resize_stored(image, preparation.input_size) for image in stored])


def as_from_a_microscope(stored: Pixels, preparation: ImagePreparation) -> Pixels:
    """Return stored images enlarged to the size that they were cut out at; by half where that size is not known."""
    side = preparation.crop or preparation.image_size * 3 // 2
    enlarged = [cv2.resize(each, (side, side), interpolation=cv2.INTER_CUBIC) for each in stored]
    return np.asarray(np.stack(enlarged), np.uint8)


def compare(
    dataset: Dataset, preparation: ImagePreparation, exported: Images, model: Callable[[Pixels], Floats], whole: bool
) -> Difference:
    """Compare a file with the Keras model on validation images.

    Args:
        dataset: of the run.
        preparation: of the run.
        exported: the file.
        model: the Keras model, from prepared images to calibrated probabilities.
        whole: whether the file crops and resizes.
    """
    prepared_by, whole_by, num_images = 0.0, 0.0, 0
    with closing(stored_batches(dataset, "validation", MOST_IMAGES)) as batches:
        for stored in batches:
            given = for_model(stored, preparation)
            prepared_by = max(prepared_by, _largest(exported(given), model(given)))
            if whole and num_images < _WHOLE_IMAGES:
                enlarged = as_from_a_microscope(stored, preparation)
                made = np.stack([preparation.of_pixels(image) for image in enlarged])
                whole_by = max(whole_by, _largest(exported(enlarged), model(made)))
            num_images += len(stored)
    return Difference(prepared_by, whole_by if whole else None, num_images)


def judge_files(
    dataset: Dataset, preparation: ImagePreparation, files: Sequence[Images], sizes: Sequence[int]
) -> list[Quality]:
    """Score several files of one model on validation images and time them, batch by batch in turn."""
    rows = dataset.read_rows("validation", ["label", "subject"])[:MOST_IMAGES]
    found: list[list[NDArray[np.float32]]] = [[] for _ in files]
    seconds: list[list[float]] = [[] for _ in files]
    with closing(stored_batches(dataset, "validation", MOST_IMAGES)) as batches:
        for stored in batches:
            given = for_model(stored, preparation)
            for number, file in enumerate(files):
                began = time.perf_counter()
                found[number].append(file(given))
                seconds[number].append((time.perf_counter() - began) / len(given))
    labels = rows["label"].to_numpy()
    subjects = rows["subject"].tolist() if dataset.manifest.subjects_known else None
    return [
        Quality(*_f1(labels, subjects, np.concatenate(each)), size, float(np.median(took)))
        for each, size, took in zip(found, sizes, seconds, strict=True)
    ]


def _f1(
    labels: NDArray[np.int_], subjects: Sequence[str] | None, probabilities: NDArray[np.float32]
) -> tuple[float, float | None]:
    from hvdcells.scores.classification import classification_scores
    from hvdcells.scores.subjects import subject_predictions

    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    by_image = classification_scores(labels, exact, [])["weighted_f1"]
    if subjects is None:
        return by_image, None
    table, means = subject_predictions(subjects, labels, exact)
    return by_image, classification_scores(table["label"].to_numpy(), means, [])["weighted_f1"]


def _largest(one: NDArray[np.float32], other: Floats) -> float:
    difference = float(np.abs(one - other).max())
    return float("inf") if np.isnan(difference) else difference
