"""The log is JSON lines with nothing personal and nothing secret in them, whatever is thrown at it."""

import io
import json
import logging
from dataclasses import dataclass

import pytest
from httpx import AsyncClient
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from web.request_observer import RequestObserver, RequestRecord
from web.structured_log import JsonLines, redact

SECRET = "ck_1_0123456789ab_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789_-abcde"
PERSONAL = ["ann@example.com", "Änn.Ö@bücher.example", "+45 12 34 56 78", "+4512345678", SECRET]


@pytest.fixture
def lines() -> tuple[logging.Logger, io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("consentry.test")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    return logger, stream


@pytest.mark.parametrize("personal", PERSONAL)
@pytest.mark.parametrize("form", ["{}", "a {} b", "<{}>", "address='{}'", "to={},", '{{"a":"{}"}}'])
def test_what_looks_personal_or_secret_does_not_pass(personal: str, form: str) -> None:
    assert personal not in redact(form.format(personal))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Authorization: Bearer abc.def", "abc"),
        ("postgresql://joe:pw123@db.example/x", "pw123"),
        ("GET /u/tok-123_x?y", "tok-123"),
    ],
)
def test_credentials_in_headers_urls_and_links_do_not_pass(text: str, kept: str) -> None:
    assert kept not in redact(text)


_PIECES = st.sampled_from(
    ["ck_1_0a_x", "c\u212a_1_0a_x", "CK_", "bearer ", "Bearer x", "://a:b@", "/p/", "/U/t", "@", "+", "1234567"]
)


@given(st.dictionaries(st.sampled_from("abc"), st.lists(_PIECES | st.text(max_size=3), max_size=8).map("".join)))
def test_a_line_is_left_as_it_is_only_where_there_is_nothing_to_find(fields: dict[str, str]) -> None:
    record = logging.LogRecord("consentry.test", logging.INFO, __file__, 1, "said", None, None)
    record.fields = fields
    line = json.loads(JsonLines().format(record))
    assert {name: line[name] for name in fields} == {name: redact(text) for name, text in fields.items()}


@dataclass(frozen=True)
class _Person:
    name: str


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("Zoë", "Zoë"),
        ("\ud800 alone", "\ud800 alone"),
        (2**70, 2**70),
        ({1: ["a", None]}, {"1": ["a", None]}),
        (_Person("Zoe"), "_Person"),
        ({"who": [_Person("Zoe")]}, {"who": ["_Person"]}),
    ],
)
def test_a_line_is_ascii_and_tells_what_is_no_json_by_its_type(
    lines: tuple[logging.Logger, io.StringIO], field: object, told: object
) -> None:
    logger, stream = lines
    logger.info("said", extra={"fields": {"field": field}})
    assert stream.getvalue().isascii()
    assert json.loads(stream.getvalue())["field"] == told


def test_a_long_field_is_cut(lines: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = lines
    logger.info("said", extra={"fields": {"a": "x" * 5_000}})
    assert json.loads(stream.getvalue())["a"] == "x" * 2_000


def test_a_line_is_json_with_its_fields(lines: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = lines
    logger.info("imported", extra={"fields": {"rows": 3, "who": "ann@example.com", "more": ["+4512345678"]}})
    line = json.loads(stream.getvalue())
    assert line["event"] == "imported"
    assert line["rows"] == 3
    assert line["level"] == "info"
    assert line["time"].endswith("Z")
    assert "ann" not in stream.getvalue()
    assert "12345678" not in stream.getvalue()


def test_of_an_exception_the_log_has_type_and_place_and_never_its_text(
    lines: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, stream = lines
    try:
        try:
            raise KeyError("device-token-of-ann")
        except KeyError as error:
            raise ValueError("the address device-token-of-ann") from error
    except ValueError:
        logger.exception("unexpected")
    line = json.loads(stream.getvalue())
    assert [entry["type"] for entry in line["exception"]] == ["builtins.ValueError", "builtins.KeyError"]
    assert "test_structured_log.py" in line["exception"][0]["frames"][0]
    assert "device-token" not in stream.getvalue()


def test_a_long_hostile_text_is_dealt_with_quickly() -> None:
    assert len(redact("a" * 1_000_000)) <= 2_000


async def test_a_request_leaves_one_line_without_what_it_asked(
    client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = {"address": "ann@example.com", "token": "opaque-push-token"}
    await client.post(
        "/graphql?address=ann@example.com",
        json={"query": "query($n: String) { hello(name: $n) }", "variables": {"n": secrets["address"]}},
        headers={"authorization": f"Bearer {SECRET}"},
    )
    await client.get(f"/u/{secrets['token']}")
    await client.post("/graphql", json={"query": '{ maybe(fail: "bug") }'})
    formatted = [JsonLines().format(record) for record in caplog.records if record.name.startswith("consentry")]
    access = [line for line in map(json.loads, formatted) if line["event"] == "request"]
    assert [(line["method"], line["route"], line["status"]) for line in access] == [
        ("POST", "/graphql", 200),
        ("GET", "(none)", 404),
        ("POST", "/graphql", 200),
    ]
    assert access[0]["operation"] == "query"
    assert access[0]["milliseconds"] >= 0
    for secret in (*secrets.values(), SECRET, "ann"):
        assert not any(secret in line for line in formatted)


@pytest.mark.parametrize(("message", "status"), [("http.disconnect", 499), ("http.request", 500)])
async def test_a_client_that_left_before_an_answer_is_no_failure_of_ours(message: str, status: int) -> None:
    records: list[RequestRecord] = []

    async def unanswered(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    async def receive() -> Message:
        return {"type": message}

    async def send(_: Message) -> None:
        raise AssertionError("nothing is sent")

    scope: Scope = {"type": "http", "method": "POST", "path": "/import/ndjson", "headers": []}
    await RequestObserver(unanswered, observers=[records.append])(scope, receive, send)
    assert [record.status for record in records] == [status]
