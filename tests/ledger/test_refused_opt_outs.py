"""Opt-outs that an import refuses are counted by themselves, wherever they are refused: they are to be mended first."""

import io
import json

import pytest

from domain.addresses import Channel
from domain.consent import ConsentValue
from domain.refusals import Refusal, RefusalCode
from ledger import exporting
from ledger.assembly import Tenant
from ledger.import_formats import Target
from ledger.import_outcomes import Work, outcomes
from ledger.import_rows import Outcome, Totals
from ledger.importing import NO_TARGET, import_consents
from ledger.record import Capture, Rehearsed

HEADER = (
    "msdynmkt_contactpointvalue,msdynmkt_contactpointtype,msdynmkt_contactpointconsenttype,msdynmkt_purposeid,"
    "msdynmkt_value,modifiedon\n"
)
RECORDS = """\
none,Email,Purpose,commercial,{value},2025-01-01T00:00:00Z
ada@example.org,Email,Purpose,nothing,{value},2025-01-01T00:00:00Z
ada@example.org,Email,Purpose,commercial,{value},2025-01-01 00:00:00
ada@example.org,Email,Purpose,commercial,Maybe,2025-01-01T00:00:00Z
"""


def objects(value: str) -> str:
    good = {"address": "ada@example.org", "purpose": "commercial", "value": value}
    wrong = [{"address": "none"}, {"purpose": "nothing"}, {"effectiveAt": "2025-01-01 00:00:00"}, {"value": "MAYBE"}]
    return "\n".join(json.dumps({**good, **one}) for one in wrong)


async def run(
    tenant: Tenant, format: str, content: str | bytes, target: Target = NO_TARGET, *, dry_run: bool = False
) -> tuple[Totals, dict[int, str]]:
    """The totals, and by its line what the report says of a row."""
    told: dict[int, str] = {}
    totals = await import_consents(
        tenant,
        io.BytesIO(content if isinstance(content, bytes) else content.encode()),
        format=format,
        report=lambda line, outcome, code, message: told.update({line: f"{outcome}: {message}"}),
        progress=lambda _: None,
        target=target,
        dry_run=dry_run,
    )
    return totals, told


