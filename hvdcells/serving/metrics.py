"""What the server counts, in Prometheus' format. Nothing of an image is in it."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """Counters of one server.

    Args:
        num_waiting: returns the number of images that wait.
    """

    def __init__(self, num_waiting: Callable[[], int]) -> None:
        self._registry = kept = CollectorRegistry()
        self._requests = Counter("hvdcells_requests", "Requests answered", ["path", "status"], registry=kept)
        self._seconds = Histogram(
            "hvdcells_request_seconds", "Time of a request", ["path"], buckets=_SECONDS, registry=kept
        )
        self._images = Counter("hvdcells_images", "Images, by what became of them", ["outcome"], registry=kept)
        self._together = Histogram(
            "hvdcells_batch_images", "Images in one call of the runtime", buckets=(1, 2, 4, 8, 16), registry=kept
        )
        Gauge("hvdcells_waiting_images", "Images that wait", registry=kept).set_function(num_waiting)
        ProcessCollector(registry=self._registry)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(path, status).inc()
        self._seconds.labels(path).observe(seconds)

    def image(self, outcome: str) -> None:
        """Count an image: `predicted`, `referred` or `rejected`."""
        self._images.labels(outcome).inc()

    def together(self, num_images: int) -> None:
        """Count a call of the runtime."""
        self._together.observe(num_images)

    def told(self) -> bytes:
        """Return all of them."""
        return generate_latest(self._registry)
