"""A prediction in parts: each is some hundred images of the listing, and one file that is there whole or not at all.

Who goes on with a prediction that was stopped makes the parts that are missing. A part made twice, as by a task that
Spark repeats, is the same file.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hvdcells import storage
from hvdcells.inference.source import ListedImage
from hvdcells.storage import parquet

if TYPE_CHECKING:
    from hvdcells.inference.classifier import Classifier

PART_IMAGES = 512
"""Images of a part, about: what is done again at most, by each process, after a kill."""
KEPT = ("path", "subject", "class_name")
"""Columns of the listing that a prediction carries along."""
LISTING_SCHEMA = pa.schema([(name, pa.string()) for name in ListedImage._fields])


@dataclass(frozen=True)
class Listing:
    """The listing of a source, kept where the prediction goes: a part is a row group."""

    location: str
    base: str
    """Location that paths are below."""
    rows_per_part: int
    num_images: int

    @property
    def num_parts(self) -> int:
        """Parts, of which the last may be smaller."""
        return -(-self.num_images // self.rows_per_part)

    def size_of(self, part: int) -> int:
        """Return the images of a part."""
        return min(self.rows_per_part, self.num_images - part * self.rows_per_part)


def rows_per_part(batch_size: int) -> int:
    """Return how many images a part has: whole batches."""
    return batch_size * max(1, PART_IMAGES // batch_size)


def write_listing(images: Iterable[ListedImage], location: str, rows: int) -> tuple[int, str]:
    """Write the listing, a row group a part; return the number of images and a SHA-256 over all that is known of them.

    At most one part's rows are in memory.
    """
    digest, num_images, images = hashlib.sha256(), 0, iter(images)
    with storage.new_file(location) as file, parquet.ParquetWriter(file, LISTING_SCHEMA, compression="zstd") as writer:
        while chunk := list(islice(images, rows)):
            for image in chunk:
                digest.update(json.dumps(image).encode())
            num_images += len(chunk)
            columns = [pa.array(column, pa.string()) for column in zip(*chunk, strict=True)]
            writer.write_table(pa.table(columns, schema=LISTING_SCHEMA), row_group_size=rows)
    return num_images, digest.hexdigest()


def part_location(folder: str, part: int) -> str:
    """Return where a part is written."""
    return storage.join(folder, f"part-{part:06d}.parquet")


def missing_parts(folder: str, listing: Listing) -> list[int]:
    """Return the parts that are not there yet."""
    there = set(storage.names_in(folder))
    return [part for part in range(listing.num_parts) if part_location("", part).rpartition("/")[2] not in there]


def predict_parts(
    classifier: "Classifier", listing: Listing, parts: Sequence[int], folder: str
) -> Iterator[tuple[int, int]]:
    """Predict parts and write each as it is done; yield how many images and how many rejects there were since.

    Images of the next part are read while the last of this one are predicted.
    """
    rows: dict[int, pa.Table] = {}

    def batches() -> Iterator[list[str]]:
        size = classifier.batch_size
        with parquet.open_parts(listing.location) as opened:
            for part in parts:
                rows[part] = opened.read_row_group(part, columns=list(KEPT))
                paths = rows[part]["path"].to_pylist()
                yield from (paths[start : start + size] for start in range(0, len(paths), size))

    with closing(classifier.predict_files(batches(), listing.base)) as predicted:
        for part in parts:
            made: list[dict[str, NDArray[Any]]] = []
            num_left = listing.size_of(part)
            while num_left:
                made.append(next(predicted))
                num_left -= len(made[-1]["reason"])
                if num_left:
                    yield _counted(made[-1])
            merged = {name: pa.array(np.concatenate([each[name] for each in made])) for name in classifier.column_names}
            listed = rows.pop(part)
            table = pa.table({**{name: listed[name] for name in KEPT}, **merged})
            parquet.write_table(part_location(folder, part), table)
            yield _counted(made[-1])


def _counted(columns: dict[str, NDArray[Any]]) -> tuple[int, int]:
    return len(columns["reason"]), int((columns["reason"] != "").sum())
