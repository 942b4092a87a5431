"""The interface of a back end, and how a rank's failure reaches the driver."""

import json
import platform
import re
import resource
import sys
import traceback
from contextlib import AbstractContextManager, suppress
from typing import Any, NoReturn, Protocol

from hvdcells import storage
from hvdcells.data.dataset import Dataset
from hvdcells.errors import ToldToEndError, UserError
from hvdcells.secrets import without_secrets

WORKERS_LOG = "workers.log"
"""What ranks wrote to standard error, of a start that failed."""
STALL_NAME = "stall.txt"
"""Where ranks stood still, with their stacks."""
SAID_MARK = "\x1d"
"""ASCII's group separator around the word of a rank that could not write it to the run."""
_SAID = re.compile(f"{SAID_MARK}({{[^{SAID_MARK}]*}}){SAID_MARK}")
CONSEQUENCES = ("HorovodInternalError", "Horovod has been shut down")
"""Words of the errors with which Horovod ends the ranks that had not failed themselves."""


class RankFailedError(Exception):
    """A rank ended with an exception that is not the user's; the message holds that rank's trace."""


class RankLostError(RankFailedError):
    """A rank, its task or its executor was lost, or stood still: nothing that would come again by itself."""


class Backend(Protocol):
    """Runs the entry of a rank on a number of ranks."""

    num_workers: int

    def check(self) -> None:
        """Refuse, before anything is written, what cannot run.

        Raises:
            UserError: the back end cannot run so many workers.
        """

    def ready(self, dataset: Dataset | None = None, run: str | None = None) -> AbstractContextManager[None]:
        """Hold what `run` needs in a `with` block, in which it is then known to start.

        Args:
            dataset: what the ranks will read.
            run: location of the folder they will write to, which exists.

        Raises:
            UserError: the ranks cannot all start, or not work where they would.
        """

    def run(self, entry: str, argument: Any, logs: str) -> list[Any]:
        """Call a function on every rank and return the results in the order of ranks.

        Args:
            entry: the function's name, "package.module:function", importable on the workers and not imported here;
                see `call_entry` for what it is called with.
            argument: its argument.
            logs: location of a folder for what the ranks have to say when they fail.

        Raises:
            UserError: a rank raised one.
            RankLostError: a rank was lost without a failure of its own.
            RankFailedError: a rank failed otherwise.
        """

    def wait_again(self, most: int, fewest: int, seconds: float | None = None) -> None:
        """Wait, where it is held ready, for what another `run` needs after ranks were lost; set `num_workers`.

        Args:
            most: workers that are wanted.
            fewest: that are taken when no more are to be had in time.
            seconds: how long to wait; None for the time that a start may take.

        Raises:
            UserError: there are fewer.
        """


def note_failure(logs: str, rank: int | str, error: BaseException) -> None:
    """Leave word of a rank's failure where the driver finds it, since all it gets is an exit code."""
    note: dict[str, Any] = {"rank": rank, "trace": without_secrets("".join(traceback.format_exception(error)))}
    if isinstance(error, ToldToEndError):
        note["told_to_end"] = str(error)
    user_error = storage.as_user_error(error) or _out_of_memory(rank, error)
    if user_error is not None:
        parts = user_error.given, user_error.expected, user_error.remedy
        note["user_error"] = [without_secrets(part) for part in parts]
    text = json.dumps(note)
    try:
        storage.write_text(storage.join(logs, f"failure-of-rank-{rank}.json"), text)
    except OSError:  # its cause may be that nothing can be written there
        print(f"{SAID_MARK}{text}{SAID_MARK}", file=sys.stderr, flush=True)  # noqa: T201


LESS_MEMORY = (
    "lower data.batch_size, data.shuffle_buffer or data.cache_bytes, put fewer workers on a host (--workers, or more "
    "cores for a task: --conf spark.task.cpus=N), or take machines with more memory"
)
"""What to do where a rank had too little."""


def _out_of_memory(rank: int | str, error: BaseException) -> UserError | None:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if not kinds & {"MemoryError", "ResourceExhaustedError"}:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    where = f"rank {rank} on {platform.node()}"
    found = f"{where} was out of memory ({type(error).__name__}); its peak was {peak:.1f} GB"
    return UserError(found, "memory, of the host or the GPU, for one worker's batches and model", LESS_MEMORY)


def forget_failures(logs: str) -> None:
    """Remove what an earlier start has left: the words of its ranks, what they printed, their stall."""
    for name in [*_notes(logs), *(name for name in storage.names_in(logs) if name in (WORKERS_LOG, STALL_NAME))]:
        storage.remove(storage.join(logs, name))


def raise_noted_failure(
    logs: str, ending: str, cause: BaseException, rank_output: str = "", all_output: str = ""
) -> NoReturn:
    """Raise what the failed ranks have left word of: the user's error first, else the first true cause.

    When one rank fails, Horovod ends the others with errors of its own; those are not the cause.

    Args:
        logs: where the ranks leave word.
        ending: how the first failing process ended, for when it has left none.
        cause: the error of the back end.
        rank_output: what the failing rank wrote to standard error, where it could not leave word.
        all_output: what all ranks wrote there; those that could not write to `logs` have said their word there.
    """
    notes = [json.loads(storage.read_text(storage.join(logs, name))) for name in _notes(logs)]
    for word in _SAID.findall(all_output):
        with suppress(ValueError):  # torn by what another thread wrote in between
            notes.append(json.loads(word))
    for note in notes:
        if "user_error" in note:
            raise UserError(*note["user_error"]) from None
    for note in notes:
        if "told_to_end" in note:
            raise RankLostError(note["told_to_end"]) from None
    causes = [note for note in notes if not any(words in note["trace"] for words in CONSEQUENCES)]
    if causes:
        raise RankFailedError(f"rank {causes[0]['rank']} failed:\n{causes[0]['trace']}") from cause
    last = [line for line in rank_output.splitlines() if line.strip()][-1:]
    words = f". Its last words: {last[0].strip()}" if last else ""
    if storage.exists(location := storage.join(logs, WORKERS_LOG)):
        words += f"\nWhat all workers wrote: {location}"
    raise RankLostError(ending + words) from cause


def _notes(logs: str) -> list[str]:
    return [name for name in storage.names_in(logs) if name.startswith("failure-of-rank")]
