"""What the metrics say of webhooks."""

from prometheus_client.parser import text_string_to_metric_families

from ledger.assembly import Caller, Tenant
from ledger.webhooks import create_webhook, delete_webhook
from web.metrics import Metrics


async def shown(tenant: Tenant) -> dict[str, float]:
    text = (await Metrics().text(tenant.ledger)).decode()
    return {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}


async def test_webhooks_held_deliveries_failures_and_lag_are_shown(tenant: Tenant) -> None:
    async with tenant.ledger.connection() as connection:
        await connection.execute("INSERT INTO applications VALUES ($1, 'tests', 'tests', now())", tenant.id)
    before = await shown(tenant)
    admin = Caller("tests", frozenset(("admin", "read")))
    hook = await create_webhook(tenant, admin, url="https://hooks.invalid/", from_position=0)
    async with tenant.ledger.connection() as connection:
        size = await connection.fetchval("SELECT size FROM log_heads WHERE tenant = $1", tenant.id)
        await connection.execute(
            "UPDATE webhooks SET status = 'HELD', delivered = 7, failed = 3 WHERE tenant = $1", tenant.id
        )
    after = await shown(tenant)
    for name, more in (
        ("consentry_webhooks", 1), ("consentry_webhooks_held", 1), ("consentry_webhook_deliveries", 7),
        ("consentry_webhook_failures", 3),
    ):  # fmt: skip
        assert after[name] == before[name] + more
    assert after["consentry_webhook_lag_events"] >= size
    await delete_webhook(tenant, admin, webhook=hook.webhook.id)
    gone = await shown(tenant)
    assert gone["consentry_webhooks_held"] == before["consentry_webhooks_held"]
    assert gone["consentry_webhook_deliveries"] == after["consentry_webhook_deliveries"], "what was counted stays"
