"""Horovod's collectives tried for real: ranks start as for training, reduce, and say what they saw."""

import contextlib
import tempfile

from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.spark.backends import HorovodOnSpark, RankFailedError
from hvdcells.spark.preflight.findings import Finding

LIMIT_SECONDS = 120


def try_collectives(backend: HorovodOnSpark, logs: str | None = None) -> Finding:
    """Start all ranks and reduce over them.

    Args:
        backend: with a session that is active, and free slots.
        logs: a folder that ranks can write to; None for one of this machine.
    """
    world, check = backend.num_workers, "allreduce"
    expected = "the sum of all ranks, on each of them"
    remedy = "see what the ranks say; HOROVOD_LOG_LEVEL=debug in the driver's environment says more"
    with contextlib.ExitStack() as stack:
        logs = logs or stack.enter_context(tempfile.TemporaryDirectory())
        try:
            answers = backend.run("launch.doctor.collective_rank:reduce_together", LIMIT_SECONDS, logs)
        except UserError as error:
            return Finding(check, "cluster", "failed", error.given, error.expected, error.remedy)
        except RankFailedError as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            said = lines[1:] or _last_words(logs)
            return Finding(check, "cluster", "failed", " ".join([lines[0], *said[-2:]])[:600], expected, remedy)
    right = (world * (world + 1) / 2, world * (world - 1) / 2)
    wrong = [f"rank {each['rank']} on {each['host']} got {each['sums']}" for each in answers if each["sums"] != right]
    if wrong:
        return Finding(check, "cluster", "failed", f"{'; '.join(wrong)} instead of {right}", expected, remedy)
    slowest = max(each["seconds"] for each in answers)
    hosts = len({each["host"] for each in answers})
    found = f"{world} ranks on {hosts} host{'s' * (hosts > 1)} agree; 16 MiB in {1000 * slowest:.0f} ms"
    return Finding(check, "cluster", "ok", found)


def _last_words(logs: str) -> list[str]:
    """Return what the ranks have printed, which goes with the folder."""
    written = storage.join(logs, "workers.log")
    return [line for line in storage.read_text(written).splitlines() if line.strip()] if storage.exists(written) else []