@pytest.mark.parametrize(
    ("format", "content", "target", "refused"),
    [
        # What no table knows may be an opt-out: the last line of each.
        ("contact-point-consents", HEADER + RECORDS.format(value="Opted Out"), Target(), (4, 4)),
        ("contact-point-consents", HEADER + RECORDS.format(value="Opted In"), Target(), (4, 1)),
        ("contact-point-consents", HEADER + RECORDS.format(value="Not Set"), Target(), (4, 1)),
        ("ndjson", objects("OPTED_OUT"), Target(), (4, 4)),
        ("ndjson", objects("OPTED_IN"), Target(), (4, 1)),
        ("ndjson", objects("NOT_SET"), Target(), (4, 1)),
        (
            "subscription-list",
            "emailaddress1\nnone\n",
            Target(purpose="commercial", value=ConsentValue.OPTED_OUT),
            (1, 1),
        ),
        (
            "subscription-list",
            "emailaddress1\nnone\n",
            Target(purpose="commercial", value=ConsentValue.OPTED_IN),
            (1, 0),
        ),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
async def test_they_are_counted(
    tenant: Tenant, format: str, content: str, target: Target, refused: tuple[int, int], *, dry_run: bool
) -> None:
    totals, _ = await run(tenant, format, content, target, dry_run=dry_run)
    assert (totals.refused, totals.refused_opt_outs) == refused
    assert totals.to_json().get("refusedOptOuts", 0) == refused[1]


CONTACTS = "emailaddress1,donotemail,donotbulkemail,msgdpr_donottrack,modifiedon\n"
LIST = "emailaddress1,fullname\n"
OUT, IN, NOT_SET = (
    Target(purpose="commercial", value=value)
    for value in (ConsentValue.OPTED_OUT, ConsentValue.OPTED_IN, ConsentValue.NOT_SET)
)
DATE = "2025-01-01T00:00:00Z"
RECORD = f"Email,Purpose,commercial,{{}},{DATE}"


@pytest.mark.parametrize(
    ("row", "counts"),
    [
        # Whose date, or whose address, is none.
        ("ada@example.org,1,0,0,yesterday", True),
        ("ada@example.org,0,0,1,yesterday", True),
        ("ada@example.org,0,0,0,yesterday", False),
        ("ada@example.org,1,0,0,2999-01-01T00:00:00Z", True),
        (f",0,1,0,{DATE}", True),
        (f"none,Do Not Allow,Allow,Allow,{DATE}", True),
        (f"none,Allow,Allow,Allow,{DATE}", False),
        # Of which it cannot be read what they allow.
        (f"ada@example.org,0,perhaps,0,{DATE}", True),
        (f"none,0,,0,{DATE}", True),
        # Of which nobody can tell which cell is which.
        ("ada@example.org,0,0,0", True),
        (f"ada@example.org,0,0,0,{DATE},more", True),
        (f'"ada@example.org,0,0,0,{DATE}', True),
        (f'"ada" @example.org,0,0,0,{DATE}', False),
        ("a\udcff@example.org,1,0,0,2025-01-01T00:00:00Z", True),
        ("a\udcff@example.org,0,0,0,2025-01-01T00:00:00Z", False),
        # In which there is nothing.
        (",,,,", False),
        (",,", False),
    ],
)
async def test_a_contact_that_forbids_anything_or_may_is_one(tenant: Tenant, row: str, *, counts: bool) -> None:
    content = (CONTACTS + "Zoë@example.org,0,0,0,2025-01-01T00:00:00Z\n" + row + "\n").encode(
        "utf-8", "surrogateescape"
    )
    totals, told = await run(tenant, "contacts", content)
    assert (totals.refused, totals.refused_opt_outs) == (1, int(counts))
    assert told[3].startswith("refused: ")
    assert told[3].endswith("; it is an opt-out, or may be one") == counts


@pytest.mark.parametrize(
    ("format", "content", "target", "counts"),
    [
        (
            "contact-point-consents",
            HEADER + "ada@example.org," + RECORD.format("Opted In") + ",more\n",
            NO_TARGET,
            True,
        ),
        ("contact-point-consents", HEADER + "ada@example.org,Email,Purpose,commercial\n", NO_TARGET, True),
        ("contact-point-consents", HEADER + '"ada@example.org,' + RECORD.format("Opted In") + "\n", NO_TARGET, True),
        ("contact-point-consents", HEADER + "a\0@example.org," + RECORD.format("Opted Out") + "\n", NO_TARGET, True),
        ("contact-point-consents", HEADER + "a\0@example.org," + RECORD.format("Opted O\0t") + "\n", NO_TARGET, True),
        ("contact-point-consents", HEADER + "a\0@example.org," + RECORD.format("Opted In") + "\n", NO_TARGET, False),
        ("contact-point-consents", HEADER + "a\0@example.org," + RECORD.format("Not Set") + "\n", NO_TARGET, False),
        ("subscription-list", LIST + "ada@example.org\n", OUT, True),
        ("subscription-list", LIST + "ada@example.org\n", IN, False),
        ("subscription-list", LIST + "ada@example.org\n", NOT_SET, False),
        ("subscription-list", LIST + "a\0@example.org,Ada\n", OUT, True),
        ("subscription-list", LIST + "a\0@example.org,Ada\n", IN, False),
        ("subscription-list", LIST + ",Ada\n", OUT, True),
        ("subscription-list", LIST + ",\n", OUT, False),
        ("ndjson", "{", NO_TARGET, True),
        ("ndjson", "[]", NO_TARGET, True),
        ("ndjson", '{"value": "OPTED_IN", "value": "OPTED_OUT"}', NO_TARGET, True),
        ("ndjson", '{"address": "ada@example.org", "purpose": "commercial"}', NO_TARGET, True),
        ("ndjson", '{"address": "ada@example.org", "purpose": "commercial", "value": "opted_out"}', NO_TARGET, True),
        ("ndjson", '{"address": "ada@example.org", "purpose": "commercial", "value": 0}', NO_TARGET, True),
        ("ndjson", '{"address": "' + "a" * 1_000_000 + '", "value": "OPTED_OUT"}', NO_TARGET, True),
        ("ndjson", b'{"address": "a\xff@example.org", "purpose": "commercial", "value": "OPTED_OUT"}', NO_TARGET, True),
        (
            "ndjson",
            b'{"address": "a\xff@example.org", "purpose": "commercial", "value": "OPTED_\xff"}',
            NO_TARGET,
            True,
        ),
        ("ndjson", b'{"address": "a\xff@example.org", "purpose": "commercial", "value": "OPTED_IN"}', NO_TARGET, False),
        ("ndjson", b'{"address": "a\xff@example.org", "value": "OPTED_OUT"', NO_TARGET, True),
    ],
)
async def test_what_nobody_can_tell_may_be_one(
    tenant: Tenant, format: str, content: str | bytes, target: Target, *, counts: bool
) -> None:
    totals, told = await run(tenant, format, content, target)
    assert (totals.refused, totals.refused_opt_outs) == (1, int(counts))
    [message] = told.values()
    assert message.endswith("; it is an opt-out, or may be one") == counts


async def test_each_line_that_a_quote_swallows_is_told_by_itself(tenant: Tenant) -> None:
    rows = [f'"ada@example.org,{RECORD.format("Opted Out")}', f"bob@example.org,{RECORD.format('Opted In')}", "cut,off"]
    totals, told = await run(tenant, "contact-point-consents", HEADER + "\n".join(rows))
    assert (totals.refused, totals.refused_opt_outs) == (3, 2)
    assert [line for line, message in sorted(told.items()) if message.endswith("may be one")] == [2, 4]


async def test_a_quoted_row_with_a_row_in_it_may_say_what_that_says(tenant: Tenant) -> None:
    header = ",".join(f'"{name}"' for name in (*HEADER.strip().split(","), "msdynmkt_reason"))
    yes = '"ada@example.org",' + ",".join(f'"{cell}"' for cell in RECORD.format("Opted In").split(","))
    for value, counted in (("Opted Out", 1), ("Opted In", 0)):
        row = f'{yes},"x\nbob@example.org,{RECORD.format(value)},y\nz"'
        totals, _ = await run(tenant, "contact-point-consents", f"{header}\n{row}\n")
        assert (totals.refused, totals.refused_opt_outs) == (1, counted)


async def test_a_column_is_named_once(tenant: Tenant) -> None:
    _, told = await run(tenant, "contacts", CONTACTS + "ada@example.org,0,0,0,2025-01-01 00:00:00\n")
    assert told[2].startswith("refused: modifiedon: it has no offset from UTC: ")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["ada@example.org,,,1"],
            "donotemail: {}; so does donotbulkemail; nothing is recorded for commercial, transactional",
        ),
        (
            ["ada@example.org,perhaps,1,"],
            "donotemail: {}; so does msgdpr_donottrack; nothing is recorded for transactional, tracking",
        ),
        (["ada@example.org,0,1,maybe"], "msgdpr_donottrack: {}; nothing is recorded for tracking"),
        # Another row of the address speaks of it: with this one it is an opt-out.
        (["ada@example.org,1,1,", "ada@example.org,0,0,0"], "msgdpr_donottrack: {}"),
    ],
)
async def test_what_of_a_contact_was_refused_is_told_in_full_and_counted(
    tenant: Tenant, rows: list[str], message: str
) -> None:
    content = CONTACTS + "".join(f"{row},{DATE}\n" for row in rows)
    expected = message.format(
        "it must say Allow or Do Not Allow, 0 or 1, false or true, No or Yes; "
        "what it says counts as not allowed for this address"
    )
    for dry_run, outcome in ((True, "recorded"), (False, "recorded"), (False, "unchanged")):
        totals, told = await run(tenant, "contacts", content, dry_run=dry_run)
        assert told[2] == f"{outcome}: {expected}; it is an opt-out, or may be one"
        assert (totals.refused, totals.partly_refused) == (0, 1)
        assert totals.to_json()["partlyRefused"] == 1
        assert totals.to_json()["refusedOptOuts"] == 1


