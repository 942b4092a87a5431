"""One shard from its images to its Parquet files: the work of a Spark task.

First pass: an image is decoded, and written where the placement known before decoding puts it. Second pass, only where
what decoding told changes that: files that differ are written anew from the encoded images, nothing is decoded again.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from etl.images import decode, read
from etl.images.decode import Unreadable
from etl.placement.place import Place, Placement
from etl.shards.counts import Tally, TallyKey, tally
from etl.shards.findings import Decoding, ImageFinding, read_findings, write_findings
from etl.shards.parquet import Part, Placed, StoredRow, describe_file, row_groups, write_file
from etl.shards.stored_pixels import known_pixels
from etl.source import listing
from etl.source.listing import Kind
from etl.source.rows import LISTED, ImageRow
from hvdcells import storage
from hvdcells.data.columns import NO_FOLD
from hvdcells.data.manifest import ParquetFile
from hvdcells.data.stored_images import ImageColumn

_DROPPED = Part("")
Progress = Callable[[int, int], None]
"""Told (images done, images rejected) from time to time."""


@dataclass(frozen=True)
class Making:
    """What a task must know to make a shard."""

    decoding: Decoding
    placement: Placement
    listing: str
    """Folder of the shards' parts of the listing."""
    subjects_known: bool
    known_shards: Mapping[int, str]
    """Names of the shards of the dataset's earlier state, by number."""
    earlier_files: Mapping[int, tuple[str, ...]]
    """Files of the dataset's earlier state, by number of shard."""

    def rows(self, shard: int) -> list[ImageRow]:
        """Return the images of a shard that are to be decoded, in the seeded order."""
        rows = listing.read_rows(storage.join(self.listing, listing.file_name(shard)))
        return self.decoding.sorted(row for row in rows if row.status == LISTED)

    def placed(self, shard: int) -> list[Placed]:
        """Return these images, each with its place."""
        return [Placed(row, self.placement.place(row.source, row)) for row in self.rows(shard)]


@dataclass(frozen=True)
class Made:
    """What the driver is told of a shard."""

    shard: int
    staged: str
    """The shard's name."""
    num_images: int
    """Listed images."""
    num_rejected: Mapping[Kind, int]
    """Listed images that turned out unusable."""
    settled: bool = True
    """The files are those of the placement; of a shard that was found finished that is not known."""
    files: tuple[tuple[str, ParquetFile], ...] = ()
    """(split, file)."""
    tallies: tuple[Tally, ...] = ()
    dropped: Mapping[str, str] = field(default_factory=dict)
    """Images left out, with the reason."""


def decode_shard(shard: int, making: Making, progress: Progress) -> list[Made]:
    """Decode the images of a shard and write its files, unless that has been done.

    Returns:
        What was made; nothing where the shard has no image to decode.
    """
    how = making.decoding
    placed = making.placed(shard)
    if not placed:
        return []
    staged = making.known_shards.get(shard) or how.name(shard, [row for row, _ in placed])
    if storage.exists(how.findings(staged)):
        findings = {finding.source: finding for finding in read_findings(how.findings(staged))[0]}
        rejected = _rejected(placed, findings)
        progress(len(placed), rejected.total())
        return [Made(shard, staged, len(placed), rejected, settled=False)]
    findings: dict[str, ImageFinding] = {}
    files = []
    parts = _parts(placed, making.placement)
    dropped = parts.pop(_DROPPED, [])
    for part, members in parts.items():
        groups = row_groups(members, making.placement)
        decoded = _decoded_row_groups(groups, how, findings, progress)
        file = write_file(shard, part, decoded, how)
        files += [] if file is None else [(part.split, file)]
    if dropped:  # not stored, but their pixels tell which others are copies
        for _ in _decoded_row_groups(row_groups(dropped, making.placement), how, findings, progress):
            pass
    in_order = [findings[row.source] for row, _ in placed]
    write_findings(how.findings(staged), in_order, [file.path for _, file in files])
    return [_made(shard, staged, placed, findings, files, making)]


