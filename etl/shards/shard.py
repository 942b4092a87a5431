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
from hvdcells.data.manifest import MarkedImages, ParquetFile

MOST_MARKED_NAMED = 20


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
    largest_deep_value: int
    """Of images of more than 8 bits; 0 where there are none."""
    sample_bits: int
    """By which these were brought to 8."""

    def is_scaled_otherwise(self, sample_bits: int) -> bool:
        """Whether it holds images of more than 8 bits that were not taken for so many."""
        return self.largest_deep_value > 0 and self.sample_bits != sample_bits


@dataclass(frozen=True)
class WrittenShard(DecodedShard):
    """A shard whose files are those of the placement."""

    files: tuple[tuple[str, ParquetFile], ...]
    """(split, file)."""
    tallies: tuple[Tally, ...]
    dropped: Mapping[str, str]
    """Images left out, with the reason."""
    marks: Mapping[str, MarkedImages]
    """What is to be known of images that are in the files."""

    @classmethod
    def of(
        cls,
        number: int,
        name: str,
        images: Sequence[PlacedImage],
        findings: Mapping[str, ImageFinding],
        files: Iterable[tuple[str, ParquetFile]],
        context: ShardContext,
        deep: tuple[int, int],
    ) -> "WrittenShard":
        """Count the images of a shard whose files have been written; `deep`: its largest deep value and sample bits."""
        usable = [(image, finding) for image in images if not (finding := findings[image.row.source]).reason]
        tallies = tally((_tally_key(image.row, image.place, context), 1, finding.sums) for image, finding in usable)
        dropped = {row.source: place.dropped for (row, place), _ in usable if place.dropped}
        rejected = count_rejected(images, findings)
        marks = marked(
            (mark, MarkedImages(images=1, examples=(image.row.source,)))
            for image, finding in usable
            if finding.marks and not image.place.dropped
            for mark in finding.marks.splitlines()
        )
        return cls(number, name, len(images), rejected, *deep, tuple(files), tuple(tallies), dropped, marks)


def marked(marks: Iterable[tuple[str, MarkedImages]]) -> dict[str, MarkedImages]:
    """Add up the images of each mark; some are named."""
    collected: dict[str, list[MarkedImages]] = {}
    for mark, images in marks:
        collected.setdefault(mark, []).append(images)
    return {
        mark: MarkedImages(
            images=sum(part.images for part in parts),
            examples=tuple(sorted(name for part in parts for name in part.examples)[:MOST_MARKED_NAMED]),
        )
        for mark, parts in sorted(collected.items())
    }


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
