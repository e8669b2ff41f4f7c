"""Figures of a running watch in the form of Prometheus, on a port of their own."""

from collections.abc import Callable, Iterator
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.status import Status


class StatusCollector(Collector):
    """Reads the figures from the status when they are asked for.

    Names end in their unit. Of up to `names_up_to` sources and machines each has figures of its
    own; of more there are totals only, for every label is another series on the server.

    Args:
        status: gives the present one.
        names_up_to: sources, and machines, that are named.
    """

    def __init__(self, status: Callable[[], Status], names_up_to: int) -> None:
        self._status, self._names_up_to = status, names_up_to

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        status = self._status()
        yield from self._of_sources(status)
        yield from self._of_machines(status)
        yield _counter("aad_windows", "Windows scored.", status.windows)
        yield _counter("aad_windows_unjudged", "Windows that could not be judged.", status.unjudged)
        delay = GaugeMetricFamily(
            "aad_scoring_delay_seconds",
            "From the end of a window to its verdict, of late.",
            labels=["quantile"],
        )
        for quantile, value in zip(("0.5", "0.95"), status.delay_s, strict=True):
            delay.add_metric([quantile], value)
        yield delay
        events = CounterMetricFamily(
            "aad_events", "Events that began or grew worse.", labels=["level"]
        )
        for level, count in status.events.items():
            events.add_metric([level], count)
        yield events
        waiting = GaugeMetricFamily(
            "aad_notifications_waiting", "Notifications not delivered yet.", labels=["sink"]
        )
        failed = CounterMetricFamily(
            "aad_notification_failures", "Deliveries that failed.", labels=["sink"]
        )
        for sink, count in status.waiting.items():
            waiting.add_metric([sink], count)
        for sink, count in status.failures.items():
            failed.add_metric([sink], count)
        yield waiting
        yield failed

    def _of_sources(self, status: Status) -> Iterator[Metric]:
        sources = status.sources
        ages = [source.age_s for source in sources if source.age_s is not None]
        yield GaugeMetricFamily("aad_sources", "Sources configured.", len(sources))
        yield GaugeMetricFamily(
            "aad_sources_faulty", "Sources with a fault.", sum(bool(one.faults) for one in sources)
        )
        yield GaugeMetricFamily(
            "aad_oldest_sound_age_seconds",
            "Since sound came last from the source that is silent longest.",
            max(ages, default=0.0),
        )
        named = sources if len(sources) <= self._names_up_to else ()
        labels = ["source"] if named else []
        heard = CounterMetricFamily("aad_sound_heard_seconds", "Sound that came.", labels=labels)
        lost = CounterMetricFamily(
            "aad_sound_lost_seconds", "Sound that is missing.", labels=labels
        )
        restarts = CounterMetricFamily("aad_source_restarts", "Reconnections.", labels=labels)
        for source in named:
            heard.add_metric([source.name], source.heard_s)
            lost.add_metric([source.name], source.lost_s)
            restarts.add_metric([source.name], source.restarts)
        if not named:
            heard.add_metric([], sum(source.heard_s for source in sources))
            lost.add_metric([], sum(source.lost_s for source in sources))
            restarts.add_metric([], sum(source.restarts for source in sources))
        yield from (heard, lost, restarts)

    def _of_machines(self, status: Status) -> Iterator[Metric]:
        machines = status.machines
        phases = GaugeMetricFamily(
            "aad_machines", "Machines by phase of learning.", labels=["phase"]
        )
        for phase in sorted({machine.phase for machine in machines}):
            phases.add_metric([phase], sum(machine.phase == phase for machine in machines))
        yield phases
        yield GaugeMetricFamily(
            "aad_events_open",
            "Machines with an open event.",
            sum(machine.event is not None for machine in machines),
        )
        if len(machines) > self._names_up_to:
            return
        height = GaugeMetricFamily(
            "aad_score_over_threshold",
            "Last anomaly score less its threshold.",
            labels=["machine"],
        )
        for machine in machines:
            if machine.height is not None:
                height.add_metric([machine.name], machine.height)
        yield height


def _counter(name: str, says: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, says, value)


def serve_metrics(
    status: Callable[[], Status], address: str, port: int, names_up_to: int
) -> WSGIServer:
    """Answer Prometheus on a port, until `shutdown` of what is returned.

    Raises:
        UserError: the port cannot be used.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(StatusCollector(status, names_up_to))
    try:
        server, _ = start_http_server(port, address, registry)
    except OSError as error:
        raise UserError(
            f"metrics: cannot listen on {address}:{port} ({error.strerror}); choose another port"
        ) from error
    return server
