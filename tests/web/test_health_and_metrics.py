"""What watches a process sees: alive, ready or why not, and counts that hold nobody's data."""

import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
from httpx import AsyncClient
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.routing import Route
from toy import asking

from eventstore.database import StoreUnavailable
from ledger.assembly import Ledger, Tenant
from web.health import healthz, readyz
from web.metrics import Metrics
from web.request_observer import RequestRecord


def watched(ledger: object, metrics: Metrics | None = None) -> AsyncClient:
    routes = [Route("/healthz", healthz), Route("/readyz", readyz)]
    if metrics is not None:
        routes.append(Route("/metrics", metrics.endpoint))
    app = Starlette(routes=routes)
    app.state.ledger = ledger
    return asking(app)


@contextlib.asynccontextmanager
async def _no_connection() -> AsyncIterator[None]:
    raise StoreUnavailable("connection to 10.0.0.1 lost")
    yield


AWAY = SimpleNamespace(connection=_no_connection)


async def test_ready_where_the_database_answers_and_is_up_to_date(ledger: Ledger) -> None:
    async with watched(ledger) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        response = await client.get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ready"})


async def test_alive_but_not_ready_where_the_database_is_away() -> None:
    async with watched(AWAY) as client:
        assert (await client.get("/healthz")).status_code == 200
        response = await client.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {"status": "unavailable", "reason": "the database does not answer"}


async def test_not_ready_where_the_database_is_another_consentrys(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.migrate.migrations", lambda: [(9999, "future", "")])
    async with watched(ledger) as client:
        response = await client.get("/readyz")
    assert response.status_code == 503
    assert "consentry migrate" in response.json()["reason"]


async def test_metrics_count_requests_by_route_and_fields_and_the_store(ledger: Ledger, tenant: Tenant) -> None:
    metrics = Metrics()
    record = RequestRecord("POST", route="/graphql", status=200, seconds=0.004, tenant=tenant.key, application="shop")
    record.operation, record.fields = "query", ("checkConsent",)
    metrics.count(record)
    metrics.count(record)
    async with watched(ledger, metrics) as client:
        text = (await client.get("/metrics")).text
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["consentry_http_requests_total", "/graphql", "200", "POST"] == 2
    assert samples["consentry_http_request_seconds_bucket", "/graphql", "0.005"] == 2
    assert samples["consentry_graphql_root_fields_total", "checkConsent", "query"] == 2
    assert samples[("consentry_store_up",)] == 1
    assert samples[("consentry_tenants",)] >= 1
    assert samples[("consentry_log_events",)] >= 1
    # Nobody follows here: the tenant's first events are what its follower has not taken account of.
    assert samples["consentry_projection_lag_events", "consent_trend"] >= 1
    assert samples["consentry_projection_parked_events", "consent_trend"] >= 0
    assert samples["consentry_projection_stopped_tenants", "consent_trend"] >= 0
    assert tenant.key not in text
    assert "shop" not in text


async def test_metrics_are_there_while_the_store_is_away() -> None:
    async with watched(AWAY, Metrics()) as client:
        response = await client.get("/metrics")
    assert response.status_code == 200
    assert "consentry_store_up 0.0" in response.text
