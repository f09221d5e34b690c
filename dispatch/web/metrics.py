"""What the service counts and times, for Prometheus: one registry a process, handed to whoever measures.

Names end in their unit or in `_total`. Another part adds its own: `Counter(…, registry=metrics.registry)`.
"""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LATENCY_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """The shell's own measures. Every label has a bounded set of values: routes, statuses, codes, limits."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        seconds = partial(Histogram, registry=self.registry, buckets=LATENCY_BUCKETS_S)
        name = "dispatch112_{}".format
        self.requests = counter(name("http_requests_total"), "Answered", ["method", "route", "status"])
        self.request_s = seconds(name("http_request_seconds"), "From head to answer", ["route"])
        self.problems = counter(name("problems_total"), "Problems answered", ["code"])
        self.faults = counter(name("faults_total"), "Our own bugs, caught", ["where"])
        self.connections = gauge(name("connections"), "Open connections")
        self.turned_away = counter(name("connections_refused_total"), "Closed by a limit", ["limit"])
        self.logins = counter(name("logins_total"), "Attempts to log in", ["outcome"])
        self.consoles = gauge(name("consoles"), "Boards that follow us")
        self.frames = counter(name("frames_written_total"), "Frames written to consoles", ["type"])
        self.frame_bytes = counter(name("frame_bytes_total"), "Bytes written to consoles")
        self.resyncs = counter(name("console_resyncs_total"), "Snapshots after the first", ["reason"])
        self.event_to_console_s = seconds(
            name("event_to_console_seconds"), "From an event's commit to its frame in the consoles' sockets"
        )
        self._routes: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, key: tuple[str, str, int], seconds: float) -> None:
        """One request answered; `key` is (method, route, status)."""
        found = self._routes.get(key)
        if found is None:
            method, route, status = key
            found = self.requests.labels(method, route, str(status)), self.request_s.labels(route)
            self._routes[key] = found
        found[0].inc()
        found[1].observe(seconds)

    def exposition(self) -> bytes:
        """Everything measured, in Prometheus' text format."""
        return generate_latest(self.registry)
