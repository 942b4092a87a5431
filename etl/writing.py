"""The Parquet files of a dataset, one per shard and split (and fold), written without decoding anything again.

A file's name holds a digest of all that is in it but the pixels, so a file that exists is whole and right:
an interrupted run goes on where it stopped, and an update writes only the files that change.
"""

import json
import pickle
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from etl import decoding, files, shards
from hvdcells import storage
from hvdcells.manifest import IMAGES_FOLDER, ParquetFile
from hvdcells.schema import NO_FOLD, ImageEncoding, arrow_schema, unischema

PLACED_COLUMNS = (
    "shard",
    "staged",
    "position",
    "split",
    "label",
    "class_name",
    "subject",
    "image_id",
    "cell",
    "source",
    "content_hash",
    "group",
    "fold",
)
"""What the writer is told about an image, in this order."""
_STORED = ("label", "class_name", "subject", "image_id", "cell", "source", "content_hash", "group", "fold")


@dataclass(frozen=True)
class Writing:
    """What a task must know to write the files of a shard."""

    decoding: shards.Decoding
    rows_per_row_group: Mapping[str, int]
    """Most rows of a row group, by split."""
    old_files: Mapping[int, tuple[str, ...]]
    """Files of the dataset's earlier state that hold images of a shard, by shard."""
    by_fold: bool = False
    """Each fold gets files of its own, so that cross-validation can leave one out without reading it."""


