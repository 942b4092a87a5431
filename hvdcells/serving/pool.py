"""Threads that prepare and predict images: each takes, of those that wait, its share at once.

While few images wait they are predicted one by one, as soon as they come; under load several go through the runtime
together. Nothing waits for a batch to fill.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hvdcells.images.decode import Pixels
from hvdcells.images.prepare import use_one_thread
from hvdcells.scores.formulas import Floats
from hvdcells.serving.model import ServedModel

MOST_TOGETHER = 16
"""Images in one call of the runtime."""


class BusyError(Exception):
    """More images wait than may."""


class Predicted(NamedTuple):
    """What became of one image."""

    probabilities: Floats
    """Calibrated, float64 (K,)."""
    embedding: NDArray[np.float32] | None
    image: Pixels
    """As it was given to the model."""


Prepare = Callable[[], Pixels]
"""Returns one image for the model, or raises `Unreadable`."""


@dataclass(eq=False)
class _Job:
    prepare: Prepare
    future: "asyncio.Future[Predicted]"
    until: float


@dataclass
class Pool:
    """Workers over one model.

    Args:
        model: what predicts.
        threads: workers, each on a core of its own.
        most_waiting: images that may wait.
        seconds: after which an image that still waits is given up.
    """

    model: ServedModel
    threads: int
    most_waiting: int
    seconds: float
    watch: Callable[[int], object] = lambda _: None
    """Told the number of images in each call of the runtime."""
    _waiting: deque[_Job] = field(default_factory=deque)
    _condition: threading.Condition = field(default_factory=threading.Condition)
    _workers: list[threading.Thread] = field(default_factory=list)
    _closed: bool = False

    @property
    def num_waiting(self) -> int:
        """Images that wait now."""
        return len(self._waiting)

    def start(self) -> None:
        """Start the workers; futures belong to the running event loop."""
        use_one_thread()
        self._loop = asyncio.get_running_loop()
        self._workers = [threading.Thread(target=self._work, name=f"worker-{n}") for n in range(self.threads)]
        for worker in self._workers:
            worker.start()

    async def close(self) -> None:
        """Finish what waits, and end the workers."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        for worker in self._workers:
            await asyncio.to_thread(worker.join)

    def submit(self, images: Sequence[Prepare]) -> "list[asyncio.Future[Predicted]]":
        """Let images wait for a worker.

        Raises:
            BusyError: too many would wait.
        """
        until = time.monotonic() + self.seconds
        jobs = [_Job(prepare, self._loop.create_future(), until) for prepare in images]
        with self._condition:
            if self._closed or self.num_waiting + len(jobs) > self.most_waiting:
                raise BusyError
            self._waiting.extend(jobs)
            self._condition.notify(len(jobs))
        return [job.future for job in jobs]

    def _work(self) -> None:
        while jobs := self._share():
            self._loop.call_soon_threadsafe(_tell, self._carried_out(jobs))

    def _share(self) -> list[_Job]:
        """Wait for images, and take as many as leave the other workers theirs; none when all is done."""
        with self._condition:
            while not self._waiting and not self._closed:
                self._condition.wait()
            share = min(MOST_TOGETHER, -(-self.num_waiting // self.threads))
            return [self._waiting.popleft() for _ in range(share)]

    def _carried_out(self, jobs: list[_Job]) -> list[tuple[_Job, Predicted | Exception]]:
        outcomes: list[tuple[_Job, Predicted | Exception]] = []
        usable: list[tuple[_Job, Pixels]] = []
        for job in jobs:
            if job.future.cancelled():
                continue
            if time.monotonic() > job.until:
                outcomes.append((job, TimeoutError()))
                continue
            try:
                usable.append((job, job.prepare()))
            except Exception as error:
                outcomes.append((job, error))
        if not usable:
            return outcomes
        try:
            self.watch(len(usable))
            found = self.model(np.stack([image for _, image in usable]))
        except Exception as error:
            return outcomes + [(job, error) for job, _ in usable]
        for number, (job, image) in enumerate(usable):
            embedding = None if found.embeddings is None else found.embeddings[number]
            outcomes.append((job, Predicted(found.probabilities[number], embedding, image)))
        return outcomes


def _tell(outcomes: list[tuple[_Job, Predicted | Exception]]) -> None:
    for job, outcome in outcomes:
        if job.future.done():  # who asked has gone
            continue
        if isinstance(outcome, Exception):
            job.future.set_exception(outcome)
        else:
            job.future.set_result(outcome)