@pytest.mark.parametrize("value", ["1e400", "-1e400", "NaN", '{"b": [Infinity]}', '"\\u0000"', '"\\ud800"'])
@pytest.mark.parametrize("dry_run", [True, False])
async def test_an_opt_out_is_recorded_without_an_attribute_that_is_none_and_that_is_said(
    tenant: Tenant, value: str, *, dry_run: bool
) -> None:
    line = (
        '{"address": "ada@example.org", "purpose": "commercial", "value": "OPTED_OUT",'
        f' "evidence": {{"method": "form", "attributes": {{"good": 1, "bad": {value}}}}}}}'
    )
    totals, told = await run(tenant, "ndjson", line, dry_run=dry_run)
    assert (totals.recorded, totals.partly_refused, totals.refused_opt_outs) == (1, 1, 0)
    assert told == {
        1: "recorded: evidence.attributes: left out 1 of 2: they must be valid text and finite numbers, all together of at"
        " most 8000 characters of JSON"
    }
    if not dry_run:
        [found] = [json.loads(line) async for line in exporting.ndjson(tenant, exporting.Left())]
        assert found["evidence"] == {"method": "form", "attributes": {"good": 1}}


async def test_an_opt_out_whose_attributes_are_none_or_too_long_is_recorded_and_that_is_said(tenant: Tenant) -> None:
    for attributes in ("1e400", "[1]", json.dumps({"a": "x" * 9_000})):
        line = (
            '{"address": "ada@example.org", "purpose": "commercial", "value": "OPTED_OUT",'
            f' "evidence": {{"attributes": {attributes}}}}}'
        )
        totals, told = await run(tenant, "ndjson", line)
        assert (totals.recorded, totals.partly_refused) == (1, 1)
        assert told[1].startswith("recorded: evidence.attributes: ")


