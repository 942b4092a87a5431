"""Batches that are read and prepared ahead, while the model works on the one before."""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from hvdcells.rank.input.prefetch import OrderedPrefetch

Result = TypeVar("Result")

REMOTE_READERS = 16
"""Threads where reading means waiting for a store."""


def prefetched(make: Callable[[Any], Result], batches: Iterable[Any], local: bool) -> Iterator[Result]:
    """Yield what a function makes of each batch, in order; threads are ahead by some batches.

    Args:
        make: reads and prepares a batch.
        batches: taken one by one.
        local: the files are on this machine's disk: a thread a core is enough.
    """
    threads = len(os.sched_getaffinity(0)) if local else REMOTE_READERS
    with OrderedPrefetch(make, batches, num_threads=threads, num_ahead=2 * threads) as results:
        yield from results
