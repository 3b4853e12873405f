"""Importing: every row gets its outcome, a row is recorded once however often it comes, and what is refused spoils nothing."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.addresses import Channel
from domain.consent import ConsentValue
from domain.refusals import Refusal, RefusalCode
from eventstore.idempotency import idempotency_key
from ledger import csv_quotes, exporting, history
from ledger.api_keys import create_key, list_keys
from ledger.assembly import Caller, Tenant
from ledger.catalogue import import_catalogue
from ledger.check import Question, check
from ledger.idempotency import stored_key
from ledger.import_contact_point_consents import row_key
from ledger.import_rows import FileUnusable, Outcome, Totals
from ledger.importing import import_consents
from ledger.record import Capture, record_consent
from ledger.tenants import create_tenant
from ledger.verifying import verify_database

COMMERCIAL = "10000000-0000-4000-8000-000000000003"
NEWS = "10000000-0000-4000-8000-000000000065"
CATALOGUE = {
    "purposes": [{"key": "commercial", "guid": COMMERCIAL}],
    "topics": [{"key": "news", "guid": NEWS, "purpose": "commercial"}],
}
HEADER = (
    "msdynmkt_contactpointconsent4id,msdynmkt_contactpointvalue,msdynmkt_contactpointtype,"
    "msdynmkt_contactpointconsenttype,msdynmkt_purposeid,msdynmkt_topicid,msdynmkt_value,msdynmkt_source,"
    "msdynmkt_logicalreason,msdynmkt_reason,createdon,modifiedon,statecode"
)
GOOD = f",ada@example.org,Email,Purpose,{COMMERCIAL},,Opted Out,Internal,No reasons,,,2025-01-01T00:00:00Z,0"

Reported = list[tuple[int, str, str, str]]


@pytest.fixture
async def prepared(tenant: Tenant, caller: Caller) -> Tenant:
    await import_catalogue(tenant, caller, CATALOGUE)
    return tenant


async def run(
    tenant: Tenant, content: str | bytes, format: str = "contact-point-consents", *, dry_run: bool = False
) -> tuple[Totals, Reported]:
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    reported: Reported = []

    def report(line: int, outcome: Outcome, code: str, message: str) -> None:
        reported.append((line, str(outcome), code, message))

    totals = await import_consents(
        tenant, io.BytesIO(raw), format=format, report=report, progress=lambda _: None, dry_run=dry_run
    )
    assert totals.rows == totals.recorded + totals.unchanged + totals.refused
    assert len([row for row in reported if row[1] != "recorded"]) == totals.unchanged + totals.refused
    return totals, reported


def with_cell(column: str, value: str) -> str:
    names, cells = HEADER.split(","), GOOD.split(",")
    cells[names.index(column)] = value
    return ",".join(cells)


@pytest.mark.parametrize(
    ("row", "code", "column"),
    [
        ("a,b,c", "INVALID", "columns"),
        (GOOD + ",more", "INVALID", "columns"),
        (with_cell("msdynmkt_contactpointvalue", ""), "INVALID_ADDRESS", "msdynmkt_contactpointvalue"),
        (with_cell("msdynmkt_contactpointvalue", "not-an-address"), "INVALID_ADDRESS", "msdynmkt_contactpointvalue"),
        (with_cell("msdynmkt_contactpointvalue", "x" * 400 + "@example.com"), "INVALID_ADDRESS", "value"),
        (with_cell("msdynmkt_contactpointvalue", "a\x00@example.org"), "INVALID", "msdynmkt_contactpointvalue"),
        (with_cell("msdynmkt_contactpointtype", "Fax"), "INVALID", "msdynmkt_contactpointtype"),
        (with_cell("msdynmkt_contactpointconsenttype", "Else"), "INVALID", "msdynmkt_contactpointconsenttype"),
        (with_cell("msdynmkt_contactpointconsenttype", "Topic"), "INVALID", "msdynmkt_topicid"),
        (with_cell("msdynmkt_topicid", NEWS), "INVALID", "msdynmkt_topicid"),
        (with_cell("msdynmkt_purposeid", NEWS), "NOT_FOUND", "msdynmkt_purposeid"),
        (with_cell("msdynmkt_purposeid", ""), "INVALID", "msdynmkt_purposeid"),
        (with_cell("msdynmkt_value", "534129999"), "INVALID", "msdynmkt_value"),
        (with_cell("modifiedon", "31/02/2024"), "INVALID", "modifiedon"),
        (with_cell("modifiedon", "2024-02-31T00:00:00Z"), "INVALID", "modifiedon"),
        (with_cell("modifiedon", "2024-02-01T00:00:00"), "INVALID", "modifiedon"),
        (with_cell("modifiedon", "2999-01-01T00:00:00Z"), "EFFECTIVE_IN_FUTURE", "modifiedon"),
    ],
)
async def test_a_row_that_is_wrong_is_refused_alone(prepared: Tenant, row: str, code: str, column: str) -> None:
    last = GOOD.replace("ada@", "grace@")
    totals, reported = await run(prepared, f"{HEADER}\n{GOOD}\n{row}\n{last}\n")
    assert (totals.recorded, totals.refused) == (2, 1)
    [(line, outcome, found_code, message)] = reported
    assert (line, outcome, found_code) == (3, "refused", code)
    assert column in message
    assert "ada" not in message
    answers = await check(
        prepared,
        Question(channel=Channel.EMAIL, addresses=["ada@example.org", "grace@example.org"], purpose="commercial"),
    )
    assert [answer.decision.allowed for answer in answers] == [False, False]


BOM = b"\xef\xbb\xbf"


def numbered(number: int, value: str = "Opted Out", reason: str = "") -> str:
    names, cells = HEADER.split(","), GOOD.split(",")
    cells[names.index("msdynmkt_contactpointvalue")] = f"p{number}@example.org"
    cells[names.index("msdynmkt_value")], cells[names.index("msdynmkt_reason")] = value, reason
    return ",".join(cells)


@pytest.mark.parametrize("closed", [False, True])
async def test_a_quote_that_is_not_closed_loses_no_opt_out_and_counts_what_it_swallows(
    prepared: Tenant, *, closed: bool
) -> None:
    """To the end of the file, or to the next quote, which another row opens."""
    lines = [numbered(number, "Opted In" if number % 3 == 0 else "Opted Out") for number in range(2, 32)]
    lines[3] = numbered(5, "Opted Out", '"unclosed')
    if closed:
        lines[20] = numbered(22, "Opted Out", '"a word"')
    broken_to = 22 if closed else 31
    totals, reported = await run(prepared, "\n".join([HEADER, *lines]))
    inside = [number for number in range(6, broken_to + 1) if number % 3 == 0]
    assert totals.rows == 30
    # The broken row lacks its last cells, and what is within the quote may be anybody's text: only its opt-outs count.
    assert [line for line, *_ in reported] == [5, *inside]
    assert f"lines to {broken_to}" in reported[0][3]
    assert "opens on line 5" in reported[1][3]
    out = [f"p{number}@example.org" for number in range(2, 32) if number % 3 and number != 5]
    answers = await check(prepared, Question(channel=Channel.EMAIL, addresses=out, purpose="commercial"))
    assert {answer.decision.reasons[0].code for answer in answers} == {"OPTED_OUT"}


async def test_a_quote_that_another_row_closes_well_swallows_nothing_unseen(prepared: Tenant) -> None:
    lines = [numbered(2, "Opted In", '"open'), numbered(3), 'text",,2025-01-01T00:00:00Z,0']
    totals, reported = await run(prepared, "\n".join([HEADER, *lines]))
    assert (totals.rows, totals.recorded) == (3, 1)
    assert [line for line, *_ in reported] == [2, 4]


SHORT = (
    "msdynmkt_contactpointvalue,msdynmkt_contactpointtype,msdynmkt_contactpointconsenttype,msdynmkt_purposeid,"
    "msdynmkt_value,msdynmkt_reason,modifiedon"
)


async def allowed(tenant: Tenant, *addresses: str) -> list[bool]:
    answers = await check(tenant, Question(channel=Channel.EMAIL, addresses=addresses, purpose="commercial"))
    return [answer.decision.allowed for answer in answers]


async def test_an_old_opt_in_does_not_get_the_date_of_a_row_that_its_quote_swallowed(
    prepared: Tenant, caller: Caller
) -> None:
    """Though that row says nothing by itself: it has no address."""
    opted_out = Capture(
        channel=Channel.EMAIL,
        address="old@example.org",
        purpose="commercial",
        value=ConsentValue.OPTED_OUT,
        effective_at=datetime(2024, 1, 1, tzinfo=UTC),
    )
    await record_consent(prepared, caller, opted_out)
    rows = [
        'old@example.org,Email,Purpose,commercial,Opted In,"5 inch,2019-01-01T00:00:00Z',
        ',Email,Purpose,commercial,Opted In,5",2025-11-01T00:00:00Z',
    ]
    totals, reported = await run(prepared, "\n".join([SHORT, *rows]))
    assert (totals.recorded, totals.refused, [line for line, *_ in reported]) == (0, 2, [2, 3])
    assert await allowed(prepared, "old@example.org") == [False]


async def test_a_contact_that_forbids_is_not_opted_in_by_the_flags_of_a_row_that_its_quote_swallowed(
    prepared: Tenant,
) -> None:
    header = "emailaddress1,fullname,donotemail,donotbulkemail,msgdpr_donottrack,modifiedon"
    rows = ['ld@example.org,"Bob,1,1,1,2025-01-01T00:00:00Z', ',Al",0,0,0,2025-06-01T00:00:00Z']
    totals, _ = await run(prepared, "\n".join([header, *rows]), "contacts")
    assert (totals.recorded, totals.refused) == (0, 2)


async def test_what_a_load_stores_of_two_rows_of_one_address_is_what_the_log_leads_to(prepared: Tenant) -> None:
    header = "emailaddress1,donotemail,donotbulkemail,msgdpr_donottrack,modifiedon"
    rows = ["a@b.example,0,0,0,2025-01-01T00:00:00Z", "a@b.example,0,1,0,2024-01-01T00:00:00Z"]
    totals, _ = await run(prepared, "\n".join([header, *rows]), "contacts")
    assert (totals.recorded, totals.refused) == (2, 0)
    await verify_database(prepared)


async def test_a_record_that_may_be_two_rows_still_says_no_in_either_reading(prepared: Tenant) -> None:
    rows = [
        'ada@example.org,Email,Purpose,commercial,Opted Out,"5 inch,2019-01-01T00:00:00Z',
        'bob@example.org,Email,Purpose,commercial,Opted Out,5",2025-11-01T00:00:00Z',
    ]
    totals, _ = await run(prepared, "\n".join([SHORT, *rows]))
    assert (totals.recorded, totals.refused) == (2, 0)
    assert await allowed(prepared, "ada@example.org", "bob@example.org") == [False, False]


@pytest.mark.parametrize("value", list(ConsentValue))
async def test_lines_of_a_reason_that_look_like_rows_come_back_as_the_text_that_they_are(
    prepared: Tenant, caller: Caller, value: ConsentValue
) -> None:
    moment = "2026-01-01T00:00:00Z"
    reason = (
        f"x,I want out\n,victim@example.org,534120000,534120000,commercial,,534120002,534120000,534119999,r,,,"
        f'{moment},{moment},0\n"","victim@example.org","534120000"\nbye'
    )
    capture = Capture(
        channel=Channel.EMAIL, address="me@example.org", purpose="commercial", value=value, reason_description=reason
    )
    await record_consent(prepared, caller, capture)
    out = io.StringIO(newline="")
    writer = csv_quotes.writer(out)
    writer.writerow(exporting.COLUMNS)
    async for row in exporting.contact_point_consents(prepared, exporting.Left()):
        writer.writerow(row)
    other = await create_tenant(prepared.ledger, f"{prepared.key}-copy", "Copy")
    await import_catalogue(other, caller, CATALOGUE)
    totals, _ = await run(other, out.getvalue())
    assert totals.rows == 1
    assert totals.recorded == (value is ConsentValue.OPTED_OUT)
    assert await history.find_contact_point(other, Channel.EMAIL, "victim@example.org") is None
    if value is ConsentValue.OPTED_OUT:
        assert await allowed(other, "me@example.org") == [False]


STRAY = ['"He said "stop" please"', '"stop" now', '"x"y"', 'say "stop"', '5"']


@pytest.mark.parametrize("text", STRAY)
async def test_a_row_that_says_no_is_not_refused_for_a_stray_quote_in_a_text(prepared: Tenant, text: str) -> None:
    row = with_cell("msdynmkt_reason", text)
    totals, reported = await run(prepared, f"{HEADER}\n{row}\n{row.replace('Out', 'In').replace('ada', 'bob')}\n")
    # What is CSV as it stands says yes, too.
    assert (totals.recorded, totals.refused) == ((1, 1) if text.startswith('"') else (2, 0))
    assert await allowed(prepared, "ada@example.org") == [False]
    assert all("no CSV" in message for *_, message in reported)
    header = "emailaddress1,fullname,donotemail,donotbulkemail,msgdpr_donottrack,modifiedon"
    totals, _ = await run(prepared, f"{header}\neve@example.org,{text},1,1,1,2025-01-01T00:00:00Z\n", "contacts")
    assert (totals.recorded, await allowed(prepared, "eve@example.org")) == (1, [False])


async def test_a_row_whose_columns_cannot_be_told_is_refused_and_told(prepared: Tenant) -> None:
    row = with_cell("msdynmkt_reason", '"stop", "now" x"')
    totals, reported = await run(prepared, f"{HEADER}\n{row}\n")
    assert (totals.recorded, totals.refused, reported[0][0]) == (0, 1, 2)


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("msdynmkt_source", "Pigeon"),
        ("msdynmkt_source", "Inter\x00nal"),
        ("msdynmkt_source", "caf\udce9"),
        ("msdynmkt_logicalreason", "5"),
        ("msdynmkt_logicalreason", "x" * 10_001),
        ("createdon", "yesterday"),
        ("createdon", "2024-02-01T00:00:00"),
        ("createdon", "20\x0024-02-01T00:00:00Z"),
        ("createdon", "\udce9"),
    ],
)
async def test_a_row_that_says_no_is_not_refused_for_a_cell_that_decides_nothing(
    prepared: Tenant, column: str, cell: str
) -> None:
    row = with_cell(column, cell)
    yes = row.replace("Opted Out", "Opted In").replace("ada@", "bob@")
    content = f"{HEADER}\n{row}\n{yes}\n".encode("utf-8", "surrogateescape")
    totals, reported = await run(prepared, BOM + content)
    assert (totals.recorded, totals.refused) == (1, 1)
    assert (reported[0][0], reported[0][3].partition(":")[0]) == (3, column)
    assert await allowed(prepared, "ada@example.org") == [False]


@pytest.mark.parametrize("reason", [b"x" * 501, b"x" * 10_001, b"caf\xe9", b"a\x00b", b"a\x07b"])
async def test_a_row_that_says_no_is_not_refused_for_its_reason(prepared: Tenant, reason: bytes) -> None:
    row = with_cell("msdynmkt_reason", "REASON").encode().replace(b"REASON", reason)
    totals, reported = await run(prepared, BOM + b"\n".join([HEADER.encode(), row]))
    assert (totals.recorded, totals.refused, reported) == (1, 0, [])
    names, cells = HEADER.split(","), GOOD.split(",")
    cells[names.index("msdynmkt_value")] = "Opted In"
    cells[names.index("msdynmkt_reason")] = "REASON"
    totals, reported = await run(
        prepared, BOM + b"\n".join([HEADER.encode(), ",".join(cells).encode().replace(b"REASON", reason)])
    )
    assert (totals.recorded, totals.refused) == (0, 1)
    assert "msdynmkt_reason" in reported[0][3]


async def test_a_row_that_is_not_utf8_is_refused_alone(prepared: Tenant) -> None:
    bad = GOOD.replace("ada@", "J\udcfcrgen@").encode("utf-8", "surrogateescape")
    content = b"\xef\xbb\xbf" + b"\n".join([HEADER.encode(), bad, GOOD.encode()])
    totals, reported = await run(prepared, content)
    assert (totals.recorded, totals.refused) == (1, 1)
    message = "msdynmkt_contactpointvalue: is not UTF-8; it is an opt-out, or may be one"
    assert reported == [(2, "refused", "INVALID", message)]


async def test_a_half_written_file_keeps_what_was_whole(prepared: Tenant) -> None:
    totals, reported = await run(prepared, f'{HEADER}\n{GOOD}\n,grace@example.org,Email,"Purp')
    assert (totals.recorded, totals.refused) == (1, 1)
    assert reported[0][0] == 3


async def test_lines_are_those_of_the_file_whatever_quoted_fields_hold(prepared: Tenant) -> None:
    quoted = with_cell("msdynmkt_reason", '"two\nlines"')
    _, reported = await run(prepared, f"{HEADER}\r\n{quoted}\r\na,b\r\n")
    assert [line for line, *_ in reported] == [4]


@pytest.mark.parametrize(
    "content", ["", "a,b,c\n1,2,3\n", HEADER.replace("modifiedon", "other"), HEADER + ",statecode"]
)
async def test_a_file_without_the_columns_is_unusable(prepared: Tenant, content: str) -> None:
    with pytest.raises(FileUnusable):
        await run(prepared, content)


async def test_running_again_records_nothing_and_duplicates_are_told_by_any_column(prepared: Tenant) -> None:
    other_id = "9243c7a7-2886-497e-be96-78801188ad7b" + GOOD
    content = f"{HEADER}\n{GOOD}\n{GOOD}\n{other_id}\n"
    totals, reported = await run(prepared, content)
    assert (totals.recorded, totals.unchanged) == (2, 1)
    assert reported[0][:2] == (3, "unchanged")
    totals, _ = await run(prepared, content)
    assert (totals.recorded, totals.unchanged) == (0, 3)


async def test_a_dry_run_records_nothing(prepared: Tenant) -> None:
    totals, reported = await run(
        prepared, f"{HEADER}\n{GOOD}\na,b\n{with_cell('msdynmkt_purposeid', NEWS)}\n", dry_run=True
    )
    assert (totals.recorded, totals.refused, totals.events) == (1, 2, 1)
    assert [line for line, *_ in reported] == [3, 4]
    assert await history.find_contact_point(prepared, Channel.EMAIL, "ada@example.org") is None


async def test_an_old_opt_in_imported_today_does_not_override_yesterdays_opt_out(
    prepared: Tenant, caller: Caller
) -> None:
    await record_consent(
        prepared,
        caller,
        Capture(channel=Channel.EMAIL, address="ada@example.org", purpose="commercial", value=ConsentValue.OPTED_OUT),
    )
    totals, _ = await run(prepared, f"{HEADER}\n{with_cell('msdynmkt_value', 'Opted In')}\n")
    assert totals.recorded == 1
    [answer] = await check(
        prepared, Question(channel=Channel.EMAIL, addresses=["ada@example.org"], purpose="commercial")
    )
    assert not answer.decision.allowed


NDJSON = {"address": "ada@example.org", "purpose": "commercial", "value": "OPTED_OUT"}


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("nonsense", "JSON"),
        ("[]", "object"),
        (json.dumps({**NDJSON, "value": "OPTED_IN", "colour": "red"}), "colour"),
        (json.dumps(NDJSON)[:-1] + ', "value": "OPTED_IN"}', "JSON, each member once"),
        (json.dumps({**NDJSON, "value": "YES"}), "value"),
        (json.dumps({**NDJSON, "address": 7}), "address"),
        (json.dumps({"purpose": "commercial", "value": "OPTED_IN"}), "address"),
        (json.dumps({**NDJSON, "effectiveAt": "2026-01-01T00:00:00"}), "effectiveAt"),
        (json.dumps({**NDJSON, "value": "OPTED_IN", "evidence": {"locale": 5}}), "evidence.locale"),
        (json.dumps({**NDJSON, "value": "OPTED_IN", "actor": {}}), "actor.kind"),
        (json.dumps({**NDJSON, "value": "OPTED_IN", "actor": {"kind": "USER", "name": "Ada"}}), "actor.name"),
        (json.dumps({**NDJSON, "value": "OPTED_IN", "reason": "\ud800"}), "reason"),
        (json.dumps({**NDJSON, "value": "OPTED_IN", "legalBasis": "asked ada@example.org"}), "legalBasis"),
        ("x" * 1_000_001, "longer"),
    ],
)
async def test_an_ndjson_line_that_is_wrong_is_refused_alone(prepared: Tenant, line: str, where: str) -> None:
    totals, reported = await run(prepared, f"{json.dumps(NDJSON)}\n{line}\n", "ndjson")
    assert (totals.recorded, totals.refused) == (1, 1)
    assert reported[0][0] == 2
    assert where in reported[0][3]


@pytest.mark.parametrize(
    "beside",
    [
        {"reason": 5},
        {"evidence": {"foo": 1}},
        {"evidence": {"locale": 5, "method": "form", "attributes": [1]}},
        {"evidence": "a form"},
        {"evidence": {"attributes": {"a": float("inf")}}},
        {"colour": "red"},
        {"actor": {"kind": "RECIPIENT", "id": 7}},
        {"actor": {"kind": "Somebody"}},
        {"actor": "her"},
        {"source": "PIGEON"},
        {"messageId": {}, "legalBasis": 1, "jurisdiction": [], "reasonDescription": True},
        {"reason": "caf\udce9"},
        {"reason": "\ud800"},
    ],
)
async def test_a_line_that_says_no_is_not_refused_for_what_decides_nothing(
    prepared: Tenant, beside: dict[str, object]
) -> None:
    lines = [{**NDJSON, **beside}, {**NDJSON, **beside, "address": "bob@example.org", "value": "OPTED_IN"}]
    text = "\n".join(json.dumps(line, ensure_ascii="\ud800" in str(beside.get("reason"))) for line in lines)
    totals, _ = await run(prepared, text.encode("utf-8", "surrogateescape"), "ndjson")
    assert (totals.recorded, totals.refused) == (1, 1)
    assert await allowed(prepared, "ada@example.org") == [False]


@pytest.mark.parametrize("field", ["address", "purpose", "topic", "effectiveAt", "idempotencyKey"])
async def test_a_line_with_a_byte_that_is_no_text_where_it_matters_is_refused(prepared: Tenant, field: str) -> None:
    raw = json.dumps({**NDJSON, field: "x\udce9@example.org"}, ensure_ascii=False).encode("utf-8", "surrogateescape")
    totals, reported = await run(prepared, raw, "ndjson")
    assert (totals.refused, reported[0][3]) == (1, "the line is not UTF-8; it is an opt-out, or may be one")


async def test_of_what_stands_beside_an_opt_out_what_can_be_read_is_kept(prepared: Tenant) -> None:
    line = {**NDJSON, "actor": {"kind": "RECIPIENT", "id": 7}, "evidence": {"locale": 5, "method": "form"}}
    await run(prepared, json.dumps(line), "ndjson")
    [found] = [json.loads(line) async for line in exporting.ndjson(prepared, exporting.Left())]
    assert (found["actor"], found["evidence"]) == ({"kind": "RECIPIENT"}, {"method": "form"})


async def test_what_was_exported_decides_alike_elsewhere(
    prepared: Tenant, caller: Caller, ledger: object, shared: Callable[[str], Path]
) -> None:
    rows = [GOOD, with_cell("msdynmkt_value", "Not Set"), GOOD.replace("ada@", "Jürgen@bücher.")]
    rows.append(
        with_cell("msdynmkt_contactpointconsenttype", "Topic").replace(f"{COMMERCIAL},,", f"{COMMERCIAL},{NEWS},")
    )
    rows.append(GOOD.replace("ada@example.org,Email", "+14155559194,Text message").replace("Opted Out", "opted in"))
    await run(prepared, "\n".join([HEADER, *rows]))
    asked = [
        Question(channel=channel, addresses=[address], purpose="commercial", topic=topic)
        for channel, address in (
            (Channel.EMAIL, "ada@example.org"),
            (Channel.EMAIL, "jürgen@bücher.example.org"),
            (Channel.SMS, "+1 415 555 9194"),
        )
        for topic in (None, "news")
    ]
    expected = [[r.code for r in (await check(prepared, question))[0].decision.reasons] for question in asked]
    for format in ("contact-point-consents", "ndjson"):
        other = await create_tenant(prepared.ledger, f"{prepared.key}-{format[:3]}", "Other")
        await import_catalogue(other, caller, CATALOGUE)
        if format == "ndjson":
            content = "\n".join([line async for line in exporting.ndjson(prepared, exporting.Left())])
        else:
            out = io.StringIO()
            writer = csv_quotes.writer(out)
            writer.writerow(exporting.COLUMNS)
            writer.writerows([row async for row in exporting.contact_point_consents(prepared, exporting.Left())])
            content = out.getvalue()
        totals, reported = await run(other, content, format)
        assert totals.refused == 0, reported
        assert [[r.code for r in (await check(other, question))[0].decision.reasons] for question in asked] == expected


async def test_an_expiry_that_the_table_cannot_carry_goes_out_as_not_set(prepared: Tenant, caller: Caller) -> None:
    await run(prepared, json.dumps({**NDJSON, "value": "OPTED_IN", "validUntil": "2999-01-01T00:00:00Z"}), "ndjson")
    await run(prepared, json.dumps({**NDJSON, "channel": "PUSH", "address": "token"}), "ndjson")
    left = exporting.Left()
    [row] = [row async for row in exporting.contact_point_consents(prepared, left)]
    assert row[exporting.COLUMNS.index("msdynmkt_value")] == "534120000"
    assert (left.with_expiry, left.without_code) == (1, 1)


# Worked out by hand from the rows of shared/data/contact_point_consents.csv: (channel, address, topic, reasons, tracking).
OUT, IN, NONE, BLOCKS = "OPTED_OUT", "OPTED_IN", "NOT_SET_ALLOWED", "PURPOSE_BLOCKS_TOPIC"
BY_HAND = [
    ("EMAIL", "Leslie.Allen2019@mail.tailspin.example", "daily-deals", [OUT, IN], True),
    ("EMAIL", "edsger.hamilton2923@EXAMPLE.com", "daily-deals", [OUT, IN], True),
    ("SMS", "+1 (415) 555-9194", None, [IN], True),
    ("EMAIL", " Sophie.Wilson9311@example.com", "daily-deals", [OUT, IN], True),
    ("EMAIL", "Donald.Backus1086@xn--bcher-kva.example", "daily-deals", [OUT, NONE], True),
    ("EMAIL", "Sophie.Lamport8750@northwind.example", None, [IN], True),
    ("EMAIL", "ñusta.lee10538@fabrikam.example", "newsletter", [OUT, BLOCKS], True),
    ("EMAIL", "Frances.Perlman7888@northwind.example", None, [IN], True),
    ("EMAIL", "Radia.Goldwasser3563@example.com", "newsletter", [OUT, IN], True),
    ("EMAIL", "Jürgen.Hopper5647@bücher.example", None, [IN], True),
    ("EMAIL", "John.Dijkstra2553@fabrikam.example", None, [NONE], True),
    ("EMAIL", "Ken.Goldwasser11900@northwind.example", "newsletter", [IN, IN], True),
    ("EMAIL", "Leslie.Torvalds2083@contoso.example", "daily-deals", [OUT, IN], True),
    ("EMAIL", "JÜRGEN.TURING7588@EXAMPLE.NET", None, [IN], True),
    ("EMAIL", "Shafi.Müller1536@example.org", "newsletter", [OUT, BLOCKS], True),
    ("EMAIL", "Niklaus.Hopper3938@mail.tailspin.example", "daily-deals", [OUT, BLOCKS], True),
    ("EMAIL", "Grace.Perlman1915@fabrikam.example", None, [OUT], True),
    ("EMAIL", "Shafi.Perlman5108@bücher.example", "daily-deals", [OUT, BLOCKS], True),
    ("EMAIL", "Donald.Lovelace6025@northwind.example", None, [IN], False),
    ("EMAIL", "Edsger.Żak4130@northwind.example", None, [OUT], True),
]


async def test_the_messy_export_comes_in_right(tenant: Tenant, caller: Caller, shared: Callable[[str], Path]) -> None:
    await import_catalogue(tenant, caller, json.loads(shared("data/catalogue.json").read_bytes()))
    content = shared("data/contact_point_consents.csv").read_bytes()
    totals, reported = await run(tenant, content)
    assert (totals.rows, totals.recorded, totals.refused, totals.events) == (22_420, 22_180, 240, 22_180)
    assert all(message and code for _, _, code, message in reported)
    for channel, address, topic, codes, tracking in BY_HAND:
        question = Question(channel=Channel(channel), addresses=[address], purpose="commercial", topic=topic)
        [answer] = await check(tenant, question)
        found = [str(reason.code) for reason in answer.decision.reasons]
        assert (address, found, answer.tracking.allowed) == (address, codes, tracking)
    transactional = Question(
        channel=Channel.EMAIL, addresses=["Niklaus.Hopper3938@mail.tailspin.example"], purpose="transactional"
    )
    [answer] = await check(tenant, transactional)
    [reason] = answer.decision.reasons
    assert (reason.code, reason.value) == ("ENFORCEMENT_DISABLED", "OPTED_OUT")


LOADED = {
    "emailaddress1": "ada@example.org", "donotemail": "1", "donotbulkemail": "1", "msgdpr_donottrack": "1",
    "modifiedon": "2026-01-01T00:00:00Z",
}  # fmt: skip
NDJSON_LINE = {"address": "ada@example.org", "purpose": "commercial", "value": "OPTED_OUT"}
ROWS_THAT_SOMEBODY_KNOWS = {
    "contacts": (
        f"{','.join(LOADED)}\n{','.join(LOADED.values())}\n",
        [f"contacts:{one}" for one in ("commercial", "transactional", "tracking")],
        LOADED,
    ),
    "ndjson": (json.dumps(NDJSON_LINE), ["ndjson"], NDJSON_LINE),
}


@pytest.mark.parametrize("format", ROWS_THAT_SOMEBODY_KNOWS)
async def test_no_application_of_the_name_of_imports_takes_the_key_of_a_row(tenant: Tenant, format: str) -> None:
    """No new key has that name; of one that is there the key of a row is another than the row's."""
    content, places, row = ROWS_THAT_SOMEBODY_KNOWS[format]
    other = Caller("import", frozenset(("write",)))
    taken = Capture(
        channel=Channel.EMAIL, address="other@example.org", purpose="transactional", value=ConsentValue.NOT_SET
    )
    for place in places:
        key = row_key(place, row)
        first = await record_consent(tenant, other, replace(taken, idempotency_key=key))
        again = await record_consent(tenant, other, replace(taken, idempotency_key=key))
        assert (first.repeated, again.repeated, again.position) == (False, True, first.position)
    totals, _ = await run(tenant, content, format)
    assert (totals.recorded, totals.refused) == (1, 0)
    assert (await run(tenant, content, format))[0].unchanged == 1
    question = Question(channel=Channel.EMAIL, addresses=["ada@example.org"], purpose="commercial")
    [answer] = await check(tenant, question)
    assert not answer.allowed


async def test_the_rows_of_older_imports_are_known_and_so_are_the_other_keys_of_an_application_of_their_name(
    tenant: Tenant,
) -> None:
    """As they were stored before anything was kept apart: (application, key), both as given."""
    for key, of_row in ((row_key("ndjson", {"a": 1}), True), ("mine", False), ("mine", True)):
        stored = stored_key(tenant, "import", key, "recordConsent", {}, of_row=of_row)
        expected = idempotency_key(
            tenant.idempotency_hash, application="import", key=key, command=b'["recordConsent", {}]'
        )
        assert stored == expected


async def test_no_key_is_made_for_an_application_of_the_name_of_imports(tenant: Tenant) -> None:
    with pytest.raises(Refusal) as refused:
        await create_key(tenant, "import", ["write"])
    assert (refused.value.code, refused.value.path) == (RefusalCode.INVALID, ("application",))
    assert await list_keys(tenant) == []
