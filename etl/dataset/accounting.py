"""No image is lost without being counted: rejected images each with a reason, a limit to them, and the sum of all."""

from collections import Counter
from collections.abc import Iterable

import pyarrow as pa

from etl.dataset.work_folder import REJECTS_FOLDER
from hvdcells import storage
from hvdcells.data.manifest import Manifest
from hvdcells.errors import UserError
from hvdcells.storage.parquet import ParquetWriter

_SCHEMA = pa.schema([("source", pa.string()), ("reason", pa.string())])
_BATCH_ROWS = 10_000


def write_rejects(rejected: Iterable[tuple[str, str]], dataset: str) -> dict[str, int]:
    """Write the rejected images, (source, reason), to `rejects/` and return their number by reason."""
    reasons: Counter[str] = Counter()
    with (
        storage.new_file(storage.join(dataset, REJECTS_FOLDER, "rejects.parquet")) as file,
        ParquetWriter(file, _SCHEMA) as writer,
    ):
        batch: list[tuple[str, str]] = []
        for source, reason in rejected:
            batch.append((source, reason))
            reasons[reason] += 1
            if len(batch) == _BATCH_ROWS:
                writer.write_table(_table(batch))
                batch = []
        writer.write_table(_table(batch))
    return dict(sorted(reasons.items()))


def _table(batch: list[tuple[str, str]]) -> pa.Table:
    return pa.table([[source for source, _ in batch], [reason for _, reason in batch]], schema=_SCHEMA)


def refuse_too_many(rejected: dict[str, int], num_listed: int, max_share: float, dataset: str) -> None:
    """Hold the rejects to the allowed share.

    Raises:
        UserError: there are more.
    """
    num = sum(rejected.values())
    if num <= max_share * num_listed:
        return
    most = ", ".join(f"{count} × {reason}" for reason, count in Counter(rejected).most_common(3))
    raise UserError(
        f"{num} of {num_listed} images ({num / num_listed:.1%}) cannot be used: {most}",
        f"at most {max_share:.1%}",
        f"look at {storage.join(dataset, REJECTS_FOLDER)}, mend or remove these files and run the same command again, "
        f"or allow more with --max-rejects {min(1.0, num / num_listed + 0.005):.2f}",
    )


def refuse_miscount(manifest: Manifest) -> None:
    """Hold the manifest to the rule that no image is lost.

    Raises:
        RuntimeError: listed is not written + rejected + dropped + unlabelled + left aside, or the files hold another
            number of rows.
    """
    accounted = manifest.accounted
    in_files = sum(sum(file.rows_per_row_group) for split in manifest.splits.values() for file in split.files)
    if (manifest.listed, manifest.written) != (accounted, in_files):
        raise RuntimeError(
            f"images were lost: {manifest.listed} listed, {accounted} accounted for; "
            f"{manifest.written} counted, {in_files} in the files"
        )