def row_group_rows(num_images: int, most: int) -> int:
    """Return the rows of a split's row groups: at least eight row groups, as far as there are images for them."""
    return max(1, min(most, -(-num_images // 8)))


def cut(num_rows: int, most: int) -> tuple[int, ...]:
    """Cut rows into row groups of at most `most`, as equal as can be."""
    num_groups = -(-num_rows // most)
    return tuple(num_rows // num_groups + (index < num_rows % num_groups) for index in range(num_groups))


def write_shard(shard: int, placed: Sequence[Sequence], writing: Writing) -> list[tuple[str, ParquetFile]]:
    """Write the files of one shard, one per split (and fold, where `writing.by_fold`), unless they are there.

    Args:
        shard: its number.
        placed: its images that stay in the dataset, each a sequence of `PLACED_COLUMNS`.
        writing: how, and where old pixels may be found.

    Returns:
        (split, file) for each.
    """
    rows = sorted((dict(zip(PLACED_COLUMNS, values, strict=True)) for values in placed), key=_order(writing))
    parts: dict[tuple[str, int], list[dict]] = {}
    for row in rows:
        parts.setdefault((row["split"], row["fold"] if writing.by_fold else NO_FOLD), []).append(row)
    planned = [
        (split, members, _plan(shard, split, fold, members, writing.rows_per_row_group[split], writing.decoding))
        for (split, fold), members in sorted(parts.items())
    ]
    missing = [plan for plan in planned if not storage.exists(storage.join(writing.decoding.dataset, plan[2].path))]
    if missing:
        with ExitStack() as stack:
            pixels = _Pixels(shard, rows, writing, stack)
            for _, members, file in missing:
                _write_file(
                    storage.join(writing.decoding.dataset, file.path), members, file, pixels, writing.decoding.encoding
                )
    return [(split, file) for split, _, file in planned]


def _order(writing: Writing):
    return lambda row: (shards.order_of(row["source"], writing.decoding.seed), row["source"])


def _plan(shard: int, split: str, fold: int, rows: list[dict], most: int, decoding_: shards.Decoding) -> ParquetFile:
    sizes = cut(len(rows), most)
    digest = xxhash.xxh3_64(f"{decoding_.options_digest}{sizes}".encode())
    for row in rows:
        digest.update("\0".join(str(row[column]) for column in _STORED).encode("utf-8", "surrogatepass"))
    path = f"{IMAGES_FOLDER}/split={split}/part-{shard:05d}-{digest.hexdigest()}.parquet"
    return ParquetFile(path=path, rows_per_row_group=sizes, fold=fold)


def _write_file(location: str, rows: list[dict], file: ParquetFile, pixels: "_Pixels", encoding: ImageEncoding) -> None:
    schema = arrow_schema()
    text = [name for name in schema.names if name != "image"]
    with (
        files.new_file(location) as path,
        pq.ParquetWriter(
            path,
            schema,
            compression={name: "none" if (name, encoding) == ("image", "png") else "zstd" for name in schema.names},
            compression_level={name: 1 for name in schema.names if (name, encoding) != ("image", "png")},
            use_dictionary=text,
            write_statistics=text,
        ) as writer,
    ):
        start = 0
        for size in file.rows_per_row_group:
            members = rows[start : start + size]
            columns = [pixels.of(members)]
            columns += [pa.array([row[name] for row in members], schema.field(name).type) for name in text]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=size)
            start += size


class _Pixels:
    """Encoded images of a shard: from its pixels file, else from the dataset's earlier files, else decoded again."""

    def __init__(self, shard: int, rows: list[dict], writing: Writing, stack: ExitStack) -> None:
        self._writing = writing
        self._batches: list[pa.Array] | None = None
        self._old: dict[str, tuple[str, int]] = {}
        self._stack = stack
        location = writing.decoding.location(shards.pixels_name(rows[0]["staged"]))
        try:
            path = stack.enter_context(files.local_copy(location))
            mapped = stack.enter_context(pa.memory_map(path))
            staged = pa.ipc.open_file(mapped)
            self._batches = [staged.get_batch(index).column(0) for index in range(staged.num_record_batches)]
            self._starts = list(accumulate((len(batch) for batch in self._batches), initial=0))
        except FileNotFoundError:
            for name in writing.old_files.get(shard, ()):
                sources = files.read_table(storage.join(writing.decoding.dataset, name), ["source", "content_hash"])
                for index, key in enumerate(zip(*(column.to_pylist() for column in sources.columns), strict=True)):
                    self._old[key] = (name, index)
            self._open: dict[str, pa.ChunkedArray] = {}

    def of(self, rows: list[dict]) -> pa.Array:
        """Return the images of some rows, in their order."""
        if self._batches is not None:
            # Not `take`, which joins all batches of the shard into one before it picks.
            return pa.concat_arrays([self._staged_one(row["position"]) for row in rows])
        return pa.array([self._one(row) for row in rows], pa.binary())

    def _staged_one(self, position: int) -> pa.Array:
        batch = bisect_right(self._starts, position) - 1
        return self._batches[batch].slice(position - self._starts[batch], 1)

    def _one(self, row: dict) -> bytes:
        name, index = self._old.get((row["source"], row["content_hash"]), (None, 0))
        if name is not None:
            if name not in self._open:
                location = storage.join(self._writing.decoding.dataset, name)
                self._open[name] = files.read_table(location, ["image"])["image"]
            return self._open[name][index].as_py()
        how = self._writing.decoding
        content = shards.read_image(row["source"], how.source)
        if isinstance(content, str):
            raise RuntimeError(f"{row['source']} was there when it was listed, and is not now: {content}")
        done = decoding.process(content, how.image_size, how.crop, how.encoding)
        if done.content_hash != row["content_hash"]:
            raise RuntimeError(f"{row['source']} has changed since it was listed; run the same command again")
        return done.image


def write_common_metadata(
    dataset: str, written: Sequence[ParquetFile], image_size: int, encoding: ImageEncoding
) -> None:
    """Write what Petastorm reads first: its schema, and the row groups of each file."""
    from petastorm.etl.dataset_metadata import ROW_GROUPS_PER_FILE_KEY, UNISCHEMA_KEY

    row_groups = {file.path.removeprefix(f"{IMAGES_FOLDER}/"): len(file.rows_per_row_group) for file in written}
    metadata = {
        UNISCHEMA_KEY: pickle.dumps(unischema(image_size, encoding)),
        ROW_GROUPS_PER_FILE_KEY: json.dumps(row_groups, sort_keys=True).encode(),
    }
    with files.new_file(storage.join(dataset, IMAGES_FOLDER, "_common_metadata")) as path:
        pq.write_metadata(arrow_schema().with_metadata(metadata), path)
