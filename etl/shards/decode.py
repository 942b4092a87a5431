"""First pass over a shard, the work of a Spark task: from its images to its Parquet files and its findings.

An image is decoded once, and written where the placement known before decoding puts it.
"""

from collections.abc import Iterator

import pyarrow as pa

from etl.images import normalise
from etl.shards.findings import Decoding, ImageFinding, ShardFindings, read_findings, write_findings
from etl.shards.parquet import PlacedImage, StoredRow, row_groups, write_file
from etl.shards.shard import DecodedShard, ShardContext, WrittenShard, count_rejected, images_by_part, usable_rows
from etl.source.rows import ImageRow
from hvdcells import storage
from hvdcells.data.checksums import pixel_hash
from hvdcells.data.stored_images import ImageColumn
from hvdcells.images import decode, prepare
from hvdcells.images.decode import WHOLE_SAMPLE_BITS
from hvdcells.images.formats import largest_file_bytes
from hvdcells.spark.listener import CountImages


def decode_shard(number: int, context: ShardContext, count: CountImages) -> DecodedShard | None:
    """Decode the images of a shard and write its files, unless that has been done.

    Returns:
        A `WrittenShard` where the files were written just now, a `DecodedShard` where the shard was found decoded; None
        where it has no image to decode.
    """
    decoding = context.decoding
    images = context.placed_images(number)
    if not images:
        return None
    name = context.known_shards.get(number) or decoding.shard_name(number, [row for row, _ in images])
    findings: dict[str, ImageFinding] = {}
    if storage.exists(decoding.findings(name)):
        found = read_findings(decoding.findings(name))
        largest, sample_bits = found.deep
        if not largest or decoding.sample_bits in (None, sample_bits):
            findings.update((finding.source, finding) for finding in found.images)
            rejected = count_rejected(images, findings)
            count(len(images), rejected.total())
            return DecodedShard(number, name, len(images), rejected, *found.deep)
    files = []
    parts, dropped = images_by_part(images, context.placement.strategy)
    for part, members in parts.items():
        decoded = _decoded_row_groups(row_groups(members, context.placement), decoding, findings, count)
        file = write_file(number, part, decoded, decoding)
        files += [] if file is None else [(part.split, file)]
    if dropped:  # not stored, but their pixels tell which others are copies
        for _ in _decoded_row_groups(row_groups(dropped, context.placement), decoding, findings, count):
            pass
    in_order = [findings[row.source] for row, _ in images]
    found = ShardFindings(in_order, [file.path for _, file in files], decoding.sample_bits or WHOLE_SAMPLE_BITS)
    write_findings(decoding.findings(name), found)
    return WrittenShard.of(number, name, images, findings, files, context, found.deep)


def _decoded_row_groups(
    groups: list[list[PlacedImage]], decoding: Decoding, findings: dict[str, ImageFinding], count: CountImages
) -> Iterator[tuple[list[StoredRow], pa.Array]]:
    """Decode images row group by row group; what was learnt is added to the findings."""
    prepare.use_one_thread()
    column = ImageColumn(max(map(len, groups), default=0), decoding.image_size, decoding.encoding)
    most_bytes = largest_file_bytes(decoding.most_pixels)
    wanted = (image.row for group in groups for image in group if image.row.size_bytes <= most_bytes)
    contents = decode.read_ahead((row.where for row in wanted), decoding.source)
    for group in groups:
        for image in group:
            fits = image.row.size_bytes <= most_bytes
            content = next(contents) if fits else decode.too_large_file(image.row.size_bytes, decoding.most_pixels)
            findings[image.row.source] = _examine(image.row, content, decoding, column)
        stored = usable_rows(group, findings)
        count(len(group), len(group) - len(stored))
        if stored:
            yield stored, column.take()


def _examine(row: ImageRow, content: bytes | str, decoding: Decoding, column: ImageColumn) -> ImageFinding:
    """Decode one image; a usable one is added to the column."""
    known = (row.source, row.fingerprint, row.size_bytes)
    if isinstance(content, str):
        return ImageFinding(*known, reason=content)
    try:
        image = normalise.process(content, *decoding.of_an_image)
    except decode.Unreadable as verdict:
        return ImageFinding(*known, reason=str(verdict))
    stored_hash = pixel_hash(column.add(image.square))
    hashes = (image.content_hash, stored_hash, image.perceptual_hash)
    sums, marks = (*image.channel_sums, *image.channel_square_sums), "\n".join(image.marks)
    return ImageFinding(*known, "", *hashes, *sums, image.largest_deep_value, marks)
