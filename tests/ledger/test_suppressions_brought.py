"""What erasures suppressed goes out as what it is, and blocks the same in a tenant with the same blind indexes."""

import asyncio
import io
import itertools
import json
from base64 import b64decode, b64encode
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from domain.addresses import Channel
from domain.catalogue import EnforcementModel, PurposeType
from domain.consent import ActorKind, ConsentSource, ConsentValue
from domain.decision import Contactability
from domain.events import CONTACT_POINT_TYPES, CURRENT_VERSIONS, EventType
from domain.refusals import Refusal, RefusalCode
from domain.suppression import LEVELS_MAX, Suppression, brought
from domain.time import parse_instant
from domain.upcasting import upcast
from eventstore import read
from eventstore.personal.keyring import Keyring, KeyUnusable
from eventstore.read import EntryFilter, StoredEntry
from ledger import exporting, history
from ledger.assembly import Caller, Tenant
from ledger.catalogue import create_purpose, create_topic, import_catalogue, update_purpose
from ledger.check import Question, check
from ledger.erasure import erase_contact_point
from ledger.erasure_completion import complete_pending
from ledger.import_rows import Totals
from ledger.importing import import_consents
from ledger.rebuilding import projections_named, rebuild_projections
from ledger.record import Actor, Capture, record_consent
from ledger.replaying import replay
from ledger.selection import Selection, select
from ledger.tenants import create_tenant
from ledger.verifying import DatabaseMismatch, verify_database
from tests.conftest import Clock

ADA, GRACE, JEAN, NEW = "ada@example.org", "grace@example.org", "jean@example.org", "new@example.org"
PEOPLE = [ADA, GRACE, JEAN, NEW]
PERSON = Actor(kind=ActorKind.RECIPIENT)
PURPOSES = ("commercial", "transactional", "more")
_numbers = itertools.count(1)


def capture(address: str, value: ConsentValue, purpose: str = "commercial", **fields: Any) -> Capture:
    return Capture(channel=Channel.EMAIL, address=address, purpose=purpose, value=value, **fields)


async def erase(tenant: Tenant, caller: Caller, address: str = ADA, **fields: Any) -> None:
    await erase_contact_point(tenant, caller, channel=Channel.EMAIL, address=address, reason="asked", **fields)


async def erased(tenant: Tenant, caller: Caller, address: str = ADA, **fields: Any) -> None:
    await record_consent(tenant, caller, capture(address, ConsentValue.OPTED_OUT, **fields))
    await erase(tenant, caller, address)


async def exported(tenant: Tenant) -> tuple[str, exporting.Left]:
    left = exporting.Left()
    return "".join([line + "\n" async for line in exporting.ndjson(tenant, left)]), left


async def copy_of(tenant: Tenant, caller: Caller, *, same_key: bool = True) -> Tenant:
    key = tenant.keys.blind_index if same_key else None
    other = await create_tenant(tenant.ledger, f"copy-of-suppressions-{next(_numbers)}", "Copy", blind_index_key=key)
    await import_catalogue(other, caller, json.loads(json.dumps(await exporting.catalogue(tenant))), allow_looser=True)
    return other


async def bring_in(
    tenant: Tenant, content: str, *, dry_run: bool = False, told: list[tuple[str, str]] | None = None
) -> Totals:
    return await import_consents(
        tenant,
        io.BytesIO(content.encode()),
        format="ndjson",
        report=lambda _line, outcome, code, _message: None if told is None else told.append((outcome, code)),
        progress=lambda _: None,
        dry_run=dry_run,
    )


async def grid(tenant: Tenant) -> list[object]:
    """Every decision, with its reasons and the value found, for each purpose and topic."""
    return [
        (answer.address, purpose, topic, answer.decision.allowed, answer.tracking.allowed,
         [(reason.code, reason.value) for reason in answer.decision.reasons])
        for purpose, topic in (*((one, None) for one in PURPOSES), ("transactional", "alerts"))
        for answer in await check(
            tenant, Question(channel=Channel.EMAIL, addresses=PEOPLE, purpose=purpose, topic=topic)
        )
    ]  # fmt: skip


