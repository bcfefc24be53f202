"""What Prometheus reads at /metrics: requests, and what a live loop and the machine tell."""

from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Tuple

from legoclf.errors import missing_package

#: Seconds; an inference takes from one millisecond on a desktop GPU to some hundred on a Nano's CPU.
_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)


class Reading(NamedTuple):
    """One value now. kind: "gauge" or "counter"; labels: name and value of each."""

    name: str
    kind: str
    help: str
    value: float
    labels: Tuple[Tuple[str, str], ...] = ()


class Metrics(object):
    """Counts requests; asks ``readings`` for the rest whenever it is read.

    Args:
        readings: each gives :class:`Reading` records, from any thread.

    Raises:
        LegoclfError: prometheus_client is not installed.
    """

    def __init__(self, readings: Iterable[Callable[[], List[Reading]]] = ()) -> None:
        try:
            import prometheus_client
            from prometheus_client import core
        except ImportError as error:
            raise missing_package("prometheus_client", "serve") from error
        self._client = prometheus_client
        self._families = {"gauge": core.GaugeMetricFamily, "counter": core.CounterMetricFamily}
        self._registry = prometheus_client.CollectorRegistry()
        self._readings = list(readings)
        self._registry.register(self)
        self._requests = prometheus_client.Counter(
            "legoclf_requests", "Requests by route and status.", ["route", "status"], registry=self._registry
        )
        self._images = prometheus_client.Counter(
            "legoclf_images", "Images classified for requests.", registry=self._registry
        )
        self._seconds = prometheus_client.Histogram(
            "legoclf_request_seconds",
            "Seconds from a request's last byte to its answer.",
            ["route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )

    def add(self, route: str, status: int, seconds: float, images: int = 0) -> None:
        """Count one request. ``route`` is one of the application's, never a path of a client's making."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        self._images.inc(images)

    def text(self) -> Tuple[bytes, str]:
        """The exposition and its content type."""
        return self._client.generate_latest(self._registry), self._client.CONTENT_TYPE_LATEST

    def collect(self) -> Iterable[Any]:
        """The readings, as prometheus_client collects them."""
        found: Dict[str, Any] = {}
        for read in self._readings:
            for one in read():
                if one.name not in found:
                    names = [name for name, _ in one.labels]
                    found[one.name] = self._families[one.kind](one.name, one.help, labels=names)
                found[one.name].add_metric([value for _, value in one.labels], one.value)
        return found.values()
