"""Proving a written dataset sound: nothing on two sides, counts as the manifest says, every image decodes.

It believes nothing but the Parquet files: pixels are decoded and hashed anew.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from etl.images import decode
from etl.shards.frames import persist, settings_for
from hvdcells import storage
from hvdcells.data.columns import NO_FOLD, arrow_schema
from hvdcells.data.dataset import Dataset
from hvdcells.data.manifest import IMAGES_FOLDER, Manifest
from hvdcells.data.stored_images import DamagedImageError, decode_stored
from hvdcells.storage import parquet

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_MOST_NAMED = 3
_FACTS = (
    "split",
    "class_name",
    "label",
    "fold",
    "subject",
    "group",
    "image_id",
    "content_hash",
    "stored_hash",
    "problem",
)
_INTEGERS = frozenset(("label", "fold"))
_FACTS_DDL = ", ".join(f"`{name}` {'int' if name in _INTEGERS else 'string'}" for name in _FACTS)
_FACTS_SCHEMA = pa.schema([(name, pa.int32() if name in _INTEGERS else pa.string()) for name in _FACTS])


@dataclass(frozen=True)
class Claim:
    """One thing that was looked at: what should hold, and what speaks against it (nothing, if it holds)."""

    claim: str
    against: str = ""

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.against


def verify(spark: "SparkSession", dataset: Dataset) -> list[Claim]:
    """Look at every row of every file of a dataset and return what was found, claim by claim."""
    manifest = dataset.manifest
    with settings_for(spark, manifest.written), persist(_facts(spark, dataset)) as facts:
        rows = facts.where("problem = ''")
        # First, because all that follows rests on rows that could be read.
        claims = [_files_named(dataset), _petastorm_metadata(dataset), _readable(facts)]
        claims += [
            _on_one_side(rows, "subject", "no subject is in two splits"),
            _on_one_side(rows, "content_hash", "no pixel-identical source image is in two splits"),
            _on_one_side(rows, "stored_hash", "no pixel-identical stored image is in two splits"),
        ]
        strategy = manifest.options.get("split")
        if strategy == "grouped":
            # Official sides may divide a group whose copies were dropped; the manifest warns of each.
            claims.append(_on_one_side(rows, "group", "no leakage group is in two splits"))
        if strategy == "k-fold":
            folded = rows.where(f"fold != {NO_FOLD}")
            claims.append(_on_one_side(folded, "group", "no leakage group is in two folds", side="fold"))
            claims.append(_on_one_side(folded, "stored_hash", "no pixel-identical image is in two folds", side="fold"))
        claims += [_unique_ids(rows), _counts(rows, manifest), _accounted(manifest)]
    return claims


def _facts(spark: "SparkSession", dataset: Dataset) -> "DataFrame":
    manifest = dataset.manifest
    named = [
        (
            split,
            storage.join(dataset.location, file.path),
            list(file.rows_per_row_group),
            file.fold,
        )
        for split, summary in manifest.splits.items()
        for file in summary.files
    ]
    size, encoding = manifest.image_size, manifest.image_encoding
    class_names = manifest.class_names

    def look(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        decode.use_one_thread()
        for batch in batches:
            for entry in batch.to_pylist():
                yield from _look_into(entry, size, encoding, class_names)

    num_tasks = max(1, min(len(named), 8 * spark.sparkContext.defaultParallelism))
    entries = spark.sparkContext.parallelize(named, num_tasks)
    ddl = "split string, location string, sizes array<int>, fold int"
    return spark.createDataFrame(entries, ddl).mapInArrow(look, _FACTS_DDL)


def _look_into(entry: dict, image_size: int, encoding: str, class_names: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    split, location, sizes = entry["split"], entry["location"], entry["sizes"]
    try:
        with parquet.open_copy(location) as file:
            if not file.schema_arrow.equals(arrow_schema()):
                yield _problem(split, f"{location}: other columns than the dataset's")
                return
            found = [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)]
            if found != sizes:
                yield _problem(split, f"{location}: row groups of {found} rows, the manifest says {sizes}")
            for index in range(file.num_row_groups):
                rows = file.read_row_group(index).to_pylist()
                if entry["fold"] != NO_FOLD and {row["fold"] for row in rows} != {entry["fold"]}:
                    yield _problem(split, f"{location}: row group {index} holds other folds than the manifest says")
                facts = [_fact(split, row, image_size, encoding, class_names, location) for row in rows]
                columns = zip(*facts, strict=True)
                arrays = [pa.array(values, field.type) for values, field in zip(columns, _FACTS_SCHEMA, strict=True)]
                yield pa.record_batch(arrays, _FACTS_SCHEMA)
    except (OSError, pa.ArrowException) as error:
        yield _problem(split, f"{location}: cannot be read ({str(error).splitlines()[0]})")


def _fact(split: str, row: dict, image_size: int, encoding: str, class_names: tuple[str, ...], location: str) -> tuple:
    problem, stored_hash = "", ""
    try:
        pixels = decode_stored(row["image"], encoding)
        if pixels.shape != (image_size, image_size, 3) or pixels.dtype != "uint8":
            problem = f"{row['image_id']} in {location}: {pixels.dtype} of shape {pixels.shape}"
        else:
            stored_hash = decode.content_hash(pixels)
    except DamagedImageError as verdict:
        problem = f"{row['image_id']} in {location}: {verdict}"
    if not 0 <= row["label"] < len(class_names) or class_names[row["label"]] != row["class_name"]:
        problem = problem or f"{row['image_id']} in {location}: label {row['label']} and class {row['class_name']!r}"
    known = (row[name] for name in ("class_name", "label", "fold", "subject", "group", "image_id", "content_hash"))
    return (split, *known, stored_hash, problem)


def _problem(split: str, text: str) -> pa.RecordBatch:
    values = {name: [0 if name in _INTEGERS else ""] for name in _FACTS} | {"split": [split], "problem": [text]}
    return pa.record_batch([pa.array(values[field.name], field.type) for field in _FACTS_SCHEMA], _FACTS_SCHEMA)


def _some(texts: list[str], number: int) -> str:
    return "; ".join(texts[:_MOST_NAMED]) + (f"; and {number - _MOST_NAMED} more" if number > _MOST_NAMED else "")


def _files_named(dataset: Dataset) -> Claim:
    there = {f"{IMAGES_FOLDER}/{path}" for path in storage.files_below(storage.join(dataset.location, IMAGES_FOLDER))}
    named = {file.path for split in dataset.manifest.splits.values() for file in split.files}
    there.discard(f"{IMAGES_FOLDER}/_common_metadata")
    wrong = [f"{path} is missing" for path in sorted(named - there)]
    wrong += [f"{path} is in no manifest" for path in sorted(there - named)]
    return Claim("the Parquet files are those of the manifest", _some(wrong, len(wrong)))


def _petastorm_metadata(dataset: Dataset) -> Claim:
    from petastorm.etl.dataset_metadata import ROW_GROUPS_PER_FILE_KEY, UNISCHEMA_KEY

    claim = "Petastorm's metadata names the same row groups"
    try:
        metadata = parquet.read_schema(storage.join(dataset.location, IMAGES_FOLDER, "_common_metadata")).metadata or {}
    except (OSError, pa.ArrowException) as error:
        return Claim(claim, f"_common_metadata cannot be read ({str(error).splitlines()[0]})")
    named = {
        file.path.removeprefix(f"{IMAGES_FOLDER}/"): len(file.rows_per_row_group)
        for split in dataset.manifest.splits.values()
        for file in split.files
    }
    if UNISCHEMA_KEY not in metadata:
        return Claim(claim, "there is no Unischema")
    same = json.loads(metadata.get(ROW_GROUPS_PER_FILE_KEY, b"{}")) == named
    return Claim(claim, "" if same else "other files or row groups")


def _readable(facts: "DataFrame") -> Claim:
    wrong = [row.problem for row in facts.where("problem != ''").select("problem").limit(1000).collect()]
    return Claim("every file reads and every image decodes", _some(sorted(wrong), len(wrong)))


def _on_one_side(rows: "DataFrame", column: str, claim: str, side: str = "split") -> Claim:
    from pyspark.sql import functions as f

    sides = rows.groupBy(column).agg(f.sort_array(f.collect_set(side)).alias("sides"), f.min("image_id").alias("first"))
    divided = sides.where(f.size("sides") > 1).orderBy(column)
    found = divided.limit(_MOST_NAMED).collect()
    texts = [f"{row[column]} ({row['first']}, …) in {' and '.join(map(str, row.sides))}" for row in found]
    return Claim(claim, _some(texts, divided.count() if len(found) == _MOST_NAMED else len(found)))


def _unique_ids(rows: "DataFrame") -> Claim:
    repeated = rows.groupBy("image_id").count().where("count > 1").orderBy("image_id").limit(100).collect()
    return Claim("image ids are unique", _some([f"{row.image_id} × {row['count']}" for row in repeated], len(repeated)))


def _counts(rows: "DataFrame", manifest: Manifest) -> Claim:
    from pyspark.sql import functions as f

    subject = f.col("subject") if manifest.subjects_known else f.lit("")
    found = rows.groupBy("split", "class_name", subject.alias("subject")).count().collect()
    wrong = []
    for name, split in manifest.splits.items():
        for column, said in (("class_name", split.images_per_class), ("subject", split.images_per_subject)):
            counted: dict[str, int] = {}
            for row in found:
                if row.split == name and row[column]:
                    counted[row[column]] = counted.get(row[column], 0) + row["count"]
            wrong += [
                f"{name}, {key}: {counted.get(key, 0)} images, the manifest says {said.get(key, 0)}"
                for key in sorted(set(said) | set(counted))
                if said.get(key, 0) != counted.get(key, 0)
            ]
    return Claim("images per split, class and subject are those of the manifest", _some(wrong, len(wrong)))


def _accounted(manifest: Manifest) -> Claim:
    parts = (manifest.written, sum(manifest.rejected.values()), manifest.dropped, manifest.unlabelled)
    text = f"{manifest.listed} listed, but {' + '.join(map(str, parts))} accounted for"
    return Claim("listed = written + rejected + dropped + unlabelled", "" if sum(parts) == manifest.listed else text)