async def reason(tenant: Tenant, purpose: str = "commercial", address: str = ADA) -> str:
    [answer] = await check(tenant, Question(channel=Channel.EMAIL, addresses=[address], purpose=purpose))
    return str(answer.decision.reasons[0].code)


async def suppressed_events(tenant: Tenant) -> list[StoredEntry]:
    async with tenant.ledger.connection() as connection:
        only = EntryFilter(types=[EventType.CONTACT_POINT_SUPPRESSED])
        return await read.forward(connection, tenant.id, only, limit=1_000)


async def will_send(tenant: Tenant, purpose: str = "commercial") -> set[UUID]:
    page = await select(
        tenant,
        Selection(channel=Channel.EMAIL, purpose=purpose, contactability=Contactability.WILL_SEND),
        first=100,
        after=None,
    )
    return {point.id for _, point in page.items}


@pytest.mark.parametrize("enforcement", list(EnforcementModel))
async def test_a_copy_gives_the_same_answers_for_the_same_reasons(
    tenant: Tenant, caller: Caller, enforcement: EnforcementModel
) -> None:
    await create_purpose(tenant, caller, key="more", name="More", type=PurposeType.TRANSACTIONAL, profiles=["default"])
    await create_topic(tenant, caller, key="alerts", name="Alerts", purpose="transactional")
    for purpose in (*PURPOSES, "tracking"):
        await update_purpose(tenant, caller, ref=purpose, enforcement=[(Channel.EMAIL, enforcement)])
    # Ada is gone for good; Grace opted out of more than the rest, and came back; Jean asked that nothing be left.
    await record_consent(tenant, caller, capture(ADA, ConsentValue.OPTED_OUT, "transactional", topic="alerts"))
    await erase(tenant, caller, ADA)
    await record_consent(tenant, caller, capture(GRACE, ConsentValue.OPTED_OUT, "more"))
    await erase(tenant, caller, GRACE)
    await record_consent(tenant, caller, capture(GRACE, ConsentValue.OPTED_IN, "transactional", actor=PERSON))
    await record_consent(tenant, caller, capture(GRACE, ConsentValue.OPTED_IN))
    await record_consent(tenant, caller, capture(JEAN, ConsentValue.OPTED_OUT))
    await erase(tenant, caller, JEAN, keep_suppression=False)
    content, left = await exported(tenant)
    assert (left.by_blind_index, left.erased_suppressions) == (1, 0)
    other = await copy_of(tenant, caller)
    rehearsed = await bring_in(other, content, dry_run=True)
    first = await bring_in(other, content)
    again = await bring_in(other, content)
    assert (first.rows, first.recorded, first.events) == (4, 4, 4)
    assert rehearsed.to_json() == first.to_json()
    assert (again.recorded, again.unchanged, again.events) == (0, 4, 0)
    answers = await grid(tenant)
    assert await grid(other) == answers
    assert (ADA, "commercial", None, False, False, [("SUPPRESSED", "NOT_SET")]) in answers
    await verify_database(other)
    assert (await exported(other))[1].by_blind_index == 1, "and it goes on from there"


async def test_whatever_comes_up_with_the_address_is_blocked(tenant: Tenant, caller: Caller) -> None:
    await erased(tenant, caller)
    other = await copy_of(tenant, caller)
    await bring_in(other, (await exported(tenant))[0])
    line = {"channel": "EMAIL", "address": ADA, "purpose": "commercial", "value": "OPTED_IN"}
    assert (await bring_in(other, json.dumps(line))).recorded == 1
    assert await reason(other) == "SUPPRESSED"
    await verify_database(other)
    assert await will_send(other) == set()
    [replayed] = (await replay(other)).rows
    assert replayed.value is ConsentValue.OPTED_IN, "the log's own records are as they are"


async def test_every_read_model_is_what_the_log_makes_of_it_anew(tenant: Tenant, caller: Caller) -> None:
    await erased(tenant, caller, ADA)
    await erased(tenant, caller, GRACE)
    other = await copy_of(tenant, caller)
    await record_consent(other, caller, capture(GRACE, ConsentValue.OPTED_IN, actor=PERSON))
    await bring_in(other, (await exported(tenant))[0])
    await will_send(other)
    names = projections_named(None)
    rebuilt = [
        one.rebuilt.compared
        async for one in rebuild_projections(
            other.ledger, [other], names, accept=False, restart=True, progress=lambda *_: None
        )
    ]
    assert [one.differing for one in rebuilt] == [0] * len(names)


