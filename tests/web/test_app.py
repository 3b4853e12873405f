"""The application as it is served: the real schema on the real ledger, with what clients get wrong."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from graphql import get_introspection_query
from httpx import AsyncClient, Response
from toy import asking

from ledger.api_keys import SCOPES, create_key
from ledger.assembly import Ledger, Tenant
from web.app import create_app


@dataclass
class Asker:
    """A client with an API key."""

    client: AsyncClient
    key: str

    async def ask(self, query: str, **variables: object) -> Response:
        """Sent as bytes of ASCII JSON, so that any string of Python's goes, lone surrogates too."""
        return await self.client.post(
            "/graphql",
            content=json.dumps({"query": query, "variables": variables}),
            headers={"authorization": f"Bearer {self.key}", "content-type": "application/json"},
        )


@pytest.fixture
async def asker(ledger: Ledger, tenant: Tenant) -> AsyncIterator[Asker]:
    async with asking(create_app(ledger)) as client:
        yield Asker(client, await create_key(tenant, "shop", SCOPES))


RECORD = """mutation($input: RecordConsentInput!) {
  recordConsent(input: $input) { position errors { code message path } }
}"""
CHECK = "query($input: CheckConsentInput!) { checkConsent(input: $input) { address allowed position } }"


async def test_what_is_recorded_is_what_is_checked(asker: Asker) -> None:
    consent = {"address": "ann@example.com", "purpose": "commercial", "value": "OPTED_OUT"}
    recorded = (await asker.ask(RECORD, input=consent)).json()["data"]["recordConsent"]
    assert recorded["errors"] == []
    question = {"address": "ann@example.com", "purpose": "commercial", "minPosition": recorded["position"]}
    answer = (await asker.ask(CHECK, input=question)).json()["data"]["checkConsent"]
    assert answer == {"address": "ann@example.com", "allowed": False, "position": recorded["position"]}


@pytest.mark.parametrize("bad", ["a\x00b", "a\ud800b", "\udfff"])
@pytest.mark.parametrize(
    "field",
    ["address", "purpose", "topic", "reason", "reasonDescription", "legalBasis", "jurisdiction", "idempotencyKey"]
    + ["actor.id", "evidence.noticeText", "evidence.url", "evidence.attributes", "evidence.locale"],
)
async def test_nul_and_lone_surrogates_are_refused_by_the_field(asker: Asker, field: str, bad: str) -> None:
    consent: dict[str, object] = {"address": "ann@example.com", "purpose": "commercial", "value": "OPTED_IN"}
    name, _, inner = field.partition(".")
    if inner == "attributes":
        consent[name] = {inner: {"a": bad}}
    elif name == "actor":
        consent[name] = {"kind": "USER", inner: bad}
    else:
        consent[name] = {inner: bad} if inner else bad
    response = await asker.ask(RECORD, input=consent)
    body = response.json()
    assert response.status_code == 200
    if "errors" in body:
        assert {error["extensions"]["code"] for error in body["errors"]} <= {"BAD_USER_INPUT", "NOT_FOUND"}
    else:
        (error,) = body["data"]["recordConsent"]["errors"]
        assert error["path"][0] == name


@pytest.mark.parametrize("bad", ["a\x00b", "a\ud800b"])
async def test_questions_with_nul_or_lone_surrogates_are_the_callers_mistake(asker: Asker, bad: str) -> None:
    for field in ("address", "purpose", "topic", "profile"):
        question = {"address": "ann@example.com", "purpose": "commercial", field: bad}
        body = (await asker.ask(CHECK, input=question)).json()
        for error in body.get("errors", []):
            assert error["extensions"]["code"] in ("BAD_USER_INPUT", "NOT_FOUND")
        if field == "address":
            assert body["data"]["checkConsent"]["address"] == bad
            assert body["data"]["checkConsent"]["allowed"] is False
        else:
            assert "errors" in body
    for query in (
        "query($x: String!) { contactPoint(address: $x) { id } }",
        "query($x: String!) { purpose(ref: $x) { id } topic(ref: $x) { id } complianceProfile(ref: $x) { id } }",
        "query($x: String!) { consentEvents(filter: {application: $x, types: [$x], purpose: $x}) { totalCount } }",
        "query($x: String!) { consentEvents(after: $x) { totalCount } }",
    ):
        body = (await asker.ask(query, x=bad)).json()
        for error in body.get("errors", []):
            assert error["extensions"]["code"] in ("BAD_USER_INPUT", "NOT_FOUND")
    for query in ("query($x: ID!) { node(id: $x) { id } }", "query($x: ID!) { nodes(ids: [$x]) { id } }"):
        assert "INTERNAL" not in (await asker.ask(query, x=bad)).text


async def test_the_largest_batch_with_everything_about_each_decision_is_within_the_limits(asker: Asker) -> None:
    query = """query($input: CheckConsentsInput!) { checkConsents(input: $input) {
        address allowed trackingAllowed position decidedAt
        reasons { code message value enforcement purpose { key name type } topic { key name } }
    } }"""
    addresses = [f"a{number}@example.com" for number in range(10_000)]
    body = (await asker.ask(query, input={"addresses": addresses, "purpose": "commercial"})).json()
    assert [decision["address"] for decision in body["data"]["checkConsents"]] == addresses
    refused = (await asker.ask(query, input={"addresses": [*addresses, "b@c.de"], "purpose": "commercial"})).json()
    assert refused["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
    assert refused["errors"][0]["extensions"]["given"] == 10_001


async def test_introspection_is_for_those_with_a_key(asker: Asker) -> None:
    assert "errors" not in (await asker.ask(get_introspection_query())).json()
    asker.key = "ck_1_000000000000_" + "A" * 43
    assert (await asker.ask(get_introspection_query())).status_code == 401


async def test_a_key_without_the_scope_is_told_which_one_is_missing(asker: Asker, tenant: Tenant) -> None:
    asker.key = await create_key(tenant, "reader", ["read"])
    body = (await asker.ask(CHECK, input={"address": "ann@example.com", "purpose": "commercial"})).json()
    assert body["errors"][0]["extensions"] == {"code": "FORBIDDEN", "scope": "check"}