def settle_shard(shard: int, staged: str, making: Making, progress: Progress) -> Made:
    """Bring the files of a decoded shard in line with the placement."""
    how = making.decoding
    placed = making.placed(shard)
    in_order, written = read_findings(how.findings(staged))
    findings = {finding.source: finding for finding in in_order}
    files = []
    parts = _parts(placed, making.placement)
    parts.pop(_DROPPED, None)
    with known_pixels({*written, *making.earlier_files.get(shard, ())}, how) as pixels:
        for part, members in parts.items():
            groups = [stored for group in row_groups(members, making.placement) if (stored := _usable(group, findings))]
            if not groups:
                continue
            file = describe_file(shard, part, groups, how)
            if not storage.exists(storage.join(how.dataset, file.path)):
                write_file(shard, part, ((group, pixels.of(group)) for group in groups), how)
            files.append((part.split, file))
    progress(len(placed), 0)
    return _made(shard, staged, placed, findings, files, making)


def _parts(placed: Iterable[Placed], placement: Placement) -> dict[Part, list[Placed]]:
    """Return the images by part, in their order; those that are left out under `_DROPPED`."""
    by_fold = placement.strategy == "k-fold"
    parts: dict[Part, list[Placed]] = {}
    for image in placed:
        _, place = image
        part = _DROPPED if place.dropped else Part(place.split, place.fold if by_fold else NO_FOLD)
        parts.setdefault(part, []).append(image)
    return dict(sorted(parts.items()))


def _usable(group: Iterable[Placed], findings: Mapping[str, ImageFinding]) -> list[StoredRow]:
    return [StoredRow.of(placed, finding) for placed in group if not (finding := findings[placed.row.source]).reason]


def _decoded_row_groups(
    groups: list[list[Placed]], how: Decoding, findings: dict[str, ImageFinding], progress: Progress
) -> Iterator[tuple[list[StoredRow], pa.Array]]:
    """Decode images row group by row group; what was learnt is added to the findings."""
    decode.use_one_thread()
    column = ImageColumn(max(map(len, groups), default=0), how.image_size, how.encoding)
    contents = read.read_ahead((placed.row.source for group in groups for placed in group), how.source)
    for group in groups:
        for placed, content in zip(group, contents, strict=False):
            findings[placed.row.source] = _examine(placed.row, content, how, column)
        stored = _usable(group, findings)
        progress(len(group), len(group) - len(stored))
        if stored:
            yield stored, column.take()


def _examine(row: ImageRow, content: bytes | str, how: Decoding, column: ImageColumn) -> ImageFinding:
    """Decode one image; a usable one is added to the column."""
    known = (row.source, row.fingerprint, row.size_bytes)
    if isinstance(content, str):
        return ImageFinding(*known, reason=content)
    try:
        done = decode.process(content, how.image_size, how.crop)
    except Unreadable as verdict:
        return ImageFinding(*known, reason=str(verdict))
    column.add(done.square)
    return ImageFinding(
        *known, "", done.content_hash, done.perceptual_hash, *done.channel_sums, *done.channel_square_sums
    )


def _rejected(placed: Iterable[Placed], findings: Mapping[str, ImageFinding]) -> Counter[Kind]:
    return Counter(Kind.of(row) for row, _ in placed if findings[row.source].reason)


def _made(
    shard: int,
    staged: str,
    placed: list[Placed],
    findings: Mapping[str, ImageFinding],
    files: list[tuple[str, ParquetFile]],
    making: Making,
) -> Made:
    tallies = tally(
        (_tally_key(row, place, making), 1, finding.sums)
        for row, place in placed
        if not (finding := findings[row.source]).reason
    )
    dropped = {row.source: place.dropped for row, place in placed if place.dropped and not findings[row.source].reason}
    rejected = _rejected(placed, findings)
    return Made(shard, staged, len(placed), rejected, True, tuple(files), tuple(tallies), dropped)


def _tally_key(row: ImageRow, place: Place, making: Making) -> TallyKey:
    alone = not making.subjects_known and row.subject not in making.placement.group_of
    named = ("", "") if alone else (place.group, row.subject)
    return TallyKey(place.split, row.class_name, *named, place.fold, not place.dropped)
