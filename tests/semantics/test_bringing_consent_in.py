"""SEMANTICS.md, "Bringing consent in": every sentence, on the real ledger."""

import asyncio
import csv
import gzip
import io
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.addresses import Channel
from domain.bounces import Bounce
from domain.catalogue import PurposeType
from domain.consent import ActorKind, ConsentSource, ConsentValue
from domain.refusals import Refusal
from eventstore.database import DatabaseAddress
from eventstore.read import StoredEntry
from ledger import history
from ledger.assembly import Caller, Tenant, ledger_on
from ledger.bounces import record_bounce
from ledger.catalogue import create_profile, create_purpose, create_topic, import_catalogue, update_purpose
from ledger.check import Question, check
from ledger.contactability import ConsentAt, consent_of
from ledger.erasure import erase_contact_point
from ledger.import_formats import Target
from ledger.import_rows import FileUnusable, Outcome, Totals
from ledger.importing import import_consents
from ledger.record import Actor, Capture, record_consent, record_consents

Reported = list[tuple[int, str, str, str]]
OUT, IN, NOT_SET = ConsentValue.OPTED_OUT, ConsentValue.OPTED_IN, ConsentValue.NOT_SET
ADA = "ada@example.org"
HEADER = "contactid,emailaddress1,donotemail,donotbulkemail,msgdpr_donottrack,modifiedon"
EARLY, LATE = "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"


async def run(
    tenant: Tenant, content: str | bytes, format: str, *, dry_run: bool = False, **target: str
) -> tuple[Totals, Reported]:
    raw = content.encode() if isinstance(content, str) else content
    reported: Reported = []

    def report(line: int, outcome: Outcome, code: str, message: str) -> None:
        reported.append((line, str(outcome), str(code), message))

    totals = await import_consents(
        tenant,
        io.BytesIO(raw),
        format=format,
        report=report,
        progress=lambda _: None,
        target=Target(
            profile=target.get("profile"),
            purpose=target.get("purpose"),
            topic=target.get("topic"),
            value=ConsentValue(target["value"]) if "value" in target else None,
            channel=Channel(target["channel"]) if "channel" in target else None,
            encoding=target.get("encoding"),
        ),
        dry_run=dry_run,
    )
    assert totals.rows == totals.recorded + totals.unchanged + totals.refused
    assert len([line for line in reported if line[1] != "recorded"]) == totals.unchanged + totals.refused
    return totals, sorted(reported)


def contacts(*rows: str) -> str:
    """A file of contacts; each row as `address,donotemail,donotbulkemail,donottrack,modifiedon`."""
    return "\n".join([HEADER, *(f"id{number},{row}" for number, row in enumerate(rows))]) + "\n"


def counts(totals: Totals) -> tuple[int, int, int, int]:
    return totals.recorded, totals.unchanged, totals.refused, totals.events


async def consent(
    tenant: Tenant,
    address: str,
    purpose: str = "commercial",
    topic: str | None = None,
    channel: Channel = Channel.EMAIL,
) -> tuple[ConsentValue, str | None]:
    """(the value that counts, effectiveAt) of an address."""
    found = await history.find_contact_point(tenant, channel, address)
    if found is None:
        return NOT_SET, None
    [at] = await consent_of(tenant, [(found.id, purpose, topic)])
    assert isinstance(at, ConsentAt)
    instant = None if at.record is None else at.record.effective_at
    return at.value, None if instant is None else instant.strftime("%Y-%m-%dT%H:%M:%SZ")


async def capture(
    tenant: Tenant, value: ConsentValue, effective_at: str | None = None, address: str = ADA, **fields: Any
) -> None:
    await record_consent(
        tenant,
        Caller("tests", frozenset()),
        Capture(
            channel=Channel.EMAIL,
            address=address,
            purpose=fields.pop("purpose", "commercial"),
            value=value,
            effective_at=None if effective_at is None else datetime.fromisoformat(effective_at),
            **fields,
        ),
    )


async def events(tenant: Tenant, address: str) -> list[StoredEntry]:
    """Every event at an address."""
    found = await history.find_contact_point(tenant, Channel.EMAIL, address)
    if found is None:
        return []
    pages = await history.histories(tenant, [found.id], history.EventFilter(), first=100)
    return [event for _, event in pages[found.id].items]


# Every combination of what the columns say: (donotemail, donotbulkemail, donottrack) -> (commercial, transactional, tracking).
LOADED = [
    ("Allow", "Allow", "Allow", IN, IN, IN),
    ("Allow", "Allow", "Do Not Allow", IN, IN, OUT),
    ("Allow", "Do Not Allow", "Allow", OUT, IN, IN),
    ("Allow", "Do Not Allow", "Do Not Allow", OUT, IN, OUT),
    ("Do Not Allow", "Allow", "Allow", OUT, OUT, IN),
    ("Do Not Allow", "Allow", "Do Not Allow", OUT, OUT, OUT),
    ("Do Not Allow", "Do Not Allow", "Allow", OUT, OUT, IN),
    ("Do Not Allow", "Do Not Allow", "Do Not Allow", OUT, OUT, OUT),
]


