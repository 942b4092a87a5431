"""Results made ahead by threads, and handed on in the order they were asked for."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class OrderedPrefetch(Iterator[Result], Generic[Item, Result]):
    """The results of a function over items, in their order; while one is used, the next ones are being made.

    Nobody polls: the consumer waits for the result it needs, a thread for an item. What the function raises comes in
    the place of its result, and the results after it still follow.

    Args:
        function: makes a result of an item; called in the threads.
        items: what it is called with; taken one by one, as the results are.
        num_threads: threads that call it.
        num_ahead: items that are being worked on or wait, done, for the consumer: what bounds memory.
    """

    def __init__(
        self, function: Callable[[Item], Result], items: Iterable[Item], *, num_threads: int, num_ahead: int
    ) -> None:
        self._function = function
        self._items = iter(items)
        self._pending: deque[Future[Result]] = deque()
        self._executor = ThreadPoolExecutor(num_threads, thread_name_prefix="reader")
        for _ in range(num_ahead):
            self._ask_for_next()

    def __next__(self) -> Result:
        """Wait for the next result.

        Raises:
            CancelledError: it was closed before this result was begun.
        """
        if not self._pending:
            raise StopIteration
        try:
            return self._pending.popleft().result()
        finally:
            self._ask_for_next()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Begin nothing more, and wait until the threads have ended."""
        self._items = iter(())
        self._executor.shutdown(cancel_futures=True)

    def _ask_for_next(self) -> None:
        for item in self._items:
            self._pending.append(self._executor.submit(self._function, item))
            return
