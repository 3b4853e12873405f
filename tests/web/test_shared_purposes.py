"""One opt-out is honoured by every application and profile that shares the purpose, and not by one that has its own."""

from urllib.parse import urlsplit

import pytest
from units import App, app_of

from ledger.assembly import Tenant

ADA = "ada@example.org"


@pytest.fixture
async def shop(tenant: Tenant) -> App:
    """The first application, which sets the tenant up: `news` shares the default profile's purposes, `events` has its own."""
    shop = await app_of(tenant, "shop", "check", "write", "admin", "read")
    await shop.data(
        """mutation {
          news: createComplianceProfile(input: {key: "news", name: "News", sharePurposesOf: "default"}) { errors { code } }
          events: createComplianceProfile(input: {key: "events", name: "Events"}) { errors { code } }
          createTopic(input: {key: "deals", name: "Deals", purpose: "commercial"}) { errors { code } }
        }"""
    )
    return shop


@pytest.fixture
async def mailer(tenant: Tenant) -> App:
    """The second application, with a key of its own."""
    return await app_of(tenant, "mailer", "check", "write", "read")


async def test_previously_captured_consent_is_used_tracking_purpose_included(shop: App) -> None:
    profiles = await shop.data(
        """{ news: complianceProfile(ref: "news") { purposes { key } trackingPurpose { key } }
             events: complianceProfile(ref: "events") { purposes { key } trackingPurpose { key } }
             purpose(ref: "tracking") { profiles { key } } }"""
    )
    assert [purpose["key"] for purpose in profiles["news"]["purposes"]] == ["commercial", "transactional", "tracking"]
    assert profiles["news"]["trackingPurpose"] == {"key": "tracking"}
    assert profiles["events"]["trackingPurpose"] == {"key": "events-tracking"}
    assert profiles["purpose"]["profiles"] == [{"key": "default"}, {"key": "news"}]


async def test_an_opt_out_at_one_application_is_honoured_by_the_other_under_every_sharing_profile(
    shop: App, mailer: App
) -> None:
    for profile, purpose in (("default", "commercial"), ("news", "commercial"), ("events", "events-commercial")):
        assert (await mailer.check(ADA, purpose, profile))["allowed"]
    assert (await shop.record(ADA, "OPTED_OUT", "commercial"))["errors"] == []
    for app in (shop, mailer):
        for profile in ("default", "news"):
            decision = await app.check(ADA, "commercial", profile)
            assert not decision["allowed"]
            assert decision["reasons"][0]["code"] == "OPTED_OUT"
            assert not (await app.check(ADA, "commercial", profile, topic="deals"))["allowed"]
        assert (await app.check(ADA, "events-commercial", "events"))["allowed"]


async def test_an_opt_out_of_tracking_is_shared_too_and_a_profiles_own_is_not(shop: App, mailer: App) -> None:
    await mailer.record(ADA, "OPTED_OUT", "tracking")
    for app in (shop, mailer):
        assert not (await app.check(ADA, "commercial", "default"))["trackingAllowed"]
        assert not (await app.check(ADA, "commercial", "news"))["trackingAllowed"]
        assert (await app.check(ADA, "events-commercial", "events"))["trackingAllowed"]
    await mailer.record(ADA, "OPTED_OUT", "events-tracking")
    assert not (await shop.check(ADA, "events-commercial", "events"))["trackingAllowed"]


async def test_a_purpose_of_ones_own_is_no_way_around_the_shared_one_and_the_other_way_round(
    shop: App, mailer: App
) -> None:
    await shop.record(ADA, "OPTED_OUT", "events-commercial")
    assert not (await mailer.check(ADA, "events-commercial", "events"))["allowed"]
    assert (await mailer.check(ADA, "commercial", "default"))["allowed"]
    assert (await mailer.check(ADA, "commercial", "news"))["allowed"]
    refused = await mailer.answer(
        """{ checkConsent(input: {address: "ada@example.org", profile: "events", purpose: "commercial"}) { allowed } }"""
    )
    assert refused["data"] is None


async def test_one_click_in_a_message_of_one_application_stops_the_messages_of_the_other(
    shop: App, mailer: App
) -> None:
    answered = await mailer.data(
        """{ checkConsent(input: {address: "ada@example.org", profile: "news", purpose: "commercial"}) {
             allowed unsubscribe { oneClickUrl } } }"""
    )
    path = urlsplit(answered["checkConsent"]["unsubscribe"]["oneClickUrl"]).path
    response = await mailer.client.post(path, data={"List-Unsubscribe": "One-Click"})
    assert response.status_code == 200
    assert not (await shop.check(ADA, "commercial", "default"))["allowed"]
    assert not (await mailer.check(ADA, "commercial", "news"))["allowed"]
    assert (await shop.check(ADA, "events-commercial", "events"))["allowed"]


async def test_enforcement_is_the_purposes_so_a_change_touches_every_profile_that_shares_it(
    shop: App, mailer: App
) -> None:
    await shop.data(
        """mutation { updatePurpose(input: {ref: "commercial", enforcement: [{channel: EMAIL, model: RESTRICTIVE}]}) {
             errors { code } } }"""
    )
    assert not (await mailer.check(ADA, "commercial", "news"))["allowed"]
    assert (await mailer.check(ADA, "events-commercial", "events"))["allowed"]
