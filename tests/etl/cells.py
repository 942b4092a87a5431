"""Small made-up cells in the layouts users have, and the real data where it is at hand."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from hvdcells.data.dataset import Dataset
from hvdcells.spark.listener import Listener
from hvdcells.storage import parquet

REAL_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SAMPLE = REAL_DATA / "cnmc2019-sample"
FULL_MANIFEST = REAL_DATA / "cnmc2019-manifest.tsv"

needs_sample = pytest.mark.skipif(not SAMPLE.is_dir(), reason=f"the real sample images are not at {SAMPLE.name}")
needs_manifest = pytest.mark.skipif(not FULL_MANIFEST.is_file(), reason="the manifest of the real data is not here")


def cell(seed: int, side: int = 48) -> np.ndarray:
    """Return a noisy disc on black ground, RGB uint8 of shape (side, side, 3); each seed gives other pixels."""
    rng = np.random.default_rng(seed)
    image = np.zeros((side, side, 3), np.uint8)
    texture = rng.integers(40, 200, (side, side, 3), dtype=np.uint8)
    disc = np.zeros((side, side), np.uint8)
    cv2.circle(disc, (side // 2, side // 2), int(rng.integers(side // 5, side // 3)), (1,), -1)
    image[disc == 1] = texture[disc == 1]
    return image


def write_image(path: Path, image: np.ndarray) -> None:
    """Write an RGB image in the format of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def write_cnmc(root: Path, images_per_subject: int = 4, first_seed: int = 0) -> int:
    """Write a C-NMC tree: two subjects of each class in folds 0, 1, 2 and in the preliminary test.

    Returns:
        The number of images.
    """
    seed = first_seed
    lines: list[tuple[str, str, int]] = []
    for part in range(4):
        for class_name, names in (("all", (2 * part + 1, 2 * part + 2)), ("hem", (2 * part + 1, 2 * part + 2))):
            for number in names:
                subject = f"{'H' if class_name == 'hem' else ''}{number}"
                for index in range(images_per_subject):
                    name = f"UID_{subject}_{index + 1}_1_{class_name}.bmp"
                    if part < 3:
                        write_image(root / "training_data" / f"fold_{part}" / class_name / name, cell(seed))
                    else:
                        new = f"{len(lines) + 1}.bmp"
                        write_image(root / "validation_data" / "C-NMC_test_prelim_phase_data" / new, cell(seed))
                        lines.append((name, new, int(class_name == "all")))
                    seed += 1
    with (root / "validation_data" / "C-NMC_test_prelim_phase_data_labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("Patient_ID", "new_names", "labels"), *lines])
    return seed - first_seed


def rows_of(location):
    """All rows in reading order, as (split, row)."""
    manifest = Dataset.open(location).manifest
    return [
        (split, row)
        for split, summary in manifest.splits.items()
        for file in summary.files
        for row in parquet.read_table(f"{location}/{file.path}").to_pylist()
    ]


class RecordingListener(Listener):
    """Keeps what it is told."""

    def __init__(self):
        self.said, self.stages = [], []

    def say(self, text):
        self.said.append(text)

    def stage(self, name, num_images):
        self.stages.append((name, num_images))
