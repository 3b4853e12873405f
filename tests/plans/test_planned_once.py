"""The statements of an append of a group are planned a few times and then never again. A lone caller's look-up may be: what it
asks is so little that PostgreSQL takes a plan for this one key for cheaper than the one for all."""

from domain.addresses import Channel
from domain.consent import ConsentValue
from ledger.assembly import Caller, Tenant
from ledger.record import Capture, record_consents

# PostgreSQL plans a prepared statement for its parameters so often before it compares that with one plan for all.
CUSTOM_PLANS_MAX = 5


async def test_a_groups_append_is_not_planned_anew_each_time(clocked_tenant: Tenant, caller: Caller) -> None:
    tenant = clocked_tenant  # of a ledger whose connections nobody used before
    for size in (30, 200, 30):
        for turn in range(10):
            captures = [
                Capture(
                    channel=Channel.EMAIL,
                    address=f"{size}.{turn}.{number}@example.org",
                    purpose="commercial",
                    value=ConsentValue.OPTED_OUT,
                    idempotency_key=f"{size}.{turn}.{number}",
                )
                for number in range(size)
            ]
            await record_consents(tenant, caller, captures)
    async with tenant.ledger.connection() as connection:
        rows = await connection.fetch(
            "SELECT left(statement, 40) AS statement, generic_plans, custom_plans FROM pg_prepared_statements"
            " WHERE statement LIKE '-- append%'"
        )
    assert {row["statement"].split(":")[0] for row in rows} == {"-- append", "-- append_lookup"}
    for row in rows:
        assert row["custom_plans"] <= CUSTOM_PLANS_MAX, dict(row)
