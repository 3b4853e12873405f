"""What is measured, as Prometheus reads it. Labels are routes, methods, statuses and fields of the schema.

With several workers each writes what it counts to a folder that they share, and whichever is asked sums them up.
"""

import os
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from eventstore.database import StoreUnavailable
from ledger.assembly import Ledger
from ledger.health import store_state
from ledger.projection_states import follower_totals
from ledger.webhook_lists import totals
from web.request_observer import RequestRecord

SHARED_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class LiveMetrics:
    """What is measured of connections that stay open."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.connections = Gauge(
            "consentry_live_connections",
            "WebSockets and event streams that are open",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.subscribers = Gauge(
            "consentry_live_subscribers",
            "Subscriptions to events that run",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.slow = Counter(
            "consentry_live_slow_consumers_ended", "Connections ended because they took nothing", registry=registry
        )
        self.feed_lag_s = Histogram(
            "consentry_feed_lag_seconds",
            "From when an event was recorded until it was read for its subscribers",
            buckets=_SECONDS,
            registry=registry,
        )


class Metrics:
    """The counters of this process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "consentry_http_requests",
            "Requests answered",
            ("route", "method", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "consentry_http_request_seconds", "Time to answer", ("route",), buckets=_SECONDS, registry=self._registry
        )
        self._fields = Counter(
            "consentry_graphql_root_fields",
            "Fields of Query and Mutation asked for: checkConsent, recordConsent and so on",
            ("operation", "field"),
            registry=self._registry,
        )
        # The series by what they are of, since finding one by its labels costs more than to count.
        self._counted: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._counted_fields: dict[tuple[str | None, str], Counter] = {}
        self.live = LiveMetrics(self._registry)

    def count(self, record: RequestRecord) -> None:
        """Take account of an answered request."""
        kind = (record.route, record.method, record.status)
        counted = self._counted.get(kind)
        if counted is None:
            counted = self._counted[kind] = (
                self._requests.labels(record.route, record.method, str(record.status)),
                self._seconds.labels(record.route),
            )
        counted[0].inc()
        counted[1].observe(record.seconds)
        for field in record.fields:
            asked = (record.operation, field)
            counted_field = self._counted_fields.get(asked)
            if counted_field is None:
                counted_field = self._counted_fields[asked] = self._fields.labels(*asked)
            counted_field.inc()

    async def text(self, ledger: Ledger) -> bytes:
        """Everything, in Prometheus' text format."""
        counted = self._registry
        if SHARED_FOLDER_VARIABLE in os.environ:  # the library's own switch, set by web.workers
            counted = CollectorRegistry()
            multiprocess.MultiProcessCollector(counted)
        return generate_latest(counted) + generate_latest(await _store_gauges(ledger))

    async def endpoint(self, request: Request) -> Response:
        """`/metrics`."""
        return Response(await self.text(request.app.state.ledger), media_type=CONTENT_TYPE_PLAIN_0_0_4)


def forget_worker(process_id: int) -> None:
    """A worker has ended: what it had open is open no more. What it counted stays."""
    multiprocess.mark_process_dead(process_id)


class _OfStore(Collector):
    """What the store says now. Not of the library's own gauges: those of a worker go to the folder that all share, and stay there
    with the value of this moment.
    """

    def __init__(self, families: Sequence[GaugeMetricFamily]) -> None:
        self._families = families

    def collect(self) -> Sequence[GaugeMetricFamily]:
        return self._families


async def _store_gauges(ledger: Ledger) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(_OfStore(await _store_families(ledger)))
    return registry


async def _store_families(ledger: Ledger) -> list[GaugeMetricFamily]:
    up = ("consentry_store_up", "Whether the database answers")
    try:
        state, webhooks = await store_state(ledger), await totals(ledger)
        followers = await follower_totals(ledger)
    except StoreUnavailable:
        return [GaugeMetricFamily(*up, value=0)]
    lag = GaugeMetricFamily(
        "consentry_projection_lag_events",
        "Events that a follower has not taken account of, in the tenant where it is furthest behind",
        labels=["projection"],
    )
    parked = GaugeMetricFamily("consentry_projection_parked_events", "Events left out", labels=["projection"])
    stopped = GaugeMetricFamily(
        "consentry_projection_stopped_tenants", "Tenants where a follower cannot go on", labels=["projection"]
    )
    for follower in followers:
        lag.add_metric([follower.projection], follower.lag)
        parked.add_metric([follower.projection], follower.parked)
        stopped.add_metric([follower.projection], follower.stopped)
    return [
        GaugeMetricFamily(*up, value=1),
        GaugeMetricFamily("consentry_tenants", "Tenants", value=state.tenants),
        GaugeMetricFamily("consentry_log_events", "Events in the logs of all tenants", value=state.events),
        lag,
        parked,
        stopped,
        # Counted where all processes share them, so each series is of the whole service.
        GaugeMetricFamily("consentry_webhooks", "Webhooks of all tenants", value=webhooks.webhooks),
        GaugeMetricFamily(
            "consentry_webhooks_held",
            "Webhooks that are held: nothing is sent until somebody looks",
            value=webhooks.held,
        ),
        GaugeMetricFamily(
            "consentry_webhook_deliveries",
            "Events that receivers took, webhooks deleted since included",
            value=webhooks.delivered,
        ),
        GaugeMetricFamily("consentry_webhook_failures", "Attempts that receivers did not take", value=webhooks.failed),
        GaugeMetricFamily(
            "consentry_webhook_lag_events",
            "Events by which the webhook furthest behind is behind",
            value=webhooks.lag,
        ),
    ]
