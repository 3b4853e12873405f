"""Two applications with keys of their own, asking over HTTP."""

from typing import Any

import httpx

from ledger.api_keys import create_key
from ledger.assembly import Tenant
from web.app import create_app

CHECK = """query ($input: CheckConsentInput!) { checkConsent(input: $input) {
  allowed trackingAllowed receipt reasons { code value purpose { key } event { id } }
} }"""
RECORD = """mutation ($input: RecordConsentInput!) {
  recordConsent(input: $input) { event { id contactPoint { id } } consent { value } errors { code path } }
}"""


class App:
    """An application with a key of its own."""

    def __init__(self, client: httpx.AsyncClient, secret: str) -> None:
        self.client = client
        self.headers = {"authorization": f"Bearer {secret}"}

    async def answer(self, document: str, **variables: Any) -> Any:
        """What a document leads to, errors included."""
        response = await self.client.post(
            "/graphql", json={"query": document, "variables": variables}, headers=self.headers
        )
        return response.json()

    async def data(self, document: str, **variables: Any) -> Any:
        """The data of a document that must not fail."""
        answered = await self.answer(document, **variables)
        assert "errors" not in answered, answered["errors"]
        return answered["data"]

    async def refused(self, document: str, **variables: Any) -> str:
        """The code of the error that a document must meet."""
        answered = await self.answer(document, **variables)
        return answered["errors"][0]["extensions"]["code"]

    async def check(self, address: str, purpose: str, profile: str = "default", **fields: Any) -> Any:
        """A decision."""
        asked = {"address": address, "purpose": purpose, "profile": profile, **fields}
        return (await self.data(CHECK, input=asked))["checkConsent"]

    async def record(self, address: str, value: str, purpose: str, **fields: Any) -> Any:
        """A capture; what its payload says."""
        given = {"address": address, "value": value, "purpose": purpose, **fields}
        return (await self.data(RECORD, input=given))["recordConsent"]


async def app_of(tenant: Tenant, application: str, *scopes: str, unit: str | None = None) -> App:
    """An application with a new key."""
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(tenant.ledger)), base_url="http://consentry.test"
    )
    return App(client, await create_key(tenant, application, scopes, unit=unit))
