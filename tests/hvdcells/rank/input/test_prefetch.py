import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest
from petastorm.workers_pool import EmptyResultError
from petastorm.workers_pool.worker_base import WorkerBase

from hvdcells.rank.input.prefetch import OrderedThreadPool


class Worker(WorkerBase):
    """Publishes its item once the event that belongs to it is set."""

    def process(self, item):
        begun, may_end = self.args
        begun.append(item)
        may_end[item].wait()
        if item == "broken":
            raise ValueError(item)
        self.publish_func(item)


@pytest.fixture
def events():
    may_end = {item: threading.Event() for item in [*range(8), "broken"]}
    yield may_end
    for event in may_end.values():
        event.set()


def start(items, may_end, num_threads=2, num_ahead=4):
    pool, begun = OrderedThreadPool(num_threads, num_ahead), []
    pool.start(Worker, (begun, may_end), [{"item": item} for item in items])
    return pool, begun


def test_results_come_in_the_order_of_the_items_whoever_is_done_first(events):
    pool, _ = start(range(8), events)
    for item in reversed(range(8)):
        events[item].set()
    assert [pool.get_results() for _ in range(8)] == list(range(8))
    with pytest.raises(EmptyResultError):
        pool.get_results()
    pool.stop()
    pool.join()


def test_no_more_items_are_begun_than_may_wait(events):
    for event in events.values():
        event.set()
    pool, begun = start(range(8), events, num_ahead=3)
    pool.get_results()
    pool.get_results()
    pool.stop()
    pool.join()
    assert len(begun) <= 2 + 3


def test_an_exception_comes_in_the_place_of_its_result_and_the_others_go_on(events):
    for event in events.values():
        event.set()
    pool, _ = start([0, "broken", 1], events)
    assert pool.get_results() == 0
    with pytest.raises(ValueError, match="broken"):
        pool.get_results()
    assert pool.get_results() == 1
    pool.stop()
    pool.join()


def test_stopping_frees_a_consumer_that_waits(events):
    pool, _ = start(range(4), events, num_threads=1)
    with ThreadPoolExecutor(1) as consumers:
        first = consumers.submit(lambda: [pool.get_results(), pool.get_results()])
        pool.stop()
        events[0].set()  # begun already, so it ends; the next one is not begun any more
        pool.join()
        with pytest.raises((CancelledError, RuntimeError)):
            first.result(timeout=60)
