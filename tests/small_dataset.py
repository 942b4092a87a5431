"""Small datasets written straight by the contract, without Spark, for tests of what reads them."""

import hashlib
import io
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hvdcells.data.checksums import column_checksum, pixel_hash, row_group_checksum
from hvdcells.data.columns import CNMC_CLASS_NAMES, NO_FOLD, SPLITS, ImageEncoding, arrow_schema
from hvdcells.data.dataset import Dataset
from hvdcells.data.manifest import (
    IMAGES_FOLDER,
    FoldSummary,
    LeakageReport,
    Manifest,
    ParquetFile,
    SplitSummary,
    default_positive_classes,
)
from hvdcells.data.stored_images import decode_stored


def write_small_dataset(
    folder: Path,
    rows_per_row_group: dict[str, list[list[int]]],
    image_size: int = 24,
    encoding: ImageEncoding = "raw",
    seed: int = 0,
    num_folds: int = 0,
    class_names: tuple[str, ...] = CNMC_CLASS_NAMES,
    positive_classes: tuple[str, ...] | None = None,
) -> Dataset:
    """Write a dataset; `rows_per_row_group` holds per split and file the rows of its row groups.

    Images of later classes are brighter, so that a model can learn them; the first bytes of an image hold its row
    number. The classes take turns; `positive_classes` are by default those of a manifest.
    With `num_folds`, the files of the training split are dealt out to folds, each with its own subjects.
    """
    rng = np.random.default_rng(seed)
    splits = {}
    folds: dict[int, tuple[list[int], list[str]]] = {}
    for split in SPLITS:
        files: list[ParquetFile] = []
        labels: list[int] = []
        subjects: list[str] = []
        for number, groups in enumerate(rows_per_row_group.get(split, [])):
            path = f"{IMAGES_FOLDER}/split={split}/part-{number:05d}.parquet"
            fold = number % num_folds if num_folds and split == "train" else NO_FOLD
            first_of_file = len(labels)
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            checksums, written = [], []
            with pq.ParquetWriter(folder / path, arrow_schema(), use_dictionary=False) as writer:
                for rows in groups:
                    first = len(labels)
                    table = _rows(rng, split, first, rows, image_size, encoding, fold, class_names)
                    writer.write_table(table, row_group_size=rows)
                    images = (decode_stored(image, encoding) for image in table["image"].to_pylist())
                    checksums.append(row_group_checksum(map(pixel_hash, images), table["label"].to_pylist()))
                    written += table.drop(["image"]).to_pylist()
                    labels += table["label"].to_pylist()
                    subjects += table["subject"].to_pylist()
            files.append(
                ParquetFile(
                    path=path,
                    rows_per_row_group=tuple(groups),
                    fold=fold,
                    row_group_checksums=tuple(checksums),
                    column_checksums={
                        name: column_checksum(row[name] for row in written) for name in arrow_schema().names[1:]
                    },
                )
            )
            if fold != NO_FOLD:
                of_fold = folds.setdefault(fold, ([], []))
                of_fold[0].extend(labels[first_of_file:])
                of_fold[1].extend(subjects[first_of_file:])
        splits[split] = SplitSummary(**_counts(labels, subjects, class_names), files=tuple(files))
    total = sum(split.images for split in splits.values())
    manifest = Manifest(
        synthetic=True,
        source="nowhere",
        layout="cnmc",
        listing_digest="0" * 64,
        options={},
        versions={},
        image_size=image_size,
        image_encoding=encoding,
        class_names=class_names,
        positive_classes=default_positive_classes(class_names) if positive_classes is None else positive_classes,
        channel_mean=(100.0, 90.0, 110.0),
        channel_std=(50.0, 50.0, 50.0),
        splits=splits,
        folds={
            str(fold): FoldSummary(
                **_counts(*members, class_names),
                channel_mean=(100.0 + fold, 90.0, 110.0),
                channel_std=(50.0, 50.0, 50.0),
            )
            for fold, members in sorted(folds.items())
        },
        leakage=LeakageReport(num_groups=total),
        listed=total,
        written=total,
        rejected={},
    )
    (folder / "manifest.json").write_text(manifest.to_json())
    return Dataset.open(folder)


def _counts(labels: list[int], subjects: list[str], class_names: tuple[str, ...]) -> dict:
    names = [class_names[label] for label in labels]
    return {
        "images": len(labels),
        "images_per_class": {name: names.count(name) for name in class_names},
        "images_per_subject": {subject: subjects.count(subject) for subject in sorted(set(subjects))},
        "class_per_subject": dict(zip(subjects, names, strict=True)),
    }


def _rows(
    rng: np.random.Generator,
    split: str,
    first: int,
    count: int,
    size: int,
    encoding: str,
    fold: int,
    class_names: tuple[str, ...],
) -> pa.Table:
    rows, side = [], split if fold == NO_FOLD else f"fold{fold}"
    num_classes = len(class_names)
    step = 60 if num_classes == 2 else 90 // (num_classes - 1)
    for row in range(first, first + count):
        label = row % num_classes
        image = rng.integers(0, 160, (size, size, 3), dtype=np.uint8) + np.uint8(step * label)
        image[0, 0] = [row % 256, row // 256, SPLITS.index(split)]
        rows.append(
            {
                "image": encode(image, encoding),
                "label": label,
                "class_name": class_names[label],
                "subject": f"{side}-{label}-{row % (3 * num_classes)}",
                "image_id": f"{split}-{row}",
                "cell": "1",
                "source": f"{split}/{row}.bmp",
                "content_hash": hashlib.sha256(image.tobytes()).hexdigest(),
                "group": f"{side}-{label}-{row % (3 * num_classes)}",
                "fold": fold,
            }
        )
    return pa.Table.from_pylist(rows, schema=arrow_schema())


def encode(image: np.ndarray, encoding: str) -> bytes:
    """Encode as the stock codecs do."""
    if encoding == "png":
        return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
    buffer = io.BytesIO()
    np.save(buffer, image)
    return buffer.getvalue()
