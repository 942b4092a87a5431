"""The listing of a source: gone through once, kept on this machine's disk, dealt out to the shards.

The driver never holds more than one chunk of it, and sixteen bytes an image to see that its id is unique.
"""

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from etl.source.layouts import Layout
from etl.source.pseudonyms import Pseudonyms
from etl.source.rows import (
    LEFT_ASIDE,
    LISTED,
    REJECTED,
    ROW_SCHEMA,
    UNLABELLED,
    Kind,
    append_rows,
    order_of,
    rows_file_name,
    to_table,
)
from hvdcells import storage

CHUNK_ROWS = 50_000


class Listing:
    """The rows of a source. `image_id` is unique in them; where no subject is named, every image is its own."""

    def __init__(self, layout: Layout, pseudonyms: Pseudonyms | None = None) -> None:
        """Go through the rows of a source.

        Args:
            layout: what the source says of its images.
            pseudonyms: what names are replaced by; None to keep them. The map of both is written beside the key.
        """
        self._subjects_known = layout.subjects_known
        self._spool: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self.num_per_status: Counter[str] = Counter()
        self.left_aside: Counter[str] = Counter()
        """Images left aside on purpose, by reason."""
        self.rejected: Counter[str] = Counter()
        """Images that cannot be used by what their listing says, by reason."""
        self.left_aside.update(layout.left_aside)
        self.num_per_status[LEFT_ASIDE] = self.left_aside.total()
        num_found = 0
        digest = hashlib.sha256()
        names = [np.empty((0, 2), np.uint64)]
        rows = layout.rows()
        with (
            pseudonyms.new_map() if pseudonyms else nullcontext() as mapped,
            pa.ipc.new_stream(self._spool, ROW_SCHEMA) as writer,
        ):
            while chunk := list(islice(rows, CHUNK_ROWS)):
                if pseudonyms and mapped:
                    named, chunk = chunk, list(map(pseudonyms.of_row, chunk))
                    mapped.add_all(chunk, named)
                for row in chunk:
                    digest.update(row.text())
                self.num_per_status.update(row.status for row in chunk)
                num_found += sum(row.fingerprint != "" for row in chunk)
                self.left_aside.update(row.reason for row in chunk if row.status == LEFT_ASIDE)
                self.rejected.update(row.reason for row in chunk if row.status == REJECTED)
                listed = (row for row in chunk if row.status == LISTED)
                hashes = (each for row in listed for each in (_hash(row.image_id), _hash(row.source)))
                names.append(np.fromiter(hashes, np.uint64).reshape(-1, 2))
                writer.write_table(to_table(chunk))
            if mapped:
                mapped.listing_digest = digest.hexdigest()
        self.digest = digest.hexdigest()
        """SHA-256 over all that is known of the images, paths and fingerprints included."""
        self.num_unnamed = 0
        """Images of the source that a table in it does not name."""
        if layout.num_images_there is not None:
            self.num_unnamed = max(0, layout.num_images_there - num_found)
        self._ids_replaced = _not_unique(*np.concatenate(names).T)
        self.num_per_kind: Counter[Kind] = Counter()
        """Listed images of each kind; the driver holds one entry per subject, or per image where none is known."""
        for chunk in self._chunks():
            listed = chunk.filter(pc.equal(chunk["status"], LISTED))
            kinds = (listed[name].to_pylist() for name in Kind._fields)
            self.num_per_kind.update(map(Kind._make, zip(*kinds, strict=True)))

    @property
    def num_images(self) -> int:
        """All images, whatever their status."""
        return self.num_per_status.total()

    @property
    def num_rejected(self) -> int:
        """Images that cannot be used by what their listing says."""
        return self.num_per_status[REJECTED]

    @property
    def num_unlabelled(self) -> int:
        """Images that the source gives no label for."""
        return self.num_per_status[UNLABELLED]

    @property
    def num_to_decode(self) -> int:
        """Images that are dealt out to shards: those listed, and those rejected already."""
        return self.num_per_status[LISTED] + self.num_per_status[REJECTED]

    def num_per_label(self) -> Counter[int]:
        """Return the listed images of each label."""
        summed: Counter[int] = Counter()
        for kind, num in self.num_per_kind.items():
            summed[kind.label] += num
        return summed

    def subjects_told(self) -> str:
        """Return how many subjects there are, with examples, for a look at whether they are those that were meant."""
        images: Counter[str] = Counter()
        for kind, num in self.num_per_kind.items():
            images[kind.subject] += num
        *most, (last, fewest) = images.most_common()
        examples = ", ".join(f"{name} ({num})" for name, num in most[:3])
        least = f"{', ' if most else ''}{'… ' if len(most) > 3 else ''}{last} ({fewest})"
        return f"{len(images)} subjects (images of each): {examples}{least}"

    def num_per_official_split(self) -> Counter[str]:
        """Return the listed images of each side the source itself puts them on."""
        summed: Counter[str] = Counter()
        for kind, num in self.num_per_kind.items():
            summed[kind.official_split] += num
        return summed

    def _chunks(self) -> Iterator[pa.Table]:
        self._spool.seek(0)
        with pa.ipc.open_stream(self._spool) as reader:
            for batch in reader:
                chunk = pa.Table.from_batches([batch])
                chunk = chunk.filter(pc.is_in(chunk["status"], pa.array([LISTED, REJECTED])))
                if self._ids_replaced:
                    names = zip(chunk["image_id"].to_pylist(), chunk["source"].to_pylist(), strict=True)
                    unique = [source if _hash(name) in self._ids_replaced else name for name, source in names]
                    chunk = _with_column(chunk, "image_id", pa.array(unique, pa.string()))
                yield chunk if self._subjects_known else _with_column(chunk, "subject", chunk["image_id"])

    def deal_out(self, folder: str, seed: int, num_shards: int, first_shard: int = 0) -> list[int]:
        """Write the rows to decode, and those rejected already, into one file a shard; return the shards' numbers."""
        numbers: set[int] = set()
        with storage.new_folder(folder) as local:
            for chunk in self._chunks():
                shard_of = np.fromiter(
                    (first_shard + order_of(source, seed) % num_shards for source in chunk["source"].to_pylist()),
                    np.int64,
                )
                order = np.argsort(shard_of, kind="stable")
                chunk = chunk.take(pa.array(order)).combine_chunks()
                present, starts = np.unique(shard_of[order], return_index=True)
                for shard, start, stop in zip(present, starts, [*starts[1:], len(chunk)], strict=True):
                    append_rows(storage.join(local, rows_file_name(shard)), chunk.slice(start, stop - start))
                numbers.update(present.tolist())
        return sorted(numbers)


def _hash(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))


def _not_unique(ids: npt.NDArray[np.uint64], sources: npt.NDArray[np.uint64]) -> frozenset[int]:
    """Return the ids in whose place images have their source as id: those of several images, and those of an image
    that is called as another one is by its source (`x.jpg` of `x.jpg.jpg`, where there are `x.jpg` and `x.png`).

    Args:
        ids: hash of each image's id.
        sources: hash of each image's source; no two are equal.
    """
    replaced = np.zeros(len(ids), bool)
    while True:
        values, counts = np.unique(np.where(replaced, sources, ids), return_counts=True)
        repeated = np.isin(ids, values[counts > 1]) & ~replaced
        if not repeated.any():
            return frozenset(ids[replaced].tolist())
        replaced |= repeated


def _with_column(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, column)
