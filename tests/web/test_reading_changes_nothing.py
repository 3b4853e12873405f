"""GET, HEAD and OPTIONS change no position, on any route that there is; and the examples in docs/recipients.md work."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route, WebSocketRoute
from toy import asking

from domain.addresses import Channel
from domain.catalogue import DoubleOptInMode
from eventstore import read
from ledger.api_keys import SCOPES, create_key
from ledger.assembly import Caller, Ledger, Tenant
from ledger.catalogue import update_profile
from ledger.double_opt_in import request_double_opt_in
from ledger.links import MessageLink, message_token
from ledger.page_previews import preview_url
from web.app import create_app

ADA = "ada@example.org"
DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "recipients.md").read_text("utf-8")


async def size(tenant: Tenant) -> int:
    async with tenant.ledger.connection() as connection:
        return (await read.head(connection, tenant.id)).size


async def tokens(tenant: Tenant, caller: Caller) -> list[str]:
    """A link of a message, one to confirm, and what is none."""
    await update_profile(tenant, caller, ref="default", double_opt_in=DoubleOptInMode.EVERY_SUBMISSION)
    requested = await request_double_opt_in(tenant, caller, channel=Channel.EMAIL, address=ADA, purpose="commercial")
    link = MessageLink(
        channel=Channel.EMAIL, address=ADA, profile="default", purpose="commercial", topic=None, message_id="m",
        made_on=tenant.ledger.clock().date(),
    )  # fmt: skip
    preview = (await preview_url(tenant, profile="default")).rpartition("/")[2]
    return [message_token(tenant, link), requested.token or "", preview, "none"]


async def test_no_route_changes_anything_when_it_is_read(ledger: Ledger, tenant: Tenant, caller: Caller) -> None:
    app = create_app(ledger)
    headers = {"authorization": f"Bearer {await create_key(tenant, 'scanner', SCOPES)}"}
    given = await tokens(tenant, caller)
    before = await size(tenant)
    read_paths: set[str] = set()
    async with asking(app) as client:
        for route in app.routes:
            if isinstance(route, WebSocketRoute):
                continue  # has no methods; the same path is asked as a Route
            assert isinstance(route, Route)
            for token in given:
                path = re.sub(r"\{tenant\}", tenant.key, route.path)
                path = re.sub(r"\{[^}]*\}", token, path)
                for query in ("", "?confirm=yes&List-Unsubscribe=One-Click", "?query={viewer{scopes}}"):
                    for method in ("GET", "HEAD", "OPTIONS"):
                        response = await client.request(method, path + query, headers=headers)
                        assert response.status_code < 500, (method, path)
                        assert "set-cookie" not in response.headers
            read_paths.add(route.path)
    assert {
        "/p/{token:path}",
        "/u/{token:path}",
        "/c/{token:path}",
        "/preview/{token:path}",
        "/inbound/sms",
        "/graphql",
    } <= read_paths
    assert await size(tenant) == before


async def test_the_examples_for_who_sends_messages_work(ledger: Ledger, tenant: Tenant, caller: Caller) -> None:
    key = await create_key(tenant, "sender", SCOPES)
    documents = re.findall(r"```graphql\n(.*?)```", DOCUMENT, re.DOTALL)
    assert len(documents) == 4
    answers: list[str] = []
    async with asking(create_app(ledger)) as client:
        headers = {"authorization": f"Bearer {key}"}
        for document in documents:
            response = await client.post("/graphql", json={"query": document}, headers=headers)
            assert "errors" not in response.json(), response.text
            assert '"errors":[{' not in response.text
            answers.append(response.text)
        [_, check, preview, _] = [json.loads(answer)["data"] for answer in answers]
        assert (await client.get(preview["preferenceCenterPreview"])).headers["content-language"] == "de"
        links = check["checkConsent"]["unsubscribe"]
        [program] = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
        names: dict[str, Any] = {}
        exec(compile(program, "docs/recipients.md", "exec"), names)  # noqa: S102 - our own page
        mail: bytes = names["message_with"](links, "news@acme.example", ADA, "Hello.")
        for header in links["headers"]:
            assert f"\r\n{header['name']}: {header['value']}\r\n".encode() in mail, "as it is, on one line"
        assert f"Your choices: {links['preferenceCenterUrl']}\r\n".encode() in mail
        body = re.search(r"/inbound/sms .*-d '(\{.*\})'", DOCUMENT)
        assert body is not None
        answer = await client.post("/inbound/sms", json=json.loads(body[1]), headers=headers)
        assert answer.json()["kind"] == "KEYWORD"
        assert answer.json()["recorded"] == 1
        [shown] = re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)
        said = answer.json()
        assert {**json.loads(shown), "positions": said["positions"]} == said
        posted = await client.post(
            "/inbound/email", content=mail, headers={**headers, "content-type": "message/rfc822"}
        )
        assert posted.json()["kind"] == "IGNORED", "a message of our own asks for nothing"


@pytest.mark.parametrize("path", ["/p/TOKEN", "/u/TOKEN", "/c/TOKEN", "/preview/TOKEN"])
def test_the_page_names_every_address(path: str) -> None:
    assert f"| `{path}` |" in DOCUMENT
