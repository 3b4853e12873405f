"""POST /import and GET /export on a real server: streamed both ways, cut off, resumed, refused."""

import asyncio
import contextlib
import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.server import Server, consentry

HEADER = (
    "msdynmkt_contactpointvalue,msdynmkt_contactpointtype,msdynmkt_contactpointconsenttype,msdynmkt_purposeid,"
    "msdynmkt_topicid,msdynmkt_value,modifiedon"
)


def rows(start: int, end: int) -> bytes:
    return "".join(
        f"a{number}@example.org,Email,Purpose,commercial,,Opted {('In', 'Out')[number % 2]},2025-01-01T00:00:00Z\n"
        for number in range(start, end)
    ).encode()


# As much as Linux keeps between two processes, unless it is told to keep more: 4 MiB at whoever sends, 6 MiB at whoever reads.
ON_THE_WAY_BYTES_MAX = 10 * 1024 * 1024
FILE = HEADER.encode() + b"\n" + rows(0, 3_000)


@pytest.fixture(scope="module")
async def where(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that runs all the while: its URL, and the options that name its database."""
    at = ["--data-dir", str(tmp_path_factory.mktemp("imports"))]
    server = Server(*at, "--import-mib-max", "2")
    await server.start()
    yield server.url, at
    assert await server.stop() == 0


class Caller:
    """A tenant of its own, asked with a key."""

    def __init__(self, client: httpx.AsyncClient, tenant: str, at: list[str]) -> None:
        self.client = client
        self.tenant = tenant
        self.at = at

    async def send(self, path: str, content: Any, **headers: str) -> tuple[int, list[dict[str, Any]]]:
        response = await self.client.post(path, content=content, headers=headers)
        return response.status_code, [json.loads(line) for line in response.text.splitlines()]

    async def events(self) -> int:
        listed = await consentry("tenants", "list", *self.at)
        [line] = [line for line in listed.splitlines() if line.startswith(f"{self.tenant}\t")]
        return int(line.split("\t")[1].split()[0])


@pytest.fixture
async def caller(where: tuple[str, list[str]], request: pytest.FixtureRequest) -> AsyncIterator[Caller]:
    url, at = where
    key = f"t{abs(hash(request.node.name)) % 10**8}"
    await consentry("tenants", "create", key, "--name", "T", *at)
    scopes = getattr(request, "param", ("write", "read", "read:personal", "admin", "check"))
    options = [word for scope in scopes for word in ("--scope", scope)]
    secret = await consentry("keys", "create", "--tenant", key, "--application", "flow", *options, *at)
    async with httpx.AsyncClient(
        base_url=url, headers={"authorization": f"Bearer {secret.strip()}"}, timeout=30
    ) as client:
        yield Caller(client, key, at)


async def test_a_file_is_imported_and_its_last_line_has_the_totals(caller: Caller) -> None:
    bad = b"nobody,Email,Purpose,commercial,,Opted In,2025-01-01T00:00:00Z\n"
    status, lines = await caller.send("/import/contact-point-consents", HEADER.encode() + b"\n" + bad + rows(0, 10))
    assert status == 200
    assert lines[0] == {
        "row": 2,
        "outcome": "refused",
        "code": "INVALID_ADDRESS",
        "path": ["msdynmkt_contactpointvalue"],
        "message": lines[0]["message"],
    }
    assert "nobody" not in lines[0]["message"]
    assert lines[-1] == {"rows": 11, "recorded": 10, "unchanged": 0, "refused": 1, "events": 10}
    _, lines = await caller.send("/import/contact-point-consents", HEADER.encode() + b"\n" + rows(0, 10))
    assert lines[-1] == {"rows": 10, "recorded": 0, "unchanged": 10, "refused": 0, "events": 0}
    assert [line["outcome"] for line in lines[:10]] == ["unchanged"] * 10


async def test_a_refused_row_says_whether_it_may_be_an_opt_out(caller: Caller) -> None:
    no, yes = (f'{{"address": "none", "purpose": "commercial", "value": "OPTED_{value}"}}\n' for value in ("OUT", "IN"))
    _, [*told, totals] = await caller.send("/import/ndjson", f"{no}{yes}{{\n".encode())
    assert {line["row"]: line.get("optOut") for line in told if "row" in line} == {1: True, 2: None, 3: True}
    assert (totals["refused"], totals["refusedOptOuts"]) == (3, 2)


async def test_lines_come_while_the_file_is_still_being_sent(caller: Caller) -> None:
    """One connection, read and written at once: the rest of the file is sent once a line of the answer has come."""
    host, port = caller.client.base_url.host, caller.client.base_url.port
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(
        f"POST /import/contact-point-consents HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: chunked\r\n"
        f"authorization: {caller.client.headers['authorization']}\r\nconnection: close\r\n\r\n".encode()
    )
    first, second = FILE[:150_000], FILE[150_000:]
    writer.write(f"{len(first):x}\r\n".encode() + first + b"\r\n")
    seen = b""
    while b'"progress"' not in seen:
        seen += await asyncio.wait_for(reader.read(4096), 30)
    writer.write(f"{len(second):x}\r\n".encode() + second + b"\r\n0\r\n\r\n")
    seen += await asyncio.wait_for(reader.read(), 30)
    writer.close()
    assert b'{"rows": 3000, "recorded": 3000, "unchanged": 0, "refused": 0, "events": 3000}' in seen


async def test_a_client_that_reads_nothing_before_it_has_sent_all_is_served(caller: Caller) -> None:
    many = HEADER.encode() + b"\n" + b"x,y\n" * 120_000
    response = await caller.client.post("/import/contact-point-consents", content=many)
    assert (response.status_code, json.loads(response.text.splitlines()[-1])["refused"]) == (200, 120_000)
    assert len(response.content) > ON_THE_WAY_BYTES_MAX


class _CutOff(Exception):
    pass


async def cut_off(caller: Caller, path: str, events: int, key: str | None = None) -> None:
    """Send a part of the file, and break the connection once some of it is recorded."""

    async def part() -> AsyncIterator[bytes]:
        yield FILE[: len(FILE) * 2 // 3]
        while await caller.events() < events:
            pass
        raise _CutOff

    with contextlib.suppress(_CutOff, httpx.HTTPError):
        await caller.client.post(path, content=part(), headers={} if key is None else {"idempotency-key": key})


async def test_an_import_that_was_cut_off_goes_on_when_it_is_sent_again(caller: Caller) -> None:
    before = await caller.events()
    await cut_off(caller, "/import/contact-point-consents", before + 500)
    _, lines = await caller.send("/import/contact-point-consents", FILE)
    assert lines[-1]["recorded"] + lines[-1]["unchanged"] == 3_000
    assert lines[-1]["unchanged"] >= 500
    assert await caller.events() == before + 3_000


async def test_under_an_idempotency_key_a_resumed_import_is_told_as_one(caller: Caller) -> None:
    before = await caller.events()
    await cut_off(caller, "/import/contact-point-consents", before + 500, key="monday")
    whole = {"rows": 3_000, "recorded": 3_000, "unchanged": 0, "refused": 0, "events": 3_000}
    headers = {"idempotency-key": "monday"}
    for _ in range(2):
        response = await caller.client.post("/import/contact-point-consents", content=FILE, headers=headers)
        assert json.loads(response.text.splitlines()[-1]) == whole
    assert await caller.events() == before + 3_000
    _, lines = await caller.send("/import/contact-point-consents", FILE)
    assert lines[-1]["unchanged"] == 3_000


async def test_a_row_twice_in_a_file_is_told_alike_when_it_is_resumed(caller: Caller) -> None:
    content = HEADER.encode() + b"\n" + rows(0, 5) + rows(0, 5)
    for _ in range(2):
        response = await caller.client.post(
            "/import/contact-point-consents", content=content, headers={"idempotency-key": "twice"}
        )
        totals = json.loads(response.text.splitlines()[-1])
        assert totals == {"rows": 10, "recorded": 5, "unchanged": 5, "refused": 0, "events": 5}


async def test_another_file_or_place_under_the_same_key_is_a_conflict(caller: Caller) -> None:
    headers = {"idempotency-key": "k"}
    path = "/import/contact-point-consents"
    assert (await caller.client.post(path, content=FILE[:1000].rpartition(b"\n")[0], headers=headers)).is_success
    before = await caller.events()
    other = await caller.client.post(path, content=HEADER.encode() + b"\n" + rows(5_000, 5_010), headers=headers)
    assert (other.status_code, other.json()["errors"][0]["extensions"]["code"]) == (409, "CONFLICT")
    place = await caller.client.post("/import/ndjson", content=b"{}", headers=headers)
    assert place.status_code == 409
    assert await caller.events() == before


async def test_a_file_that_could_not_be_used_leaves_its_key_free(caller: Caller) -> None:
    headers = {"idempotency-key": "again"}
    path = "/import/contact-point-consents"
    bad = await caller.client.post(path, content=b"a,b\n1,2\n", headers=headers)
    assert (bad.status_code, "msdynmkt_contactpointvalue" in bad.text) == (400, True)
    assert (await caller.client.post(path, content=FILE[:1000].rpartition(b"\n")[0], headers=headers)).is_success


async def test_a_dry_run_over_http_records_nothing(caller: Caller) -> None:
    before = await caller.events()
    _, lines = await caller.send("/import/contact-point-consents?dryRun=true", FILE)
    assert (lines[-1]["recorded"], await caller.events()) == (3_000, before)


@pytest.mark.parametrize(
    "caller", [("write",), ("write", "read", "read:personal", "admin", "audit", "erase")], indirect=True
)
async def test_a_dry_run_needs_check_beside_write_and_recording_does_not(caller: Caller) -> None:
    path = "/import/subscription-list?purpose=commercial&value=OPTED_OUT"
    content = b"emailaddress1\nada@example.org\n"
    assert (await caller.send(path, content))[0] == 200
    before = await caller.events()
    for dry in (path, path.replace("OUT", "IN")):
        status, [told] = await caller.send(f"{dry}&dryRun=true", content)
        assert (status, told["errors"][0]["extensions"]) == (403, {"code": "FORBIDDEN", "scope": "check"})
    assert await caller.events() == before


@pytest.mark.parametrize("caller", [("admin",)], indirect=True)
async def test_a_dry_run_of_a_catalogue_needs_no_check(caller: Caller) -> None:
    assert (await caller.send("/import/catalogue?dryRun=true", b"{}"))[0] == 200


async def test_local_times_are_read_as_the_request_says_and_another_zone_under_its_key_is_a_conflict(
    caller: Caller,
) -> None:
    path = "/import/contact-point-consents"
    names = "Contact point,Channel,Consent type,Purpose,Consent status,Modified On"
    content = f"{names}\na@example.org,Email,Purpose,Commercial,Opted Out,3/5/2025 3:05 PM\n".encode()
    _, [told, *_, totals] = await caller.send(f"{path}?timeZone=Europe/Berlin", content)
    assert (told["path"], "dateFormat" in told["message"], totals["refusedOptOuts"]) == (["modifiedon"], True, 1)
    given = f"{path}?timeZone=Europe/Berlin&dateFormat=mdy12&profile=default"
    _, lines = await caller.send(given, content, **{"idempotency-key": "excel"})
    assert lines[-1] == {"rows": 1, "recorded": 1, "unchanged": 0, "refused": 0, "events": 1}
    exported = await caller.client.get("/export/contact-point-consents")
    assert "2025-03-05T14:05:59.999999Z" in exported.text
    status, _ = await caller.send(given.replace("Berlin", "Paris"), content, **{"idempotency-key": "excel"})
    assert status == 409


async def test_a_code_page_is_read_as_the_request_says_and_is_part_of_what_its_key_stands_for(caller: Caller) -> None:
    path = "/import/subscription-list?purpose=commercial&value=OPTED_OUT"
    content = "emailaddress1\nłukasz@example.org\n".encode("cp1250")
    _, [told, *_, totals] = await caller.send(path, content, **{"idempotency-key": "list"})
    assert (told["path"], told["optOut"], totals["refusedOptOuts"]) == (["emailaddress1"], True, 1)
    status, _ = await caller.send(f"{path}&encoding=windows-1250", content, **{"idempotency-key": "list"})
    assert status == 409
    _, lines = await caller.send(f"{path}&encoding=windows-1250", content, **{"idempotency-key": "list-2"})
    assert lines[-1] == {"rows": 1, "recorded": 1, "unchanged": 0, "refused": 0, "events": 1}
    assert "łukasz@example.org" in (await caller.client.get("/export/contact-point-consents")).text


@pytest.mark.parametrize(
    ("path", "content", "headers", "status", "says"),
    [
        ("/import/parquet", b"", {}, 404, "there is no such format"),
        ("/import/ndjson?colour=red", b"", {}, 400, "there is no such parameter"),
        ("/import/ndjson?purpose=commercial", b"", {}, 400, "does not take a purpose"),
        ("/import/subscription-list?purpose=commercial", b"", {}, 400, "which value"),
        ("/import/subscription-list?value=OPTED_IN", b"", {}, 400, "which purpose"),
        ("/import/subscription-list?purpose=nope&value=OPTED_IN", b"", {}, 400, "there is no purpose"),
        ("/import/subscription-list?purpose=commercial&value=maybe", b"", {}, 400, "value is one of"),
        ("/import/contacts?dryRun=perhaps", b"", {}, 400, "dryRun is true or false"),
        ("/import/contacts?profile=a&profile=b", b"", {}, 400, "profile is given twice"),
        ("/import/contacts?timeZone=Nowhere", b"", {}, 400, "no such time zone"),
        ("/import/leads?timeZone=UTC&dateFormat=ydm", b"", {}, 400, "no such date format"),
        ("/import/ndjson?timeZone=UTC", b"", {}, 400, "does not take a timeZone"),
        ("/import/contacts?encoding=klingon", b"", {}, 400, "no such encoding"),
        ("/import/ndjson?encoding=utf-8", b"", {}, 400, "does not take an encoding"),
        ("/import/contacts", b"", {}, 400, "the file is empty"),
        ("/import/contacts", b"\x1f\x8b\x08\x00", {}, 400, "compressed (gzip)"),
        ("/import/contacts", b"x", {"content-encoding": "gzip"}, 415, "compressed"),
        ("/import/contacts", b"x", {"content-type": "multipart/form-data; boundary=b"}, 415, "not as a form"),
        ("/import/contacts", b"x" * (2 * 1024 * 1024 + 1), {}, 413, "at most 2097152"),
        ("/import/catalogue", b"{", {}, 400, "not JSON"),
        ("/import/catalogue?purpose=commercial", b"{}", {}, 400, "dryRun and allowLooser alone"),
        ("/import/catalogue?allowLooser=perhaps", b"{}", {}, 400, "allowLooser is true or false"),
        ("/import/contacts?allowLooser=true", b"", {}, 400, "allowLooser is of a catalogue"),
    ],
)
async def test_what_cannot_be_imported_is_told_by_a_status_and_a_sentence(
    caller: Caller, path: str, content: bytes, headers: dict[str, str], status: int, says: str
) -> None:
    response = await caller.client.post(path, content=content, headers=headers)
    assert (response.status_code, says in response.text) == (status, True), response.text


async def test_a_file_that_goes_on_beyond_the_limit_ends_with_an_error_line(caller: Caller) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield HEADER.encode() + b"\n"
        for number in range(100):
            yield rows(number * 1_000, number * 1_000 + 1_000)

    try:
        response = await caller.client.post("/import/contact-point-consents", content=endless())
    except httpx.TransportError:
        return  # cut off while it was still sending
    assert json.loads(response.text.splitlines()[-1])["error"]["code"] == "LIMIT_EXCEEDED"


@pytest.mark.parametrize("caller", [("check", "audit", "erase")], indirect=True)
async def test_without_the_scopes_nothing_comes_in_or_goes_out(caller: Caller) -> None:
    for path, scope in (("contacts", "write"), ("catalogue", "admin")):
        response = await caller.client.post(f"/import/{path}", content=b"x")
        assert (response.status_code, response.json()["errors"][0]["extensions"]["scope"]) == (403, scope)
    for path in ("contact-point-consents", "ndjson", "catalogue"):
        assert (await caller.client.get(f"/export/{path}")).status_code == 403
    async with httpx.AsyncClient(base_url=caller.client.base_url) as nobody:
        assert (await nobody.post("/import/contacts", content=b"x")).status_code == 401
        assert (await nobody.get("/export/ndjson")).status_code == 401


@pytest.mark.parametrize("caller", [("read",)], indirect=True)
async def test_addresses_go_out_only_to_who_may_read_what_is_personal(caller: Caller) -> None:
    response = await caller.client.get("/export/ndjson")
    assert (response.status_code, response.json()["errors"][0]["extensions"]["scope"]) == (403, "read:personal")
    assert (await caller.client.get("/export/catalogue")).status_code == 200


async def test_what_went_out_over_http_comes_in_again(caller: Caller, tmp_path: Path) -> None:
    await caller.send("/import/contact-point-consents", FILE)
    out = await caller.client.get("/export/contact-point-consents")
    assert out.headers["content-type"] == "text/csv; charset=utf-8"
    assert len(list(csv.DictReader(io.StringIO(out.text)))) == 3_000
    lines = (await caller.client.get("/export/ndjson")).text.splitlines()
    assert len(lines) == 3_000
    catalogue = (await caller.client.get("/export/catalogue")).json()
    status, answer = await caller.send("/import/catalogue", json.dumps(catalogue).encode())
    assert (status, answer[-1]["recorded"], answer[-1]["unchanged"]) == (200, 0, 4)
    assert (await caller.client.get("/export/nothing")).status_code == 404


async def test_a_catalogue_makes_nothing_laxer_unless_the_request_says_so(caller: Caller) -> None:
    item = {"key": "commercial", "enforcement": {"EMAIL": "DISABLED"}}
    file = json.dumps({"overwrite": True, "purposes": [item]}).encode()
    setting = "purpose commercial: enforcement of EMAIL NON_RESTRICTIVE -> DISABLED"
    for query in ("", "?dryRun=true"):
        status, answer = await caller.send(f"/import/catalogue{query}", file)
        assert (status, answer[0]["errors"][0]["extensions"]["code"]) == (400, "BAD_USER_INPUT")
        assert setting in answer[0]["errors"][0]["message"]
    status, answer = await caller.send("/import/catalogue?allowLooser=true", file)
    assert (status, answer[-1]["looser"]) == (200, [setting])


async def test_a_catalogue_says_what_it_leaves_and_leaves_nothing_stricter(caller: Caller) -> None:
    def file(model: str) -> bytes:
        return json.dumps({"purposes": [{"key": "commercial", "enforcement": {"EMAIL": model}}]}).encode()

    status, answer = await caller.send("/import/catalogue", file("DISABLED"))
    assert (status, answer[-1]["left"]) == (
        200,
        ["purpose commercial: enforcement of EMAIL NON_RESTRICTIVE -> DISABLED"],
    )
    status, answer = await caller.send("/import/catalogue", file("RESTRICTIVE"))
    assert status == 400
    assert "enforcement of EMAIL RESTRICTIVE -> NON_RESTRICTIVE" in answer[0]["errors"][0]["message"]


async def test_a_catalogue_with_a_member_twice_is_refused(caller: Caller) -> None:
    file = b'{"purposes": [{"key": "commercial", "enforcement": {"EMAIL": "RESTRICTIVE", "EMAIL": "NON_RESTRICTIVE"}}]}'
    status, answer = await caller.send("/import/catalogue", file)
    assert (status, "each member stands once" in answer[0]["errors"][0]["message"]) == (400, True)


async def test_a_selection_goes_out_as_a_file_of_any_size(caller: Caller) -> None:
    await caller.send("/import/contact-point-consents", FILE)
    asked = "/export/contact-points?purpose=commercial&contactability="
    sent, not_sent = [
        list(csv.DictReader(io.StringIO((await caller.client.get(asked + wanted)).text)))
        for wanted in ("WILL_SEND", "will_not_send")
    ]
    everyone = list(csv.DictReader(io.StringIO((await caller.client.get(asked.rpartition("&")[0])).text)))
    assert sent
    assert not_sent
    assert sorted(row["address"] for row in (*sent, *not_sent)) == sorted(row["address"] for row in everyone)
    document = """query($address: [String!]!) {
      checkConsents(input: {purpose: "commercial", addresses: $address}) { allowed } }"""
    for rows, allowed in ((sent, True), (not_sent, False)):
        body = {"query": document, "variables": {"address": [row["address"] for row in rows]}}
        answered = (await caller.client.post("/graphql", json=body)).json()["data"]["checkConsents"]
        assert {one["allowed"] for one in answered} == {allowed}


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("", "purpose"),
        ("purpose=none", "purpose"),
        ("purpose=commercial&value=maybe", "value"),
        ("purpose=commercial&contactability=WILL_TRACK", "contactability"),
        ("purpose=commercial&channel=FAX", "channel"),
        ("purpose=commercial&purpose=tracking", "purpose"),
        ("purpose=commercial&colour=red", "colour"),
    ],
)
async def test_a_selection_that_cannot_be_is_refused_by_its_parameter(caller: Caller, query: str, path: str) -> None:
    response = await caller.client.get(f"/export/contact-points?{query}")
    assert response.status_code == 400
    assert response.json()["errors"][0]["extensions"]["path"] == [path]


async def test_what_an_export_leaves_out_can_be_asked_for(caller: Caller) -> None:
    for address, channel, purpose, value in (
        ("device", "PUSH", "commercial", "OPTED_OUT"), ("ada@example.org", "EMAIL", "commercial", "OPTED_IN"),
    ):  # fmt: skip
        line = {"address": address, "channel": channel, "purpose": purpose, "value": value}
        if value == "OPTED_IN":
            line["validUntil"] = "2200-01-01T00:00:00Z"
        _, answered = await caller.send("/import/ndjson", json.dumps(line))
        assert answered[-1]["recorded"] == 1
    rows = await caller.client.get("/export/contact-point-consents")
    assert rows.headers["link"] == '</export/contact-point-consents?leftOut=true>; rel="describedby"'
    told = await caller.client.get("/export/contact-point-consents?leftOut=true")
    assert told.headers["content-type"] == "application/json"
    others = {
        "erasedSuppressions": 0, "suppressionsByBlindIndex": 0, "suppressedNotEnforced": 0, "needingEvidence": 0,
        "withoutGuid": 1,
        "endingElsewhere": 0,
    }  # fmt: skip
    assert told.json() == {"leftOut": {"erased": 0, "withoutCode": 1, "suppressed": 0, "withExpiry": 1, **others}}
    assert (await caller.client.get("/export/ndjson?leftOut=true")).json()["leftOut"]["withoutCode"] == 0
    assert (await caller.client.get("/export/ndjson?leftOut=no")).status_code == 400
    assert (await caller.client.get("/export/catalogue?leftOut=true")).status_code == 400


@pytest.mark.parametrize("form", ["contact-point-consents", "subscription-list", "ndjson"])
async def test_what_was_imported_under_a_key_is_proven(caller: Caller, form: str) -> None:
    path, content = "/import/contact-point-consents", HEADER.encode() + b"\n" + rows(0, 40) + rows(10, 12)
    if form == "subscription-list":
        path = "/import/subscription-list?purpose=commercial&value=OPTED_OUT"
        content = b"emailaddress1\nada@example.org\ngrace@example.org\n"
    elif form == "ndjson":
        await caller.send(path, content)
        exported = await caller.client.get("/export/ndjson")
        path, content = "/import/ndjson", exported.content.replace(b"a1@", b"b1@").replace(b"a2@", b"b2@")
    status, [*_, totals] = await caller.send(path, content, **{"idempotency-key": "verified"})
    assert (status, totals["refused"]) == (200, 0), totals
    assert totals["recorded"] > 1
    assert "PROVEN" in await consentry("verify", "--database", "--tenant", caller.tenant, *caller.at)