@pytest.mark.parametrize(("email", "bulk", "track", "commercial", "transactional", "tracking"), LOADED)
async def test_commercial_looks_at_both_transactional_at_donotemail_tracking_at_donottrack(
    tenant: Tenant,
    email: str,
    bulk: str,
    track: str,
    commercial: ConsentValue,
    transactional: ConsentValue,
    tracking: ConsentValue,
) -> None:
    totals, _ = await run(tenant, contacts(f"{ADA},{email},{bulk},{track},{LATE}"), "contacts")
    assert counts(totals) == (1, 0, 0, 3)
    assert await consent(tenant, ADA, "commercial") == (commercial, LATE)
    assert await consent(tenant, ADA, "transactional") == (transactional, LATE)
    assert await consent(tenant, ADA, "tracking") == (tracking, LATE)


@pytest.mark.parametrize(
    ("spelling", "value"),
    [("Allow", IN), ("allow", IN), ("0", IN), ("false", IN), ("FALSE", IN), ("No", IN), (" Allow ", IN),
     ("Do Not Allow", OUT), ("do not allow", OUT), ("1", OUT), ("true", OUT), ("True", OUT), ("Yes", OUT)],
)  # fmt: skip
async def test_the_columns_are_read_in_every_spelling_of_dynamics(
    tenant: Tenant, spelling: str, value: ConsentValue
) -> None:
    await run(tenant, contacts(f"{ADA},{spelling},Allow,Allow,{LATE}"), "contacts")
    assert (await consent(tenant, ADA))[0] is value


async def test_leads_have_no_column_for_tracking(tenant: Tenant) -> None:
    totals, _ = await run(
        tenant, f"leadid,emailaddress1,donotemail,donotbulkemail,modifiedon\n1,{ADA},0,0,{LATE}\n", "leads"
    )
    assert totals.events == 2
    assert await consent(tenant, ADA, "tracking") == (NOT_SET, None)
    with pytest.raises(Refusal, match="no column for TRACKING"):
        await run(tenant, "", "leads", purpose="tracking")


async def test_several_rows_with_the_same_address_are_opted_in_only_if_all_of_them_allow(tenant: Tenant) -> None:
    """Spelled differently, far apart, in any order; effective at the latest modifiedon among them."""
    rows = [f"{ADA},0,0,0,{EARLY}", "bob@example.org,0,0,0," + EARLY, f"ADA@Example.ORG ,0,1,0,{LATE}"]
    for number, order in enumerate((rows, rows[::-1])):
        renamed = [row.replace("@", f"{number}@") for row in order]
        totals, _ = await run(tenant, contacts(*renamed), "contacts")
        assert counts(totals) == (3, 0, 0, 6)
        assert await consent(tenant, f"ada{number}@example.org") == (OUT, LATE)
        assert await consent(tenant, f"ada{number}@example.org", "transactional") == (IN, LATE)


async def test_the_opt_out_of_an_older_row_counts_from_the_latest_modifiedon(tenant: Tenant) -> None:
    await run(tenant, contacts(f"{ADA},1,1,1,{EARLY}", f"{ADA},0,0,0,{LATE}"), "contacts")
    assert await consent(tenant, ADA) == (OUT, LATE)


async def test_an_existing_opt_out_is_never_turned_by_a_load_such_a_row_is_unchanged(tenant: Tenant) -> None:
    await capture(tenant, OUT, EARLY)
    totals, reported = await run(tenant, contacts(f"{ADA},0,0,0,{LATE}"), "contacts", purpose="commercial")
    assert counts(totals) == (0, 1, 0, 0)
    assert reported[0][:3] == (2, "unchanged", "OPTED_OUT")
    assert await consent(tenant, ADA) == (OUT, EARLY)


@pytest.mark.parametrize("value", ["OPTED_IN", "NOT_SET"])
async def test_an_existing_opt_out_is_never_turned_by_a_list(tenant: Tenant, value: str) -> None:
    await capture(tenant, OUT, EARLY)
    totals, reported = await run(
        tenant, f"emailaddress1\n{ADA}\n", "subscription-list", purpose="commercial", value=value
    )
    assert counts(totals) == (0, 1, 0, 0)
    assert reported[0][2] == "OPTED_OUT"
    assert await consent(tenant, ADA) == (OUT, EARLY)


