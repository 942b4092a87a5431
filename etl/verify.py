"""Proving a written dataset sound: nothing on two sides, counts as the manifest says, every image decodes.

It believes nothing but the Parquet files: pixels are decoded and hashed anew.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etl.dataset.facts import read_facts
from etl.dataset.petastorm import COMMON_METADATA, common_metadata_problem
from etl.dataset.recount import differences, moment_differences, size_difference, tallies
from etl.shards.jobs import sql_settings_for
from hvdcells import storage
from hvdcells.data.columns import NO_FOLD
from hvdcells.data.dataset import Dataset
from hvdcells.data.manifest import IMAGES_FOLDER, Manifest, lacking_classes

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_MOST_NAMED = 3


@dataclass(frozen=True)
class Claim:
    """One thing that was looked at: what should hold, and what speaks against it (nothing, if it holds)."""

    claim: str
    against: str = ""

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.against


@storage.user_errors()
def verify(spark: "SparkSession", dataset: Dataset) -> list[Claim]:
    """Look at every row of every file of a dataset and return what was found, claim by claim."""
    manifest = dataset.manifest
    with sql_settings_for(spark, manifest.written), _persisted(read_facts(spark, dataset)) as facts:
        rows = facts.where("problem = '' and changed = ''")
        # First, because all that follows rests on rows that could be read.
        claims = [_files_named(dataset), _petastorm_metadata(dataset), _readable(facts), _as_written(facts, manifest)]
        claims += [
            _on_one_side(rows, "subject", "no subject is in two splits"),
            _on_one_side(rows, "content_hash", "no pixel-identical source image is in two splits"),
            _on_one_side(rows, "stored_hash", "no pixel-identical stored image is in two splits"),
        ]
        claims.append(_one_label(rows))
        strategy = manifest.options.get("split")
        if strategy == "grouped":
            # Official sides may divide a group whose copies were dropped; the manifest warns of each.
            claims.append(_on_one_side(rows, "group", "no leakage group is in two splits"))
        if strategy == "k-fold":
            folded = rows.where(f"fold != {NO_FOLD}")
            claims.append(_on_one_side(folded, "group", "no leakage group is in two folds", side="fold"))
            claims.append(_on_one_side(folded, "stored_hash", "no pixel-identical image is in two folds", side="fold"))
        claims += [_all_classes(manifest), _unique_ids(rows), *_recounted(rows, dataset), _accounted(manifest)]
    return claims


@contextmanager
def _persisted(frame: "DataFrame") -> Iterator["DataFrame"]:
    """Keep a DataFrame (in memory, on disk where that is short) as long as the body runs."""
    frame = frame.persist()
    try:
        yield frame
    finally:
        frame.unpersist()


def _some(texts: list[str], number: int) -> str:
    return "; ".join(texts[:_MOST_NAMED]) + (f"; and {number - _MOST_NAMED} more" if number > _MOST_NAMED else "")


def _files_named(dataset: Dataset) -> Claim:
    there = {f"{IMAGES_FOLDER}/{path}" for path in storage.files_below(storage.join(dataset.location, IMAGES_FOLDER))}
    named = {file.path for split in dataset.manifest.splits.values() for file in split.files}
    there.discard(f"{IMAGES_FOLDER}/{COMMON_METADATA}")
    wrong = [f"{path} is missing" for path in sorted(named - there)]
    wrong += [f"{path} is in no manifest" for path in sorted(there - named)]
    return Claim("the Parquet files are those of the manifest", _some(wrong, len(wrong)))


def _petastorm_metadata(dataset: Dataset) -> Claim:
    problem = common_metadata_problem(dataset.location, dataset.manifest)
    return Claim("Petastorm's metadata names the same row groups", problem)


def _readable(facts: "DataFrame") -> Claim:
    wrong = [row.problem for row in facts.where("problem != ''").select("problem").limit(1000).collect()]
    return Claim("every file reads and every image decodes", _some(sorted(wrong), len(wrong)))


def _as_written(facts: "DataFrame", manifest: Manifest) -> Claim:
    files = [file for split in manifest.splits.values() for file in split.files]
    if not all(file.row_group_checksums and file.column_checksums for file in files):
        return Claim("checksums: none in this dataset, which an earlier version wrote; not looked at")
    changed = [row.changed for row in facts.where("changed != ''").select("changed").limit(1000).collect()]
    return Claim("all that is stored is what was written", _some(sorted(changed), len(changed)))


def _on_one_side(rows: "DataFrame", column: str, claim: str, side: str = "split") -> Claim:
    from pyspark.sql import functions as f

    sides = rows.groupBy(column).agg(f.sort_array(f.collect_set(side)).alias("sides"), f.min("image_id").alias("first"))
    divided = sides.where(f.size("sides") > 1).orderBy(column)
    found = divided.limit(_MOST_NAMED).collect()
    texts = [f"{row[column]} ({row['first']}, …) in {' and '.join(map(str, row.sides))}" for row in found]
    return Claim(claim, _some(texts, divided.count() if len(found) == _MOST_NAMED else len(found)))


def _one_label(rows: "DataFrame") -> Claim:
    from pyspark.sql import functions as f

    labels = rows.groupBy("stored_hash").agg(f.collect_set("class_name").alias("names"), f.min("image_id").alias("id"))
    found = labels.where(f.size("names") > 1).orderBy("id").limit(100).collect()
    texts = [f"{row.id} is stored as {' and as '.join(sorted(row.names))}" for row in found]
    return Claim("no stored image has two labels", _some(texts, len(texts)))


def _unique_ids(rows: "DataFrame") -> Claim:
    repeated = rows.groupBy("image_id").count().where("count > 1").orderBy("image_id").limit(100).collect()
    return Claim("image ids are unique", _some([f"{row.image_id} × {row['count']}" for row in repeated], len(repeated)))


def _recounted(rows: "DataFrame", dataset: Dataset) -> list[Claim]:
    manifest = dataset.manifest
    tallied = tallies(rows, manifest.subjects_known)
    counts, moments = differences(tallied, manifest), moment_differences(tallied, manifest)
    return [
        Claim("images per split, class and subject are those of the manifest", _some(counts, len(counts))),
        Claim("means and deviations of the channels are those of the manifest", _some(moments, len(moments))),
        Claim("the files are as large as the manifest says", size_difference(dataset.location, manifest)),
    ]


def _all_classes(manifest: Manifest) -> Claim:
    there = {
        name: {kind for kind, num in split.images_per_class.items() if num}
        for name, split in manifest.splits.items()
        if split.images
    }
    wrong = [lacking_classes(name, kinds, manifest.class_names) for name, kinds in there.items() if len(kinds) < 2]
    return Claim("no split holds images of one class only", _some(wrong, len(wrong)))


def _accounted(manifest: Manifest) -> Claim:
    accounted = manifest.accounted
    text = f"{manifest.listed} listed, but {accounted} accounted for"
    claim = "listed = written + rejected + dropped + unlabelled + left aside"
    return Claim(claim, "" if accounted == manifest.listed else text)
