"""consentTrend over the schema: its fields, its scope, ids as refs, and its limit."""

from projections.trends import CONSENT_TREND
from tests.projections.conftest import follow
from tests.schema.conftest import Asker

TREND = """query($profile: String, $purpose: String, $from: DateTime!, $to: DateTime!) {
  consentTrend(profile: $profile, purpose: $purpose, from: $from, to: $to) { day optedIn optedOut reset }
}"""
DAYS = {"from": "2026-01-31T00:00:00Z", "to": "2026-02-01T00:00:00Z"}


async def test_counts_per_day(ask: Asker) -> None:
    await ask.record("ada@example.org", "OPTED_IN", effectiveAt="2026-01-31T23:59:59Z")
    await ask.record("grace@example.org", "OPTED_OUT", effectiveAt="2026-02-01T00:00:00Z")
    await follow(ask.tenant, CONSENT_TREND)
    found = await ask.data('{ purpose(ref: "commercial") { id } complianceProfile(ref: "default") { id } }')
    expected = [
        {"day": "2026-01-31", "optedIn": 1, "optedOut": 0, "reset": 0},
        {"day": "2026-02-01", "optedIn": 0, "optedOut": 1, "reset": 0},
    ]
    refs = {"purpose": found["purpose"]["id"], "profile": found["complianceProfile"]["id"]}
    for variables in ({}, {"purpose": "commercial"}, {"profile": "default"}, refs):
        assert (await ask.data(TREND, **DAYS, **variables))["consentTrend"] == expected


async def test_it_needs_the_scope_read(ask: Asker) -> None:
    assert await ask.with_scopes("check", "audit").forbidden(TREND, **DAYS) == "read"


async def test_more_than_400_days_are_over_the_limit(ask: Asker) -> None:
    limit = await ask.over_limit(TREND, **{"from": "2025-01-01T00:00:00Z", "to": "2026-02-05T00:00:00Z"})
    assert (limit.allowed, limit.given) == (400, 401)


async def test_what_is_not_there_is_not_found(ask: Asker) -> None:
    refusal = await ask.refused(TREND, **DAYS, profile="nobody")
    assert (refusal.code, refusal.path) == ("NOT_FOUND", ("profile",))