def test_a_purpose_that_was_refused_is_told_though_another_is_recorded() -> None:
    captures = tuple(
        Capture(
            channel=Channel.EMAIL,
            address="ada@example.org",
            purpose=purpose,
            value=ConsentValue.OPTED_OUT,
            row_keys=(purpose,),
        )
        for purpose in ("commercial", "gone")
    )
    done = [Rehearsed(1, repeated=False), Refusal(RefusalCode.NOT_FOUND, "there is no such purpose", ("purpose",))]
    [row], events = outcomes(Work((2,), captures), done, lambda _: True)
    assert (row.outcome, row.message, row.opt_out, row.partly, events) == (
        Outcome.RECORDED, "there is no such purpose", True, True, 1,
    )  # fmt: skip


async def test_a_line_that_is_nested_too_deep_is_refused_and_the_next_is_read(tenant: Tenant) -> None:
    start = '{"address":"ada@example.org","purpose":"commercial","value":"OPTED_OUT","evidence":{"attributes":{"a":'
    for depth in (*range(900, 1_000, 5), 5_000):
        deep = start + "[" * depth + "]" * depth + "}}}\n"
        after = f'{{"address":"b{depth}@example.org","purpose":"commercial","value":"OPTED_OUT"}}\n'
        totals, _ = await run(tenant, "ndjson", deep + after)
        assert totals.rows == 2
        assert totals.refused_opt_outs + totals.recorded + totals.unchanged >= 2
