import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress

import pytest

from hvdcells.rank.input.prefetch import OrderedPrefetch


@pytest.fixture
def events():
    may_end = {item: threading.Event() for item in [*range(8), "broken"]}
    yield may_end
    for event in may_end.values():
        event.set()


def start(items, may_end, num_threads=2, num_ahead=4):
    """Begin to return items, each once the event that belongs to it is set."""
    begun = []

    def work(item):
        begun.append(item)
        may_end[item].wait()
        if item == "broken":
            raise ValueError(item)
        return item

    return OrderedPrefetch(work, items, num_threads=num_threads, num_ahead=num_ahead), begun


def threads_of_readers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("reader")]


def test_results_come_in_the_order_of_the_items_whoever_is_done_first(events):
    results, _ = start(range(8), events)
    with results:
        for item in reversed(range(8)):
            events[item].set()
        assert [next(results) for _ in range(8)] == list(range(8))
        with pytest.raises(StopIteration):
            next(results)


def test_no_more_items_are_begun_than_may_wait(events):
    for event in events.values():
        event.set()
    results, begun = start(range(8), events, num_ahead=3)
    with results:
        next(results)
        next(results)
    assert len(begun) <= 2 + 3


def test_items_are_taken_as_results_are(events):
    for event in events.values():
        event.set()
    taken = []

    def items():
        for item in range(8):
            taken.append(item)
            yield item

    results, _ = start(items(), events, num_ahead=3)
    with results:
        assert taken == [0, 1, 2]
        next(results)
        assert taken == [0, 1, 2, 3]
        assert list(results) == list(range(1, 8))


def test_an_exception_comes_in_the_place_of_its_result_and_the_others_go_on(events):
    for event in events.values():
        event.set()
    results, _ = start([0, "broken", *range(1, 8)], events, num_ahead=2)
    with results:
        assert next(results) == 0
        with pytest.raises(ValueError, match="broken"):
            next(results)
        assert list(results) == list(range(1, 8))


def test_closing_ends_the_threads_and_begins_nothing_more(events):
    before = threads_of_readers()
    results, begun = start(range(8), events, num_threads=1, num_ahead=6)
    events[0].set()
    assert next(results) == 0
    assert len(threads_of_readers()) > len(before)
    with ThreadPoolExecutor(1) as closers:
        closed = closers.submit(results.close)
        for event in events.values():
            event.set()
        closed.result(timeout=60)
    assert threads_of_readers() == before
    so_far = list(begun)
    with suppress(CancelledError):
        list(results)
    assert begun == so_far


def test_closing_frees_a_consumer_that_waits(events, monkeypatch):
    shutdown = ThreadPoolExecutor.shutdown

    def shutdown_while_the_first_item_is_in_work(executor, wait=True, *, cancel_futures=False):
        shutdown(executor, wait=False, cancel_futures=cancel_futures)
        events[0].set()  # begun already, so it ends; the next one is not begun any more
        shutdown(executor, wait=wait)

    results, _ = start(range(4), events, num_threads=1)
    with ThreadPoolExecutor(1) as consumers:
        consumer = consumers.submit(lambda: [next(results), next(results)])
        monkeypatch.setattr(ThreadPoolExecutor, "shutdown", shutdown_while_the_first_item_is_in_work)
        results.close()
        with pytest.raises((CancelledError, RuntimeError)):
            consumer.result(timeout=60)
