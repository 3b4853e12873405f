"""What comes in over HTTP: as providers post it, by whom it may be posted, and posted in wrong ways."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlencode

import pytest
from httpx import AsyncClient, Response
from starlette.applications import Starlette
from starlette.middleware import Middleware
from toy import asking

from eventstore import read
from eventstore.database import StoreUnavailable
from ledger.api_keys import SCOPES, create_key
from ledger.assembly import Caller, Ledger, Tenant
from ledger.catalogue import create_profile
from ledger.flood_limit import FloodLimit
from web import inbound
from web.body_limit import BodyLimit
from web.inbound import SMS_BYTES_MAX, inbound_routes
from web.request_observer import RequestObserver
from web.structured_log import log_request

NUMBER = "+4989765432"
FORM = "application/x-www-form-urlencoded"
MAIL = b"From: ada@example.org\r\nSubject: unsubscribe\r\nMessage-ID: <1@example.org>\r\n\r\n"


@dataclass
class Inbound:
    client: AsyncClient
    tenant: Tenant
    key: str

    async def post(self, path: str, content: bytes, content_type: str, key: str | None = None) -> Response:
        return await self.client.post(
            f"/inbound/{path}",
            content=content,
            headers={"authorization": f"Bearer {key or self.key}", "content-type": content_type},
        )

    async def sms(self, **said: object) -> Response:
        return await self.post("sms", json.dumps(said).encode(), "application/json")

    async def position(self) -> int:
        async with self.tenant.ledger.connection() as connection:
            return (await read.head(connection, self.tenant.id)).size


@pytest.fixture
async def post(ledger: Ledger, tenant: Tenant) -> AsyncIterator[Inbound]:
    app = Starlette(
        routes=inbound_routes(),
        middleware=[Middleware(RequestObserver, observers=(log_request,)), Middleware(BodyLimit)],
    )
    app.state.ledger = ledger
    async with asking(app) as client:
        yield Inbound(client, tenant, await create_key(tenant, "webhook", ["write"]))


async def test_a_text_message_as_json(post: Inbound) -> None:
    size = await post.position()
    response = await post.sms(
        **{"from": NUMBER, "text": "stop", "messageId": "SM1", "locale": "fr", "profile": "default"}
    )
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    said = response.json()
    assert said.pop("reply").endswith("Répondez START pour changer cela.")
    assert said == {"kind": "KEYWORD", "keyword": "STOP", "known": False, "recorded": 1, "positions": [size]}
    again = (await post.sms(**{"from": NUMBER, "text": "stop", "messageId": "SM1", "locale": "fr"})).json()
    assert (again["recorded"], again["positions"], again["known"]) == (0, [size], True)
    late = await post.sms(**{"from": NUMBER, "text": "START", "receivedAt": "2020-01-01T00:00:00Z"})
    assert (late.status_code, late.json()["recorded"]) == (200, 1)


async def test_a_text_message_as_providers_post_it(post: Inbound) -> None:
    form = {"From": NUMBER, "Body": "Arrêt", "MessageSid": "SM1", "To": "+49301", "NumMedia": "0", "ToCity": ""}
    response = await post.post("sms", urlencode(form).encode(), f"{FORM}; charset=UTF-8")
    assert (response.status_code, response.json()["keyword"], response.json()["recorded"]) == (200, "STOP", 1)
    empty = await post.post("sms", urlencode({**form, "Body": ""}).encode(), FORM)
    assert (empty.status_code, empty.json()["kind"], empty.json()["recorded"]) == (200, "IGNORED", 0)
    assert "why" in empty.json()


@pytest.mark.parametrize("content_type", ["message/rfc822", "application/octet-stream", "Message/RFC822; x=y"])
async def test_a_mail_as_it_came(post: Inbound, content_type: str) -> None:
    size = await post.position()
    said = (await post.post("email", MAIL, content_type)).json()
    assert said == {"kind": "UNSUBSCRIBE", "known": False, "recorded": 1, "positions": [size]}
    assert (await post.post("email", MAIL, content_type)).json()["recorded"] == 0
    other = (await post.post("email", b"From: ada@example.org\n\nHello", content_type)).json()
    assert (other["kind"], other["recorded"], other["positions"]) == ("IGNORED", 0, [])
    assert other["why"].endswith("nothing was recorded")


async def refused(post: Inbound, response: Response, status: int, code: str, before: int) -> str:
    assert response.status_code == status
    [error] = response.json()["errors"]
    assert error["extensions"]["code"] == code
    assert await post.position() == before
    return error["message"]


async def test_only_a_key_with_the_scope_write_posts(post: Inbound) -> None:
    without = await create_key(post.tenant, "other", [scope for scope in SCOPES if scope != "write"])
    size = await post.position()
    for path, content, content_type in (
        ("sms", json.dumps({"from": NUMBER, "text": "STOP"}).encode(), "application/json"),
        ("email", MAIL, "message/rfc822"),
    ):
        response = await post.post(path, content, content_type, without)
        message = await refused(post, response, 403, "FORBIDDEN", size)
        assert "write" in message
        assert response.json()["errors"][0]["extensions"]["scope"] == "write"
        response = await post.post(path, content, content_type, "nobody")
        await refused(post, response, 401, "UNAUTHENTICATED", size)
        assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        anonymous = await post.client.post(f"/inbound/{path}", content=content, headers={"content-type": content_type})
        await refused(post, anonymous, 401, "UNAUTHENTICATED", size)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"null", b"[]", b'"STOP"', b"{", b"\xff", b"[" * 60_000, b"{}", b'{"from": "+4989765432"}', b'{"text": "STOP"}',
        b'{"from": "+4989765432", "text": "STOP", "text": "START"}', b'{"from": 4989765432, "text": "STOP"}',
        b'{"from": "+4989765432", "text": ["STOP"]}', b'{"from": "+4989765432", "text": "STOP", "tenant": "x"}',
        b'{"from": "+4989765432", "text": "START", "receivedAt": "yesterday"}',
        b'{"from": "+4989765432", "text": "START", "receivedAt": "2999-01-01T00:00:00Z"}',
        b'{"from": "030 1", "text": "STOP"}', b'{"from": "", "text": "STOP"}', b'{"from": "\\ud800", "text": "STOP"}',
        b'{"from": "+4989765432", "text": "START", "messageId": "\\u0000"}',
        b'{"from": "+4989765432", "text": "START", "locale": "' + b"x" * 100 + b'"}', b'{"from": null, "text": "STOP"}',
    ],
)  # fmt: skip
async def test_what_is_no_text_message_is_refused_in_words(post: Inbound, content: bytes) -> None:
    size = await post.position()
    response = await post.post("sms", content, "application/json")
    await refused(post, response, 400, "BAD_USER_INPUT", size)
    assert "4989" not in response.text


@pytest.mark.parametrize(
    "content",
    [
        b"", b"From=%2B4989765432", b"Body=STOP", b"From=%2B4989765432&Body=STOP&Body=START", b"From=%2B4989765432&Body=%ff",
        b"\xff", b"From=%2B4989765432&Body=STOP" + b"&a=b" * 300, b"From&Body",
    ],
)  # fmt: skip
async def test_what_is_no_form_of_a_provider_is_refused_in_words(post: Inbound, content: bytes) -> None:
    size = await post.position()
    await refused(post, await post.post("sms", content, FORM), 400, "BAD_USER_INPUT", size)


@pytest.mark.parametrize(
    ("content", "left_out"),
    [
        (b'"receivedAt": "yesterday"', ["receivedAt"]), (b'"receivedAt": 1780315200', ["receivedAt"]),
        (b'"receivedAt": "2999-01-01T00:00:00Z"', ["receivedAt"]), (b'"receivedAt": "2026-01-01T00:00:00"', ["receivedAt"]),
        (b'"messageId": "\\u0000"', ["messageId"]),
        (b'"locale": ' + b"[" * 900 + b"]" * 900, []), (b'"messageId": 17', []), (b'"locale": ["de"]', []),
        (b'"locale": "\\u0007", "messageId": {}, "receivedAt": ""', ["locale", "receivedAt"]),
        (b'"locale": "' + b"x" * 100 + b'"', ["locale"]), (b'"locale": null', []),
    ],
)  # fmt: skip
async def test_no_field_beside_its_words_refuses_a_stop(post: Inbound, content: bytes, left_out: list[str]) -> None:
    response = await post.post("sms", b'{"from": "+4989765432", "text": "STOP", ' + content + b"}", "application/json")
    assert (response.status_code, response.json()["recorded"]) == (200, 1)
    assert response.json().get("leftOut", []) == left_out


@pytest.mark.parametrize(
    "content", [b"From=whatsapp:%2B4989765432&Body=STOP", b"From=%2B4989765432&Body=STOP&ToCity=%ff\xff&MessageSid=%ff"]
)
async def test_no_field_of_a_providers_form_refuses_a_stop(post: Inbound, content: bytes) -> None:
    response = await post.post("sms", content, FORM)
    assert (response.status_code, response.json()["recorded"]) == (200, 1)


async def test_a_profile_that_is_not_there_is_told(post: Inbound) -> None:
    size = await post.position()
    response = await post.sms(**{"from": NUMBER, "text": "STOP", "profile": "nowhere"})
    await refused(post, response, 400, "NOT_FOUND", size)


async def test_another_content_type_is_refused(post: Inbound) -> None:
    size = await post.position()
    for path, content, allowed in (("sms", b"STOP", "application/json"), ("email", MAIL, "message/rfc822")):
        for content_type in ("text/plain", "multipart/form-data; boundary=x", "text/html", "", "application"):
            response = await post.post(path, content, content_type)
            assert allowed in await refused(post, response, 415, "BAD_USER_INPUT", size)


async def test_a_body_that_is_too_big_is_refused(post: Inbound) -> None:
    size = await post.position()
    for path, content_type, bytes_max in (
        ("sms", "application/json", SMS_BYTES_MAX),
        ("email", "message/rfc822", 1024 * 1024),
        ("email", "message/rfc822", 8 * 1024 * 1024),
    ):
        response = await post.post(path, b"x" * (bytes_max + 1), content_type)
        await refused(post, response, 413, "LIMIT_EXCEEDED", size)
        assert response.headers["connection"] == "close"


@pytest.mark.parametrize("content", [b"", b"\x00" * 1000, b"Content-Type: multipart/report\n\nx"])
async def test_a_mail_that_cannot_be_read_is_refused_in_words(post: Inbound, content: bytes) -> None:
    size = await post.position()
    message = await refused(post, await post.post("email", content, "message/rfc822"), 400, "BAD_USER_INPUT", size)
    assert message.startswith("the mail cannot be read: ")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
async def test_nothing_but_a_post_does_anything(post: Inbound, method: str) -> None:
    size = await post.position()
    for path in ("sms", "email"):
        response = await post.client.request(
            method, f"/inbound/{path}", headers={"authorization": f"Bearer {post.key}"}
        )
        assert response.status_code == 405
    assert await post.position() == size


async def test_a_store_that_does_not_answer_is_told_and_sent_again(
    post: Inbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("connection to 10.0.0.1 lost")

    monkeypatch.setattr(inbound, "receive_sms", away)
    monkeypatch.setattr(inbound, "receive_email", away)
    for response in (
        await post.sms(**{"from": NUMBER, "text": "STOP"}),
        await post.post("email", MAIL, "message/rfc822"),
    ):
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert response.json()["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
        assert "10.0.0.1" not in response.text


async def test_what_is_not_expected_shows_nothing(post: Inbound, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ValueError(NUMBER)

    monkeypatch.setattr(inbound, "receive_sms", broken)
    response = await post.sms(**{"from": NUMBER, "text": "STOP"})
    assert response.status_code == 500
    assert NUMBER not in response.text


async def test_a_flood_is_told_to_wait_and_a_stop_is_not(post: Inbound, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post.tenant.ledger, "inbound_limit", FloodLimit(times=1, clock=lambda: 0.0))
    assert (await post.sms(**{"from": NUMBER, "text": "START"})).status_code == 200
    before = await post.position()
    limited = await post.sms(**{"from": NUMBER, "text": "START"})
    message = await refused(post, limited, 429, "LIMIT_EXCEEDED", before)
    assert (message.startswith("too often"), limited.headers["retry-after"]) == (True, "60")
    stopped = await post.sms(**{"from": NUMBER, "text": "STOP"})
    assert (stopped.status_code, stopped.json()["recorded"]) == (200, 1)


async def test_a_number_without_its_plus_is_the_same_number(post: Inbound) -> None:
    await post.sms(**{"from": NUMBER, "text": "STOP"})
    for text in (NUMBER.removeprefix("+"), f" {NUMBER.removeprefix('+')} "):
        assert (await post.sms(**{"from": text, "text": "STOP"})).json()["known"] is True
    for sender in (NUMBER.removeprefix("+"), NUMBER):
        # The second is not encoded as a form is: its + stands for a blank.
        said = (await post.post("sms", f"From={sender}&Body=STOP".encode(), FORM)).json()
        assert (said["known"], said["recorded"]) == (True, 1)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({"from": "12345"}, "from"), ({"from": "089765432"}, "from"), ({"from": ""}, "from"), ({"from": "Acme"}, "from"),
        ({"receivedAt": "yesterday"}, "receivedAt"), ({"receivedAt": "2999-01-01T00:00:00Z"}, "receivedAt"),
        ({"messageId": "m" * 5_000}, "messageId"), ({"profile": "nobody"}, "profile"),
    ],
)  # fmt: skip
async def test_an_error_names_the_field_as_it_was_given(post: Inbound, said: dict[str, str], name: str) -> None:
    size = await post.position()
    response = await post.sms(**{"from": NUMBER, "text": "START", **said})
    assert response.status_code == 400
    [error] = response.json()["errors"]
    assert error["extensions"]["path"] == [name]
    assert "effectiveAt" not in error["message"]
    assert await post.position() == size


async def test_an_error_of_a_form_names_the_field_of_the_form(post: Inbound) -> None:
    for form in ({"From": "12", "Body": "STOP"}, {"Body": "STOP"}):
        response = await post.post("sms", urlencode(form).encode(), FORM)
        assert response.status_code == 400
        assert response.json()["errors"][0]["extensions"]["path"] == ["From"]


async def test_the_profile_and_the_locale_may_be_in_the_query(post: Inbound) -> None:
    await create_profile(post.tenant, Caller("tests", frozenset(SCOPES)), key="brand", name="Brand")
    form = urlencode({"From": NUMBER, "Body": "STOP"}).encode()
    said = (await post.post("sms?profile=brand&locale=de", form, FORM)).json()
    assert said["recorded"] == 1
    assert said["reply"].startswith("Brand: Diese Nummer")
    mail = (await post.post("email?profile=brand", MAIL, "message/rfc822")).json()
    assert mail["recorded"] == 1
    assert (await post.post("email?profile=default", MAIL.replace(b"<1@", b"<2@"), "message/rfc822")).json()[
        "recorded"
    ] == 1


@pytest.mark.parametrize(
    "path",
    ["email?profil=brand", "email?profile=default&profile=default", "email?locale=de", "sms?from=1", "sms?profile=a&profile=b",
     "email?profile=nobody", "sms?profile=nobody", "sms?profile=default"],
)  # fmt: skip
async def test_a_query_that_is_misspelt_doubled_or_contradicted_is_refused(post: Inbound, path: str) -> None:
    size = await post.position()
    sms = json.dumps(
        {"from": NUMBER, "text": "STOP", **({"profile": "x"} if path == "sms?profile=default" else {})}
    ).encode()
    content, kind = (MAIL, "message/rfc822") if path.startswith("email") else (sms, "application/json")
    response = await post.post(path, content, kind)
    assert response.status_code == 400
    assert response.json()["errors"][0]["extensions"]["path"] in (["query"], ["profile"])
    assert await post.position() == size
