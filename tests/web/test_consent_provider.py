"""The contract of an external consent provider: asked as Dynamics asks, and asked in wrong ways; what fails is never a yes."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from httpx import AsyncClient, Response
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route
from toy import asking

from domain.addresses import Channel
from domain.consent import ConsentValue
from eventstore.database import StoreUnavailable
from ledger import erasure
from ledger.api_keys import SCOPES, create_key
from ledger.assembly import Caller, Ledger, Tenant
from ledger.catalogue import create_topic, import_catalogue, update_purpose
from ledger.check import Question, check
from ledger.record import Capture, record_consent
from web import consent_provider, unsent
from web.body_limit import BodyLimit
from web.consent_provider import CHANNELS
from web.request_observer import RequestObserver
from web.structured_log import log_request
from web.unsent import Unsent

ADA = "Ada@Example.org "
BOB = "bob@example.org"
GUID = "0A000000-0000-4000-8000-00000000000F"
TOPIC_GUID = "0b000000-0000-4000-8000-00000000000f"
DOCUMENT = {
    "purposes": [{"key": "commercial", "guid": GUID.lower()}],
    "topics": [{"key": "news", "guid": TOPIC_GUID, "purpose": "commercial"}],
}


@dataclass
class Provider:
    client: AsyncClient
    tenant: Tenant
    key: str

    async def post(self, content: bytes, content_type: str = "application/json", key: str | None = None) -> Response:
        return await self.client.post(
            "/consent-provider",
            content=content,
            headers={"authorization": f"Bearer {key or self.key}", "content-type": content_type},
        )

    async def ask(self, **given: Any) -> Response:
        asked = {
            "contactpoints": [ADA],
            "purpose": "commercial",
            "channeltype": "email",
            "complianceprofile": "default",
        }
        asked = {name: value for name, value in {**asked, **given}.items() if value != "left out"}
        return await self.post(json.dumps(asked).encode())

    async def consents(self, **given: Any) -> list[dict[str, Any]]:
        response = await self.ask(**given)
        assert response.status_code == 200, response.text
        assert response.headers["cache-control"] == "no-store"
        return response.json()["consents"]


@pytest.fixture
async def provider(ledger: Ledger, tenant: Tenant, caller: Caller) -> AsyncIterator[Provider]:
    await import_catalogue(tenant, caller, DOCUMENT)
    app = Starlette(
        routes=[Route("/consent-provider", consent_provider.consent_provider, methods=["POST"])],
        middleware=[Middleware(RequestObserver, observers=(log_request,)), Middleware(BodyLimit)],
    )
    app.state.ledger = ledger
    app.state.unsent = Unsent()
    async with asking(app) as client:
        yield Provider(client, tenant, await create_key(tenant, "dynamics", ["check"]))


async def opt_out(tenant: Tenant, caller: Caller, address: str, **given: Any) -> None:
    capture = {"channel": Channel.EMAIL, "purpose": "commercial", "value": ConsentValue.OPTED_OUT, **given}
    await record_consent(tenant, caller, Capture(address=address, **capture))


def refused(response: Response, status: int, code: str) -> str:
    assert response.status_code == status, response.text
    assert "consentformessage" not in response.text
    assert "consents" not in response.json()
    [error] = response.json()["errors"]
    assert error["extensions"]["code"] == code
    return error["message"]


async def test_a_consent_for_each_contact_point_in_order_and_echoed(provider: Provider, caller: Caller) -> None:
    await opt_out(provider.tenant, caller, BOB)
    points = [ADA, "BOB@example.org", "none", "", "\ud800@x.org", ADA]
    consents = await provider.consents(contactpoints=points)
    assert [set(consent) for consent in consents] == [
        {"consentformessage", "contactpoint", "unsubscribeurl", "oneclickunsubscribeurl"}
    ] * 6
    assert [consent["contactpoint"] for consent in consents] == points
    assert [consent["consentformessage"] for consent in consents] == [True, False, False, False, False, True]
    assert {consent["unsubscribeurl"] for consent in consents} == {None}
    assert await provider.consents(contactpoints=[]) == []


async def test_urls_are_given_where_they_are_required(provider: Provider) -> None:
    [first, none] = await provider.consents(
        contactpoints=[ADA, "none"], unsubscribeurlrequired=True, oneclickunsubscribeurlrequired=True
    )
    base = provider.tenant.ledger.public_url
    assert first["unsubscribeurl"].startswith(f"{base}/p/")
    assert first["oneclickunsubscribeurl"].startswith(f"{base}/u/")
    assert (none["unsubscribeurl"], none["oneclickunsubscribeurl"]) == (None, None)
    [page] = await provider.consents(unsubscribeurlrequired=True, oneclickunsubscribeurlrequired=False)
    assert (page["unsubscribeurl"] is None, page["oneclickunsubscribeurl"]) == (False, None)
    [transactional] = await provider.consents(purpose="transactional", oneclickunsubscribeurlrequired=True)
    assert transactional["oneclickunsubscribeurl"] is None


@pytest.mark.parametrize("spell", [str, str.lower, str.upper, lambda guid: f"{{{guid}}}"])
async def test_refs_are_keys_or_guids_however_they_are_spelled(provider: Provider, caller: Caller, spell: Any) -> None:
    await opt_out(provider.tenant, caller, BOB, topic="news")
    given = {"contactpoints": [ADA, BOB], "purpose": spell(GUID), "topic": spell(TOPIC_GUID)}
    assert [consent["consentformessage"] for consent in await provider.consents(**given)] == [True, False]
    assert [consent["consentformessage"] for consent in await provider.consents(contactpoints=[BOB], topic=None)] == [
        True
    ]
    assert [consent["consentformessage"] for consent in await provider.consents(contactpoints=[BOB], topic="")] == [
        True
    ]


@pytest.mark.parametrize(
    ("field", "what"), [("complianceprofile", "compliance profile"), ("owningbusinessunit", "business unit")]
)
async def test_a_profile_or_unit_named_by_a_guid_is_told_that_it_has_none(
    provider: Provider, field: str, what: str
) -> None:
    said = refused(await provider.ask(**{field: f"{{{GUID}}}"}), 400, "NOT_FOUND")
    assert said == f"there is no {what} with this key or id; GUIDs are kept of purposes and topics alone"


@pytest.mark.parametrize(
    ("channel_type", "channel", "address"),
    [
        ("custom", Channel.CUSTOM, "A-1"),
        ("email", Channel.EMAIL, ADA),
        ("push", Channel.PUSH, "device-1"),
        ("sms", Channel.SMS, "+4989765432"),
        ("SMS", Channel.SMS, "+4989765432"),
    ],
)
async def test_each_channel_type_is_answered_as_check_answers(
    provider: Provider, caller: Caller, channel_type: str, channel: Channel, address: str
) -> None:
    assert set(CHANNELS.values()) == set(Channel) - {Channel.VOICE}
    for value in (None, ConsentValue.OPTED_IN, ConsentValue.OPTED_OUT):
        if value is not None:
            await opt_out(provider.tenant, caller, address, channel=channel, value=value)
        [answer] = await check(provider.tenant, Question(channel=channel, addresses=[address], purpose="commercial"))
        [consent] = await provider.consents(contactpoints=[address], channeltype=channel_type)
        assert consent["consentformessage"] is answer.decision.allowed
    assert consent["consentformessage"] is False


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"channeltype": "voice"}, "channeltype"),
        ({"channeltype": "fax"}, "channeltype"),
        ({"channeltype": "left out"}, "channeltype"),
        ({"channeltype": 1}, "channeltype"),
        ({"purpose": "left out"}, "purpose"),
        ({"purpose": None}, "purpose"),
        ({"purpose": ["commercial"]}, "purpose"),
        ({"complianceprofile": "left out"}, "complianceprofile"),
        ({"topic": 1}, "topic"),
        ({"contactpoints": "left out"}, "contactpoints"),
        ({"contactpoints": ADA}, "contactpoints"),
        ({"contactpoints": [ADA, None]}, "contactpoints"),
        ({"contactpoints": [ADA, {"value": ADA}]}, "contactpoints"),
        ({"unsubscribeurlrequired": "true"}, "unsubscribeurlrequired"),
        ({"oneclickunsubscribeurlrequired": 1}, "oneclickunsubscribeurlrequired"),
        ({"owningbusinessunit": 1}, "owningbusinessunit"),
        ({"Purpose": "commercial"}, None),
        ({"contactPoints": [ADA]}, None),
        ({"asof": "2020-01-01T00:00:00Z"}, None),
    ],
)
async def test_a_request_that_is_not_of_the_contract_is_refused_by_field(
    provider: Provider, given: dict[str, Any], field: str | None
) -> None:
    response = await provider.ask(**given)
    message = refused(response, 400, "BAD_USER_INPUT")
    if field is None:
        assert "the fields are contactpoints, purpose" in message
    else:
        assert response.json()["errors"][0]["extensions"]["path"][0] == field
        assert field in message


@pytest.mark.parametrize(
    "given",
    [
        {"purpose": "none"}, {"purpose": GUID.replace("F", "E")}, {"topic": "none"}, {"complianceprofile": "none"},
        {"owningbusinessunit": "none"}, {"owningbusinessunit": f"{{{GUID}}}"}, {"purpose": f"({GUID})"},
    ],
)  # fmt: skip
async def test_what_is_not_there_is_not_found(provider: Provider, given: dict[str, Any]) -> None:
    answered = await provider.ask(**given)
    refused(answered, 400, "NOT_FOUND")
    # By the names of the contract, not by ours.
    assert answered.json()["errors"][0]["extensions"]["path"] == list(given)


async def test_the_root_unit_is_one(provider: Provider) -> None:
    assert [consent["consentformessage"] for consent in await provider.consents(owningbusinessunit="root")] == [True]


async def test_what_is_foreign_or_inactive_is_refused(provider: Provider, caller: Caller) -> None:
    await create_topic(provider.tenant, caller, key="bills", name="Bills", purpose="transactional")
    refused(await provider.ask(topic="bills"), 400, "BAD_USER_INPUT")
    await update_purpose(provider.tenant, caller, ref="commercial", active=False)
    refused(await provider.ask(), 400, "INACTIVE")


async def test_10_000_contact_points_are_answered_and_one_more_is_over_the_limit(provider: Provider) -> None:
    points = [f"a{number}@example.org" for number in range(10_001)]
    response = await provider.ask(contactpoints=points)
    refused(response, 413, "LIMIT_EXCEEDED")
    extensions = response.json()["errors"][0]["extensions"]
    assert (extensions["limit"], extensions["allowed"], extensions["given"]) == ("contactpoints", 10_000, 10_001)
    consents = await provider.consents(contactpoints=points[:-1], unsubscribeurlrequired=True)
    assert [consent["contactpoint"] for consent in consents] == points[:-1]


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b"{", b"\xff", b"[" * 60_000, b'{"purpose": "a", "purpose": "b"}', b'{"topic": NaN}'],
)
async def test_what_is_no_json_object_is_refused(provider: Provider, content: bytes) -> None:
    refused(await provider.post(content), 400, "BAD_USER_INPUT")


async def test_another_content_type_or_method_is_refused(provider: Provider) -> None:
    refused(await provider.post(b"{}", "text/plain"), 415, "BAD_USER_INPUT")
    assert (await provider.client.get("/consent-provider")).status_code == 405


async def test_only_a_key_with_the_scope_check_asks(provider: Provider) -> None:
    without = await create_key(provider.tenant, "other", [scope for scope in SCOPES if scope != "check"])
    response = await provider.post(b"{}", key=without)
    refused(response, 403, "FORBIDDEN")
    assert response.json()["errors"][0]["extensions"]["scope"] == "check"
    refused(await provider.post(b"{}", key="nobody"), 401, "UNAUTHENTICATED")


async def test_an_erased_contact_point_is_never_a_yes(provider: Provider, caller: Caller) -> None:
    await opt_out(provider.tenant, caller, BOB, value=ConsentValue.OPTED_IN)
    await erasure.erase_contact_point(provider.tenant, caller, channel=Channel.EMAIL, address=BOB, reason="asked")
    assert [consent["consentformessage"] for consent in await provider.consents(contactpoints=[BOB])] == [False]


@pytest.mark.parametrize(("error", "status"), [(StoreUnavailable("10.0.0.1 lost"), 503), (ValueError(ADA), 500)])
async def test_a_store_that_is_away_and_what_is_not_expected_are_no_consent(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    async def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(consent_provider, "check_for_message", broken)
    response = await provider.ask()
    refused(response, status, "UNAVAILABLE" if status == 503 else "INTERNAL")
    assert "10.0.0.1" not in response.text
    assert "Ada" not in response.text
    assert response.headers.get("retry-after") == ("1" if status == 503 else None)


async def test_an_answer_for_which_there_is_no_room_is_unavailable(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [f"{number}@example.org" for number in range(2_000)]
    answered = await provider.ask(contactpoints=many)
    assert (answered.status_code, len(answered.json()["consents"])) == (200, 2_000)
    assert len(answered.content) > 100_000
    monkeypatch.setattr(unsent, "UNSENT_OF_ONE_BYTES_MAX", 100_000)
    assert (await provider.ask(contactpoints=many)).status_code == 503
    assert (await provider.ask()).status_code == 200