async def test_the_file_names_nobody_who_was_erased(tenant: Tenant, caller: Caller) -> None:
    await erased(tenant, caller)
    content, _ = await exported(tenant)
    assert "ada" not in content.lower()
    [line] = map(json.loads, content.splitlines())
    assert set(line) == {"suppression", "channel", "blindIndex", "blindIndexKey", "since", "covers"}
    assert b64decode(line["blindIndex"]) == tenant.blind_index(Channel.EMAIL, ADA)
    assert tenant.keys.blind_index not in (b64decode(line["blindIndex"]), b64decode(line["blindIndexKey"]))


async def test_another_key_refuses_it_as_an_opt_out_that_is_lost(tenant: Tenant, caller: Caller) -> None:
    await erased(tenant, caller)
    other = await copy_of(tenant, caller, same_key=False)
    totals = await bring_in(other, (await exported(tenant))[0])
    assert (totals.recorded, totals.refused, totals.refused_opt_outs) == (0, 1, 1)
    assert await suppressed_events(other) == []


async def test_an_address_that_came_up_again_is_blocked_whatever_the_key(tenant: Tenant, caller: Caller) -> None:
    await erased(tenant, caller)
    await record_consent(tenant, caller, capture(ADA, ConsentValue.OPTED_IN))
    content, left = await exported(tenant)
    assert {name: count for name, count in vars(left).items() if count} == {"erased": 1}
    other = await copy_of(tenant, caller, same_key=False)
    assert (await bring_in(other, content)).refused == 0
    assert await reason(other) == await reason(tenant) == "SUPPRESSED"
    assert await will_send(other) == set(), "also where it was there before what suppresses it"


async def test_the_bits_of_a_contact_point_that_was_there_before_follow(tenant: Tenant, caller: Caller) -> None:
    await erased(tenant, caller)
    other = await copy_of(tenant, caller)
    await record_consent(other, caller, capture(ADA, ConsentValue.OPTED_IN))
    assert len(await will_send(other)) == 1
    await bring_in(other, (await exported(tenant))[0])
    assert await will_send(other) == set()
    [event] = await suppressed_events(other)
    held = await history.find_contact_point(other, Channel.EMAIL, ADA)
    assert held is not None
    assert event.entry.stream == held.id, "it stands in the history of whom it blocks"
    # That contact point is erased as any other, and two suppressions stay.
    await erase(other, caller)
    assert await reason(other) == "SUPPRESSED"
    await verify_database(other)
    assert (await exported(other))[1].by_blind_index == 2


@pytest.mark.parametrize(
    ("later", "fields", "expected"),
    [
        (True, {"actor": PERSON}, "OPTED_IN"),
        (True, {}, "SUPPRESSED"),
        (True, {"source": ConsentSource.OPERATOR}, "SUPPRESSED"),
        (False, {"actor": PERSON}, "SUPPRESSED"),
    ],
)
async def test_it_ends_there_as_it_would_here(
    clocked_tenant: Tenant,
    clock: Clock,
    caller: Caller,
    later: bool,
    fields: dict[str, Any],
    expected: str,  # noqa: FBT001
) -> None:
    tenant = clocked_tenant
    before = clock.now
    clock.now += timedelta(hours=1)
    await erased(tenant, caller)
    content, _ = await exported(tenant)
    clock.now += timedelta(hours=1)
    after = clock.now
    clock.now += timedelta(hours=1)
    other = await copy_of(tenant, caller)
    await bring_in(other, content)
    # After the erasure, though before it was brought in: since when it blocks is what the file says.
    chosen = capture(ADA, ConsentValue.OPTED_IN, effective_at=after if later else before, **fields)
    await record_consent(other, caller, chosen)
    assert await reason(other) == expected
    await bring_in(other, content)
    assert await reason(other) == expected


async def test_where_it_comes_from_it_is_known(tenant: Tenant, caller: Caller) -> None:
    await erased(tenant, caller)
    content, _ = await exported(tenant)
    for dry_run in (True, False):
        told: list[tuple[str, str]] = []
        totals = await bring_in(tenant, content, dry_run=dry_run, told=told)
        assert (totals.unchanged, totals.events) == (1, 0)
        assert told == [("unchanged", "SUPPRESSION_KNOWN")]
    assert await suppressed_events(tenant) == []


