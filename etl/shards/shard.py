"""A shard as its tasks and the driver know it: what a task is given, which images it holds, and what came of them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from etl.placement.place import Place, Placement
from etl.shards.counts import Tally, TallyKey, tally
from etl.shards.findings import Decoding, ImageFinding
from etl.shards.parquet import Part, PlacedImage, StoredRow
from etl.source.rows import LISTED, ImageRow, Kind, read_rows, rows_file_name
from hvdcells import storage
from hvdcells.data.columns import NO_FOLD
from hvdcells.data.manifest import ParquetFile


@dataclass(frozen=True)
class ShardContext:
    """What a task must know to decode a shard or to write its files."""

    decoding: Decoding
    placement: Placement
    listing: str
    """Folder of the shards' parts of the listing."""
    subjects_known: bool
    known_shards: Mapping[int, str]
    """Names of the shards of the dataset's earlier state, by number."""
    earlier_files: Mapping[int, tuple[str, ...]]
    """Files of the dataset's earlier state, by number of shard."""

    def all_rows(self, number: int) -> list[ImageRow]:
        """Return a shard's part of the listing, with what was rejected by it."""
        return read_rows(storage.join(self.listing, rows_file_name(number)))

    def rows(self, number: int) -> list[ImageRow]:
        """Return the images of a shard that are to be decoded, in the seeded order."""
        return self.decoding.sorted(row for row in self.all_rows(number) if row.status == LISTED)

    def placed_images(self, number: int) -> list[PlacedImage]:
        """Return these images, each with its place."""
        return [PlacedImage(row, self.placement.place(row.source, row)) for row in self.rows(number)]


@dataclass(frozen=True)
class DecodedShard:
    """A shard whose findings are there. Whether its files are those of the placement is not known."""

    number: int
    name: str
    num_images: int
    """Listed images."""
    num_rejected: Counter[Kind]
    """Listed images that turned out unusable."""


@dataclass(frozen=True)
class WrittenShard(DecodedShard):
    """A shard whose files are those of the placement."""

    files: tuple[tuple[str, ParquetFile], ...]
    """(split, file)."""
    tallies: tuple[Tally, ...]
    dropped: Mapping[str, str]
    """Images left out, with the reason."""

    @classmethod
    def of(
        cls,
        number: int,
        name: str,
        images: Sequence[PlacedImage],
        findings: Mapping[str, ImageFinding],
        files: Iterable[tuple[str, ParquetFile]],
        context: ShardContext,
    ) -> "WrittenShard":
        """Count the images of a shard whose files have been written."""
        usable = [(image, finding) for image in images if not (finding := findings[image.row.source]).reason]
        tallies = tally((_tally_key(image.row, image.place, context), 1, finding.sums) for image, finding in usable)
        dropped = {row.source: place.dropped for (row, place), _ in usable if place.dropped}
        rejected = count_rejected(images, findings)
        return cls(number, name, len(images), rejected, tuple(files), tuple(tallies), dropped)


def images_by_part(
    images: Iterable[PlacedImage], strategy: str
) -> tuple[dict[Part, list[PlacedImage]], list[PlacedImage]]:
    """Return the images of each file, and those that are left out, all in their order.

    Args:
        images: of one shard.
        strategy: of the split; the files of `k-fold` hold one fold each.
    """
    parts: dict[Part, list[PlacedImage]] = {}
    dropped = []
    for image in images:
        _, place = image
        if place.dropped:
            dropped.append(image)
        else:
            part = Part(place.split, place.fold if strategy == "k-fold" else NO_FOLD)
            parts.setdefault(part, []).append(image)
    return dict(sorted(parts.items())), dropped


def usable_rows(images: Iterable[PlacedImage], findings: Mapping[str, ImageFinding]) -> list[StoredRow]:
    """Return the dataset's rows of those images that could be decoded."""
    return [StoredRow.of(image, finding) for image in images if not (finding := findings[image.row.source]).reason]


def count_rejected(images: Iterable[PlacedImage], findings: Mapping[str, ImageFinding]) -> Counter[Kind]:
    """Count the images that could not be decoded."""
    return Counter(Kind.of(row) for row, _ in images if findings[row.source].reason)


def _tally_key(row: ImageRow, place: Place, context: ShardContext) -> TallyKey:
    alone = not context.subjects_known and row.subject not in context.placement.group_of
    named = ("", "") if alone else (place.group, row.subject)
    return TallyKey(place.split, row.class_name, *named, place.fold, not place.dropped)