async def test_an_opt_out_over_an_opt_out_is_evidence_and_is_recorded(tenant: Tenant) -> None:
    await capture(tenant, OUT, EARLY)
    totals, _ = await run(tenant, contacts(f"{ADA},1,1,1,{LATE}"), "contacts", purpose="commercial")
    assert counts(totals) == (1, 0, 0, 1)


async def test_an_opt_out_elsewhere_does_not_stand_in_the_way(tenant: Tenant, caller: Caller) -> None:
    await create_topic(tenant, caller, key="news", name="News", purpose="commercial")
    await capture(tenant, OUT, EARLY, topic="news")
    await capture(tenant, OUT, EARLY, purpose="tracking")
    totals, _ = await run(tenant, contacts(f"{ADA},0,0,0,{LATE}"), "contacts")
    assert counts(totals) == (1, 0, 0, 2)
    assert (await consent(tenant, ADA))[0] is IN
    assert (await consent(tenant, ADA, topic="news"))[0] is OUT
    assert (await consent(tenant, ADA, "tracking"))[0] is OUT


async def test_after_a_reset_or_an_opt_in_a_load_counts_again(tenant: Tenant) -> None:
    await capture(tenant, OUT, "2023-01-01T00:00:00Z")
    await capture(tenant, NOT_SET, EARLY)
    assert counts((await run(tenant, contacts(f"{ADA},0,0,0,{LATE}"), "contacts", purpose="commercial"))[0])[0] == 1
    assert await consent(tenant, ADA) == (IN, LATE)