async def test_named_or_by_blind_index_it_is_the_same_one(tenant: Tenant, caller: Caller) -> None:
    await erased(tenant, caller)
    unnamed, _ = await exported(tenant)
    await record_consent(tenant, caller, capture(ADA, ConsentValue.OPTED_OUT))
    named, _ = await exported(tenant)
    other = await copy_of(tenant, caller)
    assert (await bring_in(other, unnamed)).events == 1
    assert (await bring_in(other, named)).events == 1, "the opt-out"
    assert len(await suppressed_events(other)) == 1


async def test_one_that_is_being_erased_there_is_erased_first(tenant: Tenant, caller: Caller, monkeypatch: Any) -> None:
    await erased(tenant, caller)
    other = await copy_of(tenant, caller)
    await record_consent(other, caller, capture(ADA, ConsentValue.OPTED_IN))

    async def stops(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr("ledger.erasure.complete_erasure", stops)
        with pytest.raises(ConnectionError):
            await erase(other, caller, keep_suppression=False)
    assert await reason(other) == "ERASED"
    assert (await bring_in(other, (await exported(tenant))[0])).recorded == 1
    assert await reason(other) == "SUPPRESSED"
    assert await complete_pending(other.ledger) == 0
    await verify_database(other)


async def test_whoever_comes_up_meanwhile_is_blocked_too(tenant: Tenant, caller: Caller) -> None:
    for number in range(20):
        await erased(tenant, caller, f"a{number}@example.org")
    content, _ = await exported(tenant)
    other = await copy_of(tenant, caller)

    async def come_up() -> None:
        for number in range(20):
            await record_consent(other, caller, capture(f"a{number}@example.org", ConsentValue.OPTED_IN))

    await asyncio.gather(bring_in(other, content), come_up(), bring_in(other, content), come_up())
    assert len(await suppressed_events(other)) == 20
    assert await will_send(other) == set()
    assert {await reason(other, address=f"a{number}@example.org") for number in range(20)} == {"SUPPRESSED"}
    await verify_database(other)


async def test_by_id_it_is_told_as_of_an_erased_contact_point(tenant: Tenant, caller: Caller) -> None:
    await erased(tenant, caller)
    other = await copy_of(tenant, caller)
    await bring_in(other, (await exported(tenant))[0])
    [event] = await suppressed_events(other)
    point = (await history.contact_points_by_id(other, [event.entry.stream]))[event.entry.stream]
    assert (point.channel, point.erasing, point.erased_at) == (Channel.EMAIL, True, event.entry.recorded_at)
    with pytest.raises(Refusal) as refused:
        await erase(other, caller)
    assert refused.value.code is RefusalCode.ERASED


async def test_the_event_says_what_the_certificate_said(tenant: Tenant, caller: Caller) -> None:
    await erased(tenant, caller)
    other = await copy_of(tenant, caller)
    await bring_in(other, (await exported(tenant))[0])
    async with tenant.ledger.connection() as connection:
        [certificate] = await read.forward(
            connection, tenant.id, EntryFilter(types=[EventType.CONTACT_POINT_ERASED]), limit=2
        )
    [event] = await suppressed_events(other)
    assert event.entry.data["suppression"] == certificate.entry.data["suppression"]
    assert parse_instant(event.entry.data["since"], field="since") == certificate.entry.recorded_at
    assert set(event.entry.personal) == {"suppression"}


@pytest.mark.parametrize(
    ("column", "value"),
    [("since", "since + interval '1 day'"), ("covers", """'{"commercial": false}'"""), ("blind_index", "'\\x00'")],
)
async def test_the_row_is_proven_by_the_event(tenant: Tenant, caller: Caller, column: str, value: str) -> None:
    await erased(tenant, caller)
    other = await copy_of(tenant, caller)
    await bring_in(other, (await exported(tenant))[0])
    changing = await asyncpg.connect(**other.ledger.address.owner)
    try:
        await changing.execute(f"UPDATE suppressions SET {column} = {value} WHERE tenant = $1", other.id)  # noqa: S608
    finally:
        await changing.close()
    with pytest.raises(DatabaseMismatch) as wrong:
        await verify_database(other)
    assert "suppressions" in str(wrong.value)


@pytest.mark.parametrize(
    "wrong",
    [{"blindIndex": "?"}, {"blindIndex": None}, {"blindIndexKey": "AAAA"}, {"channel": "FAX"}, {"address": "none"},
     {"address": 5}],
)  # fmt: skip
async def test_one_that_cannot_be_read_is_counted_among_what_is_lost(
    tenant: Tenant, caller: Caller, wrong: dict[str, object]
) -> None:
    await erased(tenant, caller)
    line = {**json.loads((await exported(tenant))[0]), **wrong}
    totals = await bring_in(tenant, json.dumps(line))
    assert (totals.refused, totals.refused_opt_outs) == (1, 1)


@pytest.mark.parametrize(
    "beside",
    [{"since": "yesterday"}, {"since": 5}, {"since": None}, {"since": "2999-01-01T00:00:00Z"}, {"covers": 5},
     {"covers": None}, {"covers": {"commercial": False, "tracking": "no", "levels": []}}, {"more": 1}],
)  # fmt: skip
async def test_what_cannot_be_read_of_it_blocks_the_more(
    tenant: Tenant, caller: Caller, beside: dict[str, object]
) -> None:
    named = {"suppression": "ERASURE", "channel": "EMAIL", "address": ADA, "since": "2026-01-01T00:00:00Z"}
    covers = {"covers": {"commercial": True, "tracking": True, "levels": []}}
    assert (await bring_in(tenant, json.dumps({**named, **covers, **beside}))).recorded == 1
    assert await reason(tenant) == "SUPPRESSED"
    if "covers" in beside:
        assert await reason(tenant, "transactional") == "SUPPRESSED"
    if "since" in beside:
        [event] = await suppressed_events(tenant)
        assert parse_instant(event.entry.data["since"], field="since") == event.entry.recorded_at


SINCE = parse_instant("2026-01-01T00:00:00Z", field="since")
ALL = Suppression(since=SINCE, commercial=True, tracking=True, levels=frozenset(), everything=True)


@pytest.mark.parametrize(
    ("covers", "read_as"),
    [
        (Suppression(since=SINCE, commercial=True, tracking=False, levels=frozenset()).to_data(), None),
        (
            Suppression(
                since=SINCE, commercial=False, tracking=True, levels=frozenset({("a", None), ("a", "b")})
            ).to_data(),
            None,
        ),
        (ALL.to_data(), ALL),
        ({"commercial": True, "tracking": True}, ALL),
        ({"commercial": 1, "tracking": True, "levels": []}, ALL),
        ({"commercial": False, "tracking": False, "levels": [{"purpose": "ada@example.org"}]}, ALL),
        ({"commercial": False, "tracking": False, "levels": [{"topic": "a"}]}, ALL),
        ({"commercial": False, "tracking": False, "levels": [5]}, ALL),
        (
            {"commercial": False, "tracking": False, "levels": [{"purpose": f"p{at}"} for at in range(LEVELS_MAX + 1)]},
            ALL,
        ),
        ({"commercial": False, "tracking": False, "levels": []}, ALL),
        ({"commercial": True, "tracking": True, "levels": {}}, ALL),
        ({"commercial": True, "tracking": True, "levels": ""}, ALL),
        ([], ALL),
        ("all", ALL),
    ],
)
def test_what_is_covered_comes_back_as_it_went_or_is_everything(covers: Any, read_as: Suppression | None) -> None:
    assert brought(covers, SINCE) == (read_as or Suppression.from_data(covers, SINCE))


def test_the_event_is_one_of_a_contact_point_in_its_first_version() -> None:
    name = EventType.CONTACT_POINT_SUPPRESSED
    assert name in CONTACT_POINT_TYPES
    data = {"channel": "EMAIL", "since": "2026-01-01T00:00:00.000000Z", "suppression": ALL.to_data()}
    assert upcast(name, CURRENT_VERSIONS[name], data) == data


def test_a_given_key_is_wrapped_with_the_secret_and_moves_nothing_else() -> None:
    keyring = Keyring(bytes(32))
    own = keyring.tenant_keys("a", keyring.new_tenant_secret("a"))
    keys = keyring.tenant_keys("b", keyring.new_tenant_secret("b", own.blind_index))
    assert keys.blind_index == own.blind_index
    assert len({own.idempotency, own.receipts, keys.idempotency, keys.receipts}) == 4
    with pytest.raises(KeyUnusable):
        keyring.new_tenant_secret("b", b"short")


async def test_a_key_of_another_length_makes_no_tenant(tenant: Tenant) -> None:
    with pytest.raises(Refusal) as refused:
        await create_tenant(tenant.ledger, "short-key", "Short", blind_index_key=b"short")
    assert refused.value.path == ("blindIndexKey",)


async def test_a_file_of_the_same_line_many_times_records_it_once(tenant: Tenant, caller: Caller) -> None:
    await erased(tenant, caller)
    other = await copy_of(tenant, caller)
    content, _ = await exported(tenant)
    totals = await bring_in(other, content * 3)
    assert (totals.recorded, totals.unchanged, totals.events) == (1, 2, 1)


async def test_any_blind_index_of_the_key_is_taken(tenant: Tenant, caller: Caller) -> None:
    index = tenant.blind_index(Channel.SMS, "+4930123456")
    line = {
        "suppression": "ERASURE", "channel": "SMS", "blindIndex": b64encode(index).decode(),
        "blindIndexKey": b64encode(tenant.blind_index.key_id).decode(), "since": "2026-01-01T00:00:00Z",
        "covers": {"commercial": True, "tracking": True, "levels": []},
    }  # fmt: skip
    assert (await bring_in(tenant, json.dumps(line))).recorded == 1
    [answer] = await check(tenant, Question(channel=Channel.SMS, addresses=["+49 30 123456"], purpose="commercial"))
    assert str(answer.decision.reasons[0].code) == "SUPPRESSED"


async def test_a_level_that_names_nothing_here_covers_everything_and_a_guid_its_purpose(
    tenant: Tenant, caller: Caller
) -> None:
    guid = "10000000-0000-4000-8000-000000000009"
    await import_catalogue(tenant, caller, {"purposes": [{"key": "transactional", "guid": guid}]}, allow_looser=True)
    covers = {"commercial": False, "tracking": False}
    for address, level in ((ADA, {"purpose": "receipts"}), (GRACE, {"purpose": guid})):
        line = {
            "suppression": "ERASURE", "channel": "EMAIL", "address": address, "since": "2026-01-01T00:00:00Z",
            "covers": {**covers, "levels": [level]},
        }  # fmt: skip
        assert (await bring_in(tenant, json.dumps(line))).recorded == 1
        assert (await bring_in(tenant, json.dumps(line))).unchanged == 1
    assert await reason(tenant, "transactional", ADA) == await reason(tenant, "commercial", ADA) == "SUPPRESSED"
    assert await reason(tenant, "transactional", GRACE) == "SUPPRESSED"
    assert await reason(tenant, "commercial", GRACE) != "SUPPRESSED"


async def test_a_suppression_that_is_older_than_an_opt_out_does_not_stand_for_it(
    tenant: Tenant, caller: Caller
) -> None:
    row = json.dumps(
        {"address": ADA, "purpose": "commercial", "value": "OPTED_OUT", "effectiveAt": "2026-05-01T00:00:00Z"}
    )
    await bring_in(tenant, row)
    await erase_contact_point(
        tenant, caller, channel=Channel.EMAIL, address=ADA, reason="asked", keep_suppression=False
    )
    older = {
        "suppression": "ERASURE", "channel": "EMAIL", "address": ADA, "since": "2026-01-01T00:00:00Z",
        "covers": {"commercial": True, "tracking": True, "levels": []},
    }  # fmt: skip
    await bring_in(tenant, json.dumps(older))
    assert (await bring_in(tenant, row)).recorded == 1
    between = {"effectiveAt": "2026-03-01T00:00:00Z", "actor": {"kind": "RECIPIENT"}}
    await bring_in(tenant, json.dumps({"address": ADA, "purpose": "commercial", "value": "OPTED_IN", **between}))
    assert await reason(tenant) == "OPTED_OUT"
