"""Whole files of each kind, small, from which the changed ones are made."""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa

from hvdcells.data.columns import CNMC_CLASS_NAMES, NO_FOLD, SPLITS, arrow_schema
from hvdcells.data.dataset import Dataset
from hvdcells.data.manifest import IMAGES_FOLDER, LeakageReport, Manifest, ParquetFile, SplitSummary
from hvdcells.data.stored_images import encode
from hvdcells.experiment import Experiment
from hvdcells.runs.directory import RunDirectory, write_json
from hvdcells.runs.earlier_run import dataset_digest
from hvdcells.runs.predictions import PREDICTION_COLUMNS, write_evaluation, write_predictions
from hvdcells.scores.evaluated_dataset import EvaluatedDataset
from hvdcells.scores.evaluation import Evaluation
from hvdcells.scores.prediction_table import prediction_table
from hvdcells.storage.parquet import ParquetWriter

SIZE, ROWS = 12, 8


def images() -> dict[str, bytes]:
    """Return an image of every format that is read, and of some kinds of each."""
    rng = np.random.default_rng(0)
    pixels = cv2.GaussianBlur(rng.integers(0, 256, (40, 37, 3), np.uint8), (5, 5), 0)
    deep, clear = pixels.astype(np.uint16) * 257, np.dstack([pixels, pixels[..., 0]])
    kinds = {
        "BMP": (".bmp", pixels, ()),
        "BMP, transparent": (".bmp", clear, ()),
        "PNG": (".png", pixels, ()),
        "PNG, 16 bits": (".png", deep, ()),
        "PNG, transparent": (".png", clear, ()),
        "JPEG": (".jpg", pixels, ()),
        "JPEG, progressive": (".jpg", pixels, (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
        "TIFF": (".tiff", pixels, (cv2.IMWRITE_TIFF_COMPRESSION, 1)),
        "TIFF, LZW": (".tiff", deep, (cv2.IMWRITE_TIFF_COMPRESSION, 5)),
        "WebP": (".webp", pixels, (cv2.IMWRITE_WEBP_QUALITY, 80)),
        "WebP, lossless": (".webp", clear, (cv2.IMWRITE_WEBP_QUALITY, 101)),
        "JPEG 2000": (".jp2", pixels, ()),
        "PPM": (".ppm", pixels, ()),
        "PGM": (".pgm", pixels[..., 0], ()),
        "PBM": (".pbm", pixels[..., 0], ()),
    }
    return {name: cv2.imencode(suffix, image, options)[1].tobytes() for name, (suffix, image, options) in kinds.items()}


def dataset(folder: Path) -> Dataset:
    """Write a dataset of three files and open it."""
    splits = {}
    for number, split in enumerate(SPLITS):
        path = f"{IMAGES_FOLDER}/split={split}/part-00000.parquet"
        (folder / path).parent.mkdir(parents=True)
        texts = [name for name in arrow_schema().names if name != "image"]
        with ParquetWriter(folder / path, arrow_schema(), compression="zstd", use_dictionary=texts) as writer:
            writer.write_table(_rows(split, number), row_group_size=ROWS // 2)
        half = ROWS // 2
        splits[split] = SplitSummary(
            images=ROWS,
            images_per_class=dict.fromkeys(CNMC_CLASS_NAMES, half),
            images_per_subject={f"{split}-{name}": half for name in CNMC_CLASS_NAMES},
            class_per_subject={f"{split}-{name}": name for name in CNMC_CLASS_NAMES},
            files=(ParquetFile(path=path, rows_per_row_group=(half, half)),),
        )
    manifest = Manifest(
        synthetic=True,
        source="nowhere",
        layout="cnmc",
        listing_digest="0" * 64,
        options={"split": "grouped"},
        versions={},
        image_size=SIZE,
        image_encoding="raw",
        class_names=CNMC_CLASS_NAMES,
        channel_mean=(100.0, 90.0, 110.0),
        channel_std=(50.0, 50.0, 50.0),
        splits=splits,
        leakage=LeakageReport(num_groups=6),
        listed=3 * ROWS,
        written=3 * ROWS,
        rejected={},
    )
    (folder / "manifest.json").write_text(manifest.to_json())
    return Dataset.open(folder)


def run(folder: Path, trained_on: Dataset) -> RunDirectory:
    """Write what a finished run leaves, without its model, and with predictions of two splits."""
    directory = RunDirectory.at(folder)
    digest = dataset_digest(trained_on)
    noted: dict[str, object] = {
        "location": trained_on.location,
        "digest": digest,
        "validation_fold": None,
        "synthetic": True,
    }
    noted |= {"class_names": list(CNMC_CLASS_NAMES), "image_size": SIZE, "subjects_known": True}
    write_json(directory.experiment, json.loads(Experiment().to_json()))
    write_json(directory.run, {"dataset": noted, "workers": 1, "backend": "InProcess"})
    write_json(directory.finished, {"best_epoch": 1, "epochs": 1})
    record = {"epoch": 1, "best": True, "loss": 0.5, "validation": {"weighted_f1": 0.5, "auroc": 0.5, "loss": 0.6}}
    (folder / "metrics.jsonl").write_text(json.dumps(record) + "\n")
    for split in ("validation", "test"):
        rows = trained_on.read_rows(split, PREDICTION_COLUMNS)
        logits = np.linspace(-1, 1, 2 * len(rows)).astype(np.float32).reshape(-1, 2)
        rows = prediction_table(rows, logits, CNMC_CLASS_NAMES)
        write_predictions(directory, split, rows)
        evaluated = EvaluatedDataset(trained_on.location, digest, None)
        write_evaluation(
            directory, Evaluation.of_predictions(rows, trained_on.manifest, evaluated, split=split, epoch=1)
        )
    return directory


def _rows(split: str, seed: int) -> pa.Table:
    pixels = np.random.default_rng(seed).integers(0, 256, (ROWS, SIZE, SIZE, 3), np.uint8)
    labels = [row % 2 for row in range(ROWS)]
    names = [CNMC_CLASS_NAMES[label] for label in labels]
    rows = pd.DataFrame(
        {
            "image": [encode(image, "raw") for image in pixels],
            "label": labels,
            "class_name": names,
            "subject": [f"{split}-{name}" for name in names],
            "image_id": [f"{split}-{row}" for row in range(ROWS)],
            "cell": "1",
            "source": [f"{split}/{row}.bmp" for row in range(ROWS)],
            "content_hash": [f"{seed}{row:030d}" for row in range(ROWS)],
            "group": [f"{split}-{name}" for name in names],
            "fold": NO_FOLD,
        }
    )
    return pa.Table.from_pandas(rows, schema=arrow_schema(), preserve_index=False)