async def test_an_opt_out_that_comes_in_while_a_load_is_decided_stays(
    tenant: Tenant, database: DatabaseAddress, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process records it between what the load looked at and what it writes."""
    async with ledger_on(database, data_dir / "master.key") as other:
        elsewhere = await other.tenant(tenant.key)
        decide = tenant.log._before_deciding
        came = False

        async def after_the_opt_out(*arguments: Any) -> None:
            nonlocal came
            await decide(*arguments)
            if not came:
                came = True
                await capture(elsewhere, OUT, EARLY)

        monkeypatch.setattr(tenant.log, "_before_deciding", after_the_opt_out)
        totals, _ = await run(tenant, contacts(f"{ADA},0,0,0,{LATE}"), "contacts", purpose="commercial")
    assert came
    assert counts(totals) == (0, 1, 0, 0)
    assert await consent(tenant, ADA) == (OUT, EARLY)


@pytest.mark.parametrize("first", ["record", "bounce"])
async def test_an_opt_out_in_the_very_group_of_a_load_stays(tenant: Tenant, caller: Caller, first: str) -> None:
    """Appended together, in one transaction: what comes before in the group is not in any table yet."""
    common = {"channel": Channel.EMAIL, "address": ADA, "purpose": "commercial"}
    load = Capture(**common, value=IN, effective_at=datetime.fromisoformat(LATE), row_keys=("row",))
    if first == "record":
        opt_out = Capture(**common, value=OUT, effective_at=datetime.fromisoformat(EARLY))
        await record_consents(tenant, caller, [opt_out, load])
        values = ["OPTED_OUT"]
    else:
        await asyncio.gather(
            record_bounce(tenant, caller, channel=Channel.EMAIL, address=ADA, bounce=Bounce.HARD),
            record_consents(tenant, caller, [load]),
        )
        values = [None]
    assert [event.entry.data.get("value") for event in await events(tenant, ADA)] == values


async def test_what_suppresses_an_address_is_not_ended_by_a_load(tenant: Tenant, caller: Caller) -> None:
    await capture(tenant, IN, EARLY)
    await record_bounce(tenant, caller, channel=Channel.EMAIL, address=ADA, bounce=Bounce.HARD)
    await capture(tenant, OUT, EARLY, "gone@example.org", actor=Actor(kind=ActorKind.RECIPIENT))
    await erase_contact_point(tenant, caller, channel=Channel.EMAIL, address="gone@example.org", reason="asked")
    totals, reported = await run(
        tenant, contacts(f"{ADA},0,0,0,{LATE}", f"gone@example.org,0,0,0,{LATE}"), "contacts", purpose="commercial"
    )
    assert counts(totals) == (0, 2, 0, 0)
    assert [line[2] for line in reported] == ["SUPPRESSED", "SUPPRESSED"]
    # Not even an address is kept of who was erased.
    assert await history.find_contact_point(tenant, Channel.EMAIL, "gone@example.org") is None


@pytest.mark.parametrize(
    ("cells", "said", "column"),
    [
        ("1,1,", {"commercial": OUT, "transactional": OUT, "tracking": NOT_SET}, "msgdpr_donottrack"),
        ("0,1,maybe", {"commercial": OUT, "transactional": NOT_SET, "tracking": NOT_SET}, "msgdpr_donottrack"),
        (",1,0", {"commercial": OUT, "transactional": NOT_SET, "tracking": NOT_SET}, "donotemail"),
        (",,1", {"commercial": NOT_SET, "transactional": NOT_SET, "tracking": OUT}, "donotemail"),
    ],
)
async def test_what_a_row_says_no_to_is_recorded_whatever_another_of_its_cells_says(
    tenant: Tenant, cells: str, said: dict[str, ConsentValue], column: str
) -> None:
    file = contacts(f"{ADA},{cells},{EARLY}")
    led_to = sum(value is not NOT_SET for value in said.values())
    for dry_run, expected in ((True, (1, 0, 0, led_to)), (False, (1, 0, 0, led_to)), (False, (0, 1, 0, 0))):
        totals, [(line, outcome, code, message)] = await run(tenant, file, "contacts", dry_run=dry_run)
        assert counts(totals) == expected
        assert (line, outcome, code) == (2, "recorded" if totals.recorded else "unchanged", "INVALID")
        assert message.startswith(column)
    for purpose, value in said.items():
        assert (await consent(tenant, ADA, purpose))[0] is value


async def test_a_cell_that_cannot_be_read_opts_out_where_another_row_speaks_of_it(tenant: Tenant) -> None:
    totals, reported = await run(tenant, contacts(f"{ADA},1,1,,{EARLY}", f"{ADA},0,0,0,{LATE}"), "contacts")
    assert counts(totals) == (2, 0, 0, 3)
    assert [(line, outcome) for line, outcome, *_ in reported] == [(2, "recorded")]
    assert await consent(tenant, ADA, "tracking") == (OUT, LATE)


async def test_a_refused_row_allows_nothing_at_its_address(tenant: Tenant) -> None:
    """What it says cannot be read, so not all rows of the address allow; that it forbids is recorded by no row of its own."""
    totals, reported = await run(
        tenant,
        contacts(
            f"{ADA},0,0,0,{EARLY}",
            f"{ADA},maybe,0,0,{LATE}",
            f"bob@example.org,,0,0,{LATE}",
            "c@example.org,0,0,0,soon",
        ),
        "contacts",
    )
    assert counts(totals) == (1, 0, 3, 3)
    assert [(line, code) for line, _, code, _ in reported] == [(3, "INVALID"), (4, "INVALID"), (5, "INVALID")]
    assert "donotemail" in reported[0][3]
    assert "modifiedon" in reported[2][3]
    assert await consent(tenant, ADA) == (OUT, LATE)
    assert await consent(tenant, ADA, "tracking") == (IN, LATE)
    assert await consent(tenant, "bob@example.org") == (NOT_SET, None)


async def test_a_load_sets_all_active_purposes_of_the_profile_or_the_one_that_is_named(
    tenant: Tenant, caller: Caller
) -> None:
    await create_profile(tenant, caller, key="brand", name="Brand")
    for key in ("more", "old"):
        await create_purpose(tenant, caller, key=key, name=key, type=PurposeType.COMMERCIAL, profiles=["brand"])
    await update_purpose(tenant, caller, ref="old", active=False)
    content = contacts(f"{ADA},0,1,0,{LATE}")
    totals, _ = await run(tenant, content, "contacts", profile="brand")
    # What is inactive is opted out of, too.
    assert totals.events == 5
    assert (await consent(tenant, ADA, "old"))[0] is OUT
    assert [(await consent(tenant, ADA, key))[0] for key in ("brand-commercial", "more", "brand-transactional")] == [
        OUT, OUT, IN,
    ]  # fmt: skip
    assert await consent(tenant, ADA, "commercial") == (NOT_SET, None)
    totals, _ = await run(tenant, content, "contacts", purpose="transactional")
    assert totals.events == 1
    with pytest.raises(Refusal, match="does not belong to profile"):
        await run(tenant, content, "contacts", purpose="more")


async def test_guids_come_in_with_a_catalogue_file_and_one_that_nothing_has_is_an_error_of_its_row(
    tenant: Tenant, caller: Caller
) -> None:
    guid = "10000000-0000-4000-8000-000000000003"
    row = f"{ADA},Email,Purpose,{guid},,Opted Out,{LATE}"
    header = (
        "msdynmkt_contactpointvalue,msdynmkt_contactpointtype,msdynmkt_contactpointconsenttype,msdynmkt_purposeid,"
        "msdynmkt_topicid,msdynmkt_value,modifiedon"
    )
    content = f"{header}\n{row}\n"
    totals, reported = await run(tenant, content, "contact-point-consents")
    assert (counts(totals), reported[0][2]) == ((0, 0, 1, 0), "NOT_FOUND")
    done = await import_catalogue(tenant, caller, {"purposes": [{"key": "commercial", "guid": guid}, {"key": "more"}]})
    assert (done.items, done.changed) == (2, 2)
    assert counts((await run(tenant, content, "contact-point-consents"))[0]) == (1, 0, 0, 1)
    # What was recorded under the GUID is under the purpose that has it.
    assert await consent(tenant, ADA) == (OUT, LATE)


async def test_members_go_into_a_chosen_purpose_or_topic_with_a_chosen_value_effective_at_the_import(
    tenant: Tenant, caller: Caller
) -> None:
    await create_topic(tenant, caller, key="news", name="News", purpose="commercial")
    before = datetime.now(UTC) - timedelta(seconds=2)
    where = {"purpose": "commercial", "topic": "news", "value": "OPTED_IN"}
    totals, _ = await run(tenant, f"emailaddress1\n{ADA}\n", "subscription-list", **where)
    assert counts(totals) == (1, 0, 0, 1)
    value, effective = await consent(tenant, ADA, topic="news")
    assert value is IN
    assert effective is not None
    assert before <= datetime.fromisoformat(effective) <= datetime.now(UTC)
    assert await consent(tenant, ADA) == (NOT_SET, None)
    totals, _ = await run(tenant, "mobilephone\n+14155559194\n", "subscription-list", purpose="commercial",
                          value="OPTED_OUT", channel="SMS")  # fmt: skip
    assert (await consent(tenant, "+1 415 555 9194", channel=Channel.SMS))[0] is OUT


async def test_no_other_column_of_a_list_is_read(tenant: Tenant) -> None:
    where = {"purpose": "commercial", "value": "OPTED_IN"}
    content = "name,emailaddress1,donotbulkemail,modifiedon\nA,{0},1,never\nB,ADA@EXAMPLE.ORG,0,2020-01-01\n"
    totals, _ = await run(tenant, content.format(ADA), "subscription-list", **where)
    # The same address again is the same member.
    assert counts(totals) == (1, 1, 0, 1)
    assert (await consent(tenant, ADA))[0] is IN
    totals, _ = await run(tenant, f"emailaddress1\n{ADA}\n", "subscription-list", **where)
    assert counts(totals) == (0, 1, 0, 0)


async def test_a_list_is_another_place_for_another_value(tenant: Tenant) -> None:
    content = f"emailaddress1\n{ADA}\n"
    await run(tenant, content, "subscription-list", purpose="commercial", value="OPTED_IN")
    totals, _ = await run(tenant, content, "subscription-list", purpose="commercial", value="OPTED_OUT")
    assert counts(totals) == (1, 0, 0, 1)
    totals, _ = await run(tenant, content, "subscription-list", purpose="commercial", value="OPTED_IN")
    assert counts(totals) == (0, 1, 0, 0)
    assert (await consent(tenant, ADA))[0] is OUT


async def test_a_row_without_an_address_is_refused_too(tenant: Tenant) -> None:
    totals, reported = await run(tenant, contacts(f",0,0,0,{LATE}", f"nobody,0,0,0,{LATE}"), "contacts")
    assert counts(totals) == (0, 0, 2, 0)
    assert [line[2] for line in reported] == ["INVALID_ADDRESS"] * 2
    assert all("nobody" not in line[3] for line in reported)


async def test_a_row_imported_before_into_the_same_place_all_its_columns_the_same_is_unchanged(tenant: Tenant) -> None:
    one, two = f"{ADA},0,0,0,{EARLY}", f"{ADA},0,0,1,{LATE}"
    assert counts((await run(tenant, contacts(one, two), "contacts"))[0]) == (2, 0, 0, 3)
    assert counts((await run(tenant, contacts(one, two), "contacts"))[0]) == (0, 2, 0, 0)
    # One of them alone, too; what the other said stays.
    assert counts((await run(tenant, contacts(one), "contacts"))[0]) == (0, 1, 0, 0)
    assert (await consent(tenant, ADA, "tracking"))[0] is OUT
    # A further row of the address is new, and the old ones still say what they said.
    changed = contacts(one, two, f"{ADA},0,1,0,2025-02-01T00:00:00Z")
    assert counts((await run(tenant, changed, "contacts"))[0]) == (1, 2, 0, 3)
    assert await consent(tenant, ADA) == (OUT, "2025-02-01T00:00:00Z")
    # Another place: another purpose that the profile has got since.
    assert counts((await run(tenant, contacts(one), "leads"))[0]) == (1, 0, 0, 1)


async def test_the_same_row_twice_in_a_file_is_recorded_once(tenant: Tenant) -> None:
    row = f"{ADA},0,0,0,{EARLY}"
    content = f"{HEADER}\n1,{row}\n1,{row}\n"
    assert counts((await run(tenant, content, "contacts", dry_run=True))[0]) == (1, 1, 0, 3)
    assert counts((await run(tenant, content, "contacts"))[0]) == (1, 1, 0, 3)


async def test_an_address_with_more_rows_than_one_event_holds_is_decided_by_all_of_them(tenant: Tenant) -> None:
    rows = [f"{ADA},0,0,0,{EARLY}" for _ in range(300)] + [f"{ADA},0,1,0,{LATE}"]
    content = contacts(*rows)
    rehearsed, _ = await run(tenant, content, "contacts", purpose="commercial", dry_run=True)
    totals, _ = await run(tenant, content, "contacts", purpose="commercial")
    assert counts(totals) == counts(rehearsed)
    assert (totals.recorded, totals.events) == (301, 5)
    assert await consent(tenant, ADA) == (OUT, LATE)
    assert {event.entry.data["value"] for event in await events(tenant, ADA)} == {"OPTED_OUT"}
    assert counts((await run(tenant, content, "contacts", purpose="commercial"))[0]) == (0, 301, 0, 0)


async def test_a_dry_run_says_what_the_import_then_does(tenant: Tenant) -> None:
    await capture(tenant, OUT, EARLY)
    await run(tenant, contacts(f"known@example.org,0,0,0,{LATE}"), "contacts")
    content = contacts(
        f"known@example.org,0,0,0,{LATE}", f"{ADA},0,0,0,{LATE}", f"new@example.org,0,0,0,{LATE}", f",0,0,0,{LATE}"
    )
    rehearsed, said = await run(tenant, content, "contacts", purpose="commercial", dry_run=True)
    assert counts(rehearsed) == (1, 2, 1, 1)
    assert await history.find_contact_point(tenant, Channel.EMAIL, "new@example.org") is None
    done, told = await run(tenant, content, "contacts", purpose="commercial")
    assert (counts(done), told) == (counts(rehearsed), said)


async def test_a_load_says_where_it_came_from(tenant: Tenant) -> None:
    await run(tenant, contacts(f"{ADA},0,0,0,{LATE}"), "contacts", purpose="commercial")
    [event] = await events(tenant, ADA)
    assert (event.entry.data["source"], event.entry.actor) == (ConsentSource.LOAD_CONSENT, "SYSTEM")
    assert event.entry.application == "import"


FILES = [
    pytest.param(lambda text: text.encode(), id="UTF-8"),
    pytest.param(lambda text: text.encode("utf-8-sig"), id="UTF-8 with a mark"),
    pytest.param(lambda text: text.encode("utf-16"), id="UTF-16 with a mark"),
    pytest.param(lambda text: b"\xfe\xff" + text.encode("utf-16-be"), id="UTF-16 big-endian"),
    pytest.param(lambda text: text.encode("utf-16-le"), id="UTF-16 without a mark"),
    pytest.param(lambda text: text.encode("cp1252"), id="Windows-1252"),
    pytest.param(lambda text: text.replace(",", ";").encode(), id="semicolons"),
    pytest.param(lambda text: text.replace(",", "\t").encode("utf-16"), id="tabs in UTF-16, as Excel writes it"),
    pytest.param(lambda text: ("sep=;\r\n" + text.replace(",", ";")).encode(), id="sep="),
    pytest.param(lambda text: text.replace("\n", "\r\n").encode(), id="CRLF"),
    pytest.param(lambda text: text.replace("\n", "\r").encode(), id="CR"),
    pytest.param(lambda text: text.rstrip("\n").encode(), id="no end of line"),
    pytest.param(lambda text: text.replace("emailaddress1", " EmailAddress1 ").encode(), id="names in any case"),
]


@pytest.mark.parametrize("written", FILES)
async def test_files_are_read_as_they_come(tenant: Tenant, written: Callable[[str], bytes]) -> None:
    content = contacts(f"jürgen@example.org,0,1,0,{LATE}", f"{ADA},0,0,0,{LATE}")
    file = written(content)
    # A code page is the one thing that a file does not show.
    told = {"encoding": "windows-1252"} if file == content.encode("cp1252") else {}
    totals, reported = await run(tenant, file, "contacts", **told)
    assert (counts(totals), reported) == ((2, 0, 0, 6), [])
    assert await consent(tenant, "JÜRGEN@example.org") == (OUT, LATE)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b"a,b\n1,2\n", "lacks the columns emailaddress1"),
        (contacts().replace("donotbulkemail,", "").encode(), "lacks the columns donotbulkemail"),
        (contacts().replace("contactid", "DoNotEmail").encode(), "names a column twice: donotemail"),
        (HEADER.replace(",", "|").encode(), "separated by comma, semicolon or tab"),
        (gzip.compress(contacts().encode(), mtime=0), "compressed (gzip)"),
        (b"PK\x03\x04rest", "ZIP"),
        (b"\xff\xfe\x00\x00" + contacts().encode("utf-32-le"), "UTF-32"),
        (b"x" * 100_000, "does not end within"),
    ],
)
async def test_a_file_that_is_of_no_use_is_told_why(tenant: Tenant, content: bytes, says: str) -> None:
    with pytest.raises(FileUnusable) as unusable:
        await run(tenant, content, "contacts")
    assert says in str(unusable.value)


async def test_what_is_neither_encoding_is_refused_by_its_row_and_nothing_is_guessed(tenant: Tenant) -> None:
    good = f"1,jürgen@example.org,0,0,0,{LATE}\n".encode()
    bad = f"2,jürgen@example.net,1,1,1,{LATE}\n".encode("cp1252")
    totals, reported = await run(tenant, HEADER.encode() + b"\n" + good + bad, "contacts")
    assert counts(totals) == (1, 0, 1, 3)
    assert (reported[0][0], "is not UTF-8" in reported[0][3]) == (3, True)


async def test_nuls_and_half_a_row_spoil_their_own_row_alone(tenant: Tenant) -> None:
    content = contacts(f"a\0@example.org,0,0,0,{LATE}", f"{ADA},0,0,0,{LATE}", "b@example.org,0,0")
    totals, reported = await run(tenant, content, "contacts")
    assert counts(totals) == (1, 0, 2, 3)
    assert [line for line, *_ in reported] == [2, 4]


@pytest.mark.parametrize(
    ("format", "target", "field"),
    [
        ("contacts", {"topic": "news"}, "topic"),
        ("contacts", {"value": "OPTED_IN"}, "value"),
        ("contacts", {"channel": "SMS"}, "channel"),
        ("contacts", {"profile": "nope"}, "profile"),
        ("contact-point-consents", {"purpose": "commercial"}, "purpose"),
        ("ndjson", {"profile": "default"}, "profile"),
        ("subscription-list", {"value": "OPTED_IN"}, "purpose"),
        ("subscription-list", {"purpose": "commercial"}, "value"),
        ("subscription-list", {"purpose": "commercial", "value": "OPTED_IN", "topic": "nope"}, "topic"),
        ("subscription-list", {"purpose": "commercial", "value": "OPTED_IN", "channel": "PUSH"}, "channel"),
        ("faxes", {}, "format"),
    ],
)
async def test_a_place_that_rows_cannot_go_into_is_named(
    tenant: Tenant, format: str, target: dict[str, str], field: str
) -> None:
    with pytest.raises(Refusal) as refused:
        await run(tenant, contacts(), format, **target)
    assert refused.value.path == (field,)


# Worked out by hand from the rows of shared/data/contacts.csv, whose lines are named:
# (address, commercial, transactional, tracking, the latest modifiedon).
BY_HAND: Sequence[tuple[str, ConsentValue, ConsentValue, ConsentValue, str]] = [
    ("Barbara.Perlman1244@contoso.example", OUT, IN, IN, "2024-11-12T21:10:19Z"),  # 927, 1994, 4261
    ("Margaret.Allen2817@example.org", OUT, IN, IN, "2025-10-18T00:41:53Z"),  # 1250, 2183
    ("Søren.Lovelace2511@northwind.example", OUT, IN, OUT, "2023-03-19T04:41:16Z"),  # 392, 1764
    ("edsger.torvalds2204@example.com", OUT, IN, OUT, "2025-02-16T15:24:32Z"),  # 1773, 3997
    ("Alan.Turing923@contoso.example", OUT, IN, OUT, "2024-12-24T19:39:26Z"),  # 2412, 4634
    ("Ada.Dijkstra339@bücher.example", IN, IN, OUT, "2025-01-30T22:35:08Z"),  # 602, 4215
    ("SØREN.GOLDWASSER2972@example.com", OUT, OUT, OUT, "2025-04-30T03:37:29Z"),  # 342, 917, 2647
    ("Frances.Żak2784@example.org", OUT, IN, OUT, "2025-10-18T05:02:22Z"),  # 251, 417, 1997
    ("Alan.Żak1698@fabrikam.example", IN, IN, IN, "2025-12-01T12:11:55Z"),  # 73, 1048
    ("Tim.Turing1011@northwind.example", IN, IN, OUT, "2024-10-16T10:07:48Z"),  # 1816, 4173
    ("Radia.Torvalds1407@northwind.example", OUT, IN, OUT, "2025-11-03T17:24:55Z"),  # 3207, 4153, 4207, 4575
    ("Frances.Wirth1121@contoso.example", IN, IN, OUT, "2025-07-12T03:57:07Z"),  # 1178, 2363
    ("Ken.Hopper2463@northwind.example", IN, IN, IN, "2025-05-16T04:35:21Z"),  # 222, 287
    ("Edsger.Ritchie3621@mail.tailspin.example", IN, IN, OUT, "2025-10-19T18:15:37Z"),  # 7, 600, 1386, 4332, 4872
    ("Søren.Żak3394@contoso.example", OUT, IN, OUT, "2025-12-10T15:15:24Z"),  # 43, 376, 893, 3782, 4115
    ("Łukasz.Hopper2384@xn--bcher-kva.example", IN, IN, OUT, "2023-01-13T08:13:30Z"),  # 99
    ("Grace.Allen178@example.org", IN, IN, IN, "2024-12-30T14:04:52Z"),  # 240
    ("Donald.Ritchie1775@contoso.example", IN, IN, OUT, "2025-07-26T14:09:43Z"),  # 393
    ("Margaret.Turing90556@northwind.example", OUT, IN, IN, "2024-05-30T16:04:53Z"),  # 558
    ("Sophie.Goldwasser90723@contoso.example", IN, IN, IN, "2024-06-22T07:54:52Z"),  # 725
    ("Linus.Wilson3229@contoso.example", OUT, OUT, OUT, "2024-08-14T02:04:17Z"),  # 903
]


async def test_the_messy_contacts_come_in_right_and_running_them_again_records_nothing(
    tenant: Tenant, shared: Callable[[str], Path]
) -> None:
    content = shared("data/contacts.csv").read_bytes()
    rehearsed, said = await run(tenant, content, "contacts", dry_run=True)
    totals, reported = await run(tenant, content, "contacts")
    # 52 rows have no address; the others are of 3,182 addresses, three purposes each.
    assert (totals.rows, *counts(totals)) == (5_000, 4_948, 0, 52, 9_546)
    assert (counts(rehearsed), said) == (counts(totals), reported)
    assert {code for _, _, code, _ in reported} == {"INVALID_ADDRESS"}
    for address, commercial, transactional, tracking, effective in BY_HAND:
        found = [await consent(tenant, address, key) for key in ("commercial", "transactional", "tracking")]
        assert (address, found) == (
            address, [(commercial, effective), (transactional, effective), (tracking, effective)],
        )  # fmt: skip
    assert counts((await run(tenant, content, "contacts"))[0]) == (0, 4_948, 52, 0)


async def test_the_list_comes_in_right_after_the_records_and_running_it_again_records_nothing(
    tenant: Tenant, caller: Caller, shared: Callable[[str], Path]
) -> None:
    await import_catalogue(tenant, caller, json.loads(shared("data/catalogue.json").read_bytes()))
    await run(tenant, shared("data/contact_point_consents.csv").read_bytes(), "contact-point-consents")
    content = shared("data/subscription_list.csv").read_bytes()
    members = [row["emailaddress1"] for row in csv.DictReader(io.StringIO(content.decode()))]
    before = {member: await consent(tenant, member, topic="newsletter") for member in members}
    where = {"purpose": "commercial", "topic": "newsletter", "value": "OPTED_IN"}
    totals, reported = await run(tenant, content, "subscription-list", **where)
    kept = [member for member in members if before[member][0] is OUT]
    # By hand: these two are opted out of the newsletter in contact_point_consents.csv, and these two opted in.
    assert {"Frances.Lee7443@example.org", "Jürgen.Lamport11387@northwind.example"} <= set(kept)
    assert before["Shafi.Perlman3639@example.org"] == (IN, "2025-04-07T19:14:07Z")
    assert before["Donald.Wirth11668@example.org"] == (IN, "2025-12-28T09:45:40Z")
    assert counts(totals) == (2_000 - len(kept), len(kept), 0, 2_000 - len(kept))
    assert {code for _, _, code, _ in reported} == {"OPTED_OUT"}
    for member in members:
        value, effective = await consent(tenant, member, topic="newsletter")
        assert (value, effective) == before[member] if member in kept else value is IN
    assert counts((await run(tenant, content, "subscription-list", **where))[0]) == (0, 2_000, 0, 0)


async def test_an_old_opt_in_after_a_newer_opt_out_is_recorded_and_does_not_count(tenant: Tenant) -> None:
    header = (
        "msdynmkt_contactpointvalue,msdynmkt_contactpointtype,msdynmkt_contactpointconsenttype,msdynmkt_purposeid,"
        "msdynmkt_topicid,msdynmkt_value,modifiedon"
    )
    rows = [f"{ADA},Email,Purpose,commercial,,Opted Out,{LATE}", f"{ADA},Email,Purpose,commercial,,Opted In,{EARLY}",
            f"{ADA},Email,Purpose,commercial,,Opted In,{LATE}"]  # fmt: skip
    totals, _ = await run(tenant, "\n".join([header, *rows]), "contact-point-consents")
    assert counts(totals) == (3, 0, 0, 3)
    # Of duplicates that disagree at one instant the most restrictive counts.
    assert await consent(tenant, ADA) == (OUT, LATE)
    [answer] = await check(tenant, Question(channel=Channel.EMAIL, addresses=[ADA], purpose="commercial"))
    assert not answer.decision.allowed
