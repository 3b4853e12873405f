"""A suppression that was brought in, as those who follow the log and those who export over HTTP meet it."""

import json
from base64 import b64encode
from typing import Any

from toy import asking

from domain.addresses import Channel
from domain.consent import ConsentValue
from ledger.api_keys import SCOPES, create_key
from ledger.assembly import Caller, Ledger, Tenant
from ledger.erasure import erase_contact_point
from ledger.record import Capture, record_consent
from ledger.tenants import create_tenant
from web.app import create_app

ADA = "ada@example.org"
EVENTS = """query { consentEvents(filter: {types: ["ContactPointSuppressed"]}, first: 10) { edges { cursor node {
 position id type recordedAt effectiveAt contactPoint { id channel address erasedAt } purpose { id key } topic { id key }
 value source reason application { id key } actor { kind id } data evidence entry leafHash } } } }"""


async def erased(tenant: Tenant, caller: Caller) -> None:
    said = Capture(channel=Channel.EMAIL, address=ADA, purpose="commercial", value=ConsentValue.OPTED_OUT)
    await record_consent(tenant, caller, said)
    await erase_contact_point(tenant, caller, channel=Channel.EMAIL, address=ADA, reason="asked")


async def test_over_http_it_goes_from_one_tenant_into_another_and_is_followed_there(
    ledger: Ledger, tenant: Tenant, caller: Caller
) -> None:
    await erased(tenant, caller)
    key = tenant.keys.blind_index
    other = await create_tenant(ledger, f"{tenant.key}-copy", "Copy", blind_index_key=key)
    stranger = await create_tenant(ledger, f"{tenant.key}-stranger", "Stranger")

    async with asking(create_app(ledger)) as client:

        async def headers(of: Tenant) -> dict[str, str]:
            return {"authorization": f"Bearer {await create_key(of, 'tests', SCOPES)}"}

        here, there = await headers(tenant), await headers(other)
        left = (await client.get("/export/ndjson?leftOut=true", headers=here)).json()["leftOut"]
        assert {name: count for name, count in left.items() if count} == {"erased": 1, "suppressionsByBlindIndex": 1}
        file = (await client.get("/export/ndjson", headers=here)).content
        assert key.hex().encode() not in file
        assert b64encode(key) not in file

        async def imported(by: dict[str, str]) -> dict[str, Any]:
            answer = await client.post("/import/ndjson", content=file, headers=by)
            return json.loads(answer.text.splitlines()[-1])

        assert (await imported(there))["recorded"] == 1
        assert (await imported(there))["unchanged"] == 1
        refused = await imported(await headers(stranger))
        assert (refused["refused"], refused["refusedOptOuts"]) == (1, 1)

        shown = (await client.post("/graphql", json={"query": EVENTS}, headers=there)).json()
        [edge] = shown["data"]["consentEvents"]["edges"]
        point = edge["node"]["contactPoint"]
        assert (point["channel"], point["address"]) == ("EMAIL", None)
        assert point["erasedAt"] == edge["node"]["recordedAt"]
        assert edge["node"]["data"]["suppression"] == {
            "commercial": True,
            "tracking": True,
            "levels": [{"purpose": "commercial"}],
        }
        lines = await client.get(
            f"/log/{other.key}/events.ndjson", params={"type": "ContactPointSuppressed"}, headers=there
        )
        [line] = map(json.loads, lines.text.splitlines())
        edge["node"]["contactPoint"] = {"id": point["id"]}
        assert line == {"cursor": edge["cursor"], **edge["node"]}
