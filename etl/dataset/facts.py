"""What the Parquet files of a dataset hold, row by row: read, decoded and hashed anew, for `etl.verify` to judge."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from etl.images import normalise
from hvdcells import storage
from hvdcells.data.checksums import columns_that_differ, pixel_hash, row_group_checksum
from hvdcells.data.columns import NO_FOLD, ImageEncoding, arrow_schema
from hvdcells.data.dataset import Dataset
from hvdcells.data.manifest import ParquetFile
from hvdcells.data.parquet import check_row_group
from hvdcells.data.stored_images import DamagedImageError, decode_stored
from hvdcells.errors import UserError
from hvdcells.images.prepare import use_one_thread
from hvdcells.storage import parquet

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_COPIED = ("class_name", "label", "fold", "subject", "group", "image_id", "content_hash")
_INTEGERS = frozenset(("label", "fold"))
_FACTS = ("split", *_COPIED, "stored_hash", "problem", "changed")
_DDL = ", ".join(f"`{name}` {'int' if name in _INTEGERS else 'string'}" for name in _FACTS) + ", sums array<bigint>"
_SCHEMA = pa.schema(
    [
        *((name, pa.int32() if name in _INTEGERS else pa.string()) for name in _FACTS),
        ("sums", pa.list_(pa.field("element", pa.int64()))),
    ]
)
_NO_FACTS = {**{name: 0 if name in _INTEGERS else "" for name in _FACTS}, "sums": [0] * 6}


@dataclass(frozen=True)
class _Expected:
    """What the manifest says of every image."""

    image_size: int
    encoding: ImageEncoding
    class_names: tuple[str, ...]


def read_facts(spark: "SparkSession", dataset: Dataset) -> "DataFrame":
    """Look at every row of every file that the manifest names.

    Returns:
        The columns of a row but its image, `stored_hash` of the decoded pixels, `sums` of R, G and B and of their
        squares, and `problem`: empty if nothing is wrong. What is wrong with a file or a row group is a row of its own;
        `changed` names what reads and is not what was written.
    """
    manifest = dataset.manifest
    named = [
        (split, storage.join(dataset.location, file.path), file.model_dump_json())
        for split, summary in manifest.splits.items()
        for file in summary.files
    ]
    expected = _Expected(manifest.image_size, manifest.image_encoding, manifest.class_names)

    def look(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        use_one_thread()
        for batch in batches:
            for split, location, file in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                yield from _facts_of_file(split, location, ParquetFile.model_validate_json(file), expected)

    num_tasks = max(1, min(len(named), 8 * spark.sparkContext.defaultParallelism))
    entries = spark.sparkContext.parallelize(named, num_tasks)
    ddl = "split string, location string, file string"
    return spark.createDataFrame(entries, ddl).mapInArrow(look, _DDL)


def _facts_of_file(split: str, location: str, named: ParquetFile, expected: _Expected) -> Iterator[pa.RecordBatch]:
    sizes, fold = list(named.rows_per_row_group), named.fold
    columns: dict[str, list[Any]] = {name: [] for name in arrow_schema().names[1:] if name in named.column_checksums}
    try:
        with parquet.open_copy(location) as file:
            if not file.schema_arrow.equals(arrow_schema()):
                yield _problem(split, f"{location}: other columns than the dataset's")
                return
            found = [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)]
            if found != sizes:
                yield _problem(split, f"{location}: row groups of {found} rows, the manifest says {sizes}")
            for index in range(file.num_row_groups):
                check_row_group(file, index, expected.image_size, location)
                rows = file.read_row_group(index).to_pylist()
                if fold != NO_FOLD and {row["fold"] for row in rows} != {fold}:
                    yield _problem(split, f"{location}: row group {index} holds other folds than the manifest says")
                facts = [_facts(split, row, location, expected) for row in rows]
                yield pa.RecordBatch.from_pylist(facts, _SCHEMA)
                for name, values in columns.items():
                    values += [row[name] for row in rows]
                read = row_group_checksum((row["stored_hash"] for row in facts), (row["label"] for row in facts))
                if [read] != list(named.row_group_checksums[index : index + 1] or [read]):
                    yield _problem(split, f"{location}: images or labels of row group {index}", "changed")
            for name in columns_that_differ(columns, named.column_checksums):
                yield _problem(split, f"{location}: the column {name}", "changed")
    except (OSError, ValueError, pa.ArrowException) as error:
        yield _problem(split, f"{location}: cannot be read ({str(error).splitlines()[0]})")
    except UserError as error:
        yield _problem(split, error.given)


def _facts(split: str, row: dict[str, Any], location: str, expected: _Expected) -> dict[str, Any]:
    missing = [name for name in ("image", *_COPIED) if row[name] is None]
    if missing:
        return {**_NO_FACTS, "split": split, "problem": f"{location} holds rows without {', '.join(missing)}"}
    problem, stored_hash, sums = "", "", [0] * 6
    image_id, label, class_name = row["image_id"], row["label"], row["class_name"]
    try:
        pixels = decode_stored(row["image"], expected.encoding)
        if pixels.shape != (expected.image_size, expected.image_size, 3) or pixels.dtype != "uint8":
            problem = f"{image_id} in {location}: {pixels.dtype} of shape {pixels.shape}"
        else:
            stored_hash, sums = pixel_hash(pixels), normalise.channel_sums(pixels)
    except DamagedImageError as verdict:
        problem = f"{image_id} in {location}: {verdict}"
    if not 0 <= label < len(expected.class_names) or expected.class_names[label] != class_name:
        problem = problem or f"{image_id} in {location}: label {label} and class {class_name!r}"
    found = {"split": split, "stored_hash": stored_hash, "sums": sums, "problem": problem, "changed": ""}
    return found | {name: row[name] for name in _COPIED}


def _problem(split: str, text: str, kind: str = "problem") -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{**_NO_FACTS, "split": split, kind: text}], _SCHEMA)
