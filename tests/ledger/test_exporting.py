"""What goes out comes in again: into an empty tenant, to the same answers."""

import csv
import io
import itertools
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.addresses import Channel
from domain.bounces import Bounce
from domain.catalogue import DoubleOptInMode, EnforcementModel, PurposeType
from domain.consent import ConsentValue
from domain.opt_in_rules import RequiredEvidence
from domain.preference_center import PreferenceCenterPatch
from domain.presets import PresetKey
from domain.refusals import Refusal
from ledger import exporting
from ledger.assembly import Caller, Tenant
from ledger.bounces import record_bounce
from ledger.catalogue import (
    apply_preset,
    create_business_unit,
    create_profile,
    create_purpose,
    create_topic,
    import_catalogue,
    update_profile,
    update_purpose,
    update_topic,
)
from ledger.check import Question, check
from ledger.double_opt_in import request_double_opt_in
from ledger.erasure import erase_contact_point
from ledger.given_evidence import Evidence
from ledger.import_rows import Totals
from ledger.importing import import_consents
from ledger.record import Capture, record_consent, record_consents
from ledger.tenants import create_tenant

_numbers = itertools.count(1)


async def export(tenant: Tenant) -> tuple[str, exporting.Left]:
    out, left = io.StringIO(newline=""), exporting.Left()
    writer = csv.writer(out)
    writer.writerow(exporting.COLUMNS)
    async for row in exporting.contact_point_consents(tenant, left):
        writer.writerow(row)
    return out.getvalue(), left


async def empty_with_catalogue_of(tenant: Tenant, caller: Caller) -> Tenant:
    other = await create_tenant(tenant.ledger, f"copy-{next(_numbers)}", "Copy")
    await import_catalogue(other, caller, json.loads(json.dumps(await exporting.catalogue(tenant))))
    return other


async def bring_in(tenant: Tenant, content: str) -> None:
    refused: list[str] = []
    totals = await import_consents(
        tenant,
        io.BytesIO(content.encode()),
        format="contact-point-consents",
        report=lambda line, outcome, code, message: refused.append(message),
        progress=lambda _: None,
    )
    assert (refused, totals.recorded) == ([], totals.rows)


async def grid(tenant: Tenant, addresses: dict[Channel, list[str]], as_of: datetime | None = None) -> list[object]:
    """Every decision: each address, for each purpose and topic, with its reasons and the value found."""
    answers: list[object] = []
    for channel, asked in addresses.items():
        for purpose, topic in (
            ("commercial", None), ("commercial", "newsletter"), ("commercial", "daily-deals"), ("transactional", None),
        ):  # fmt: skip
            for start in range(0, len(asked), 5_000):
                part = asked[start : start + 5_000]
                question = Question(channel=channel, addresses=part, purpose=purpose, topic=topic, as_of=as_of)
                answers += [
                    (
                        answer.address, purpose, topic, answer.decision.allowed, answer.tracking.allowed,
                        [(reason.code, reason.value) for reason in answer.decision.reasons],
                    )
                    for answer in await check(tenant, question)
                ]  # fmt: skip
    return answers


async def test_the_messy_export_goes_out_and_comes_in_to_the_same_grid_of_checks(
    tenant: Tenant, caller: Caller, shared: Callable[[str], Path]
) -> None:
    await import_catalogue(tenant, caller, json.loads(shared("data/catalogue.json").read_bytes()))
    raw = shared("data/contact_point_consents.csv").read_bytes()
    await import_consents(
        tenant,
        io.BytesIO(raw),
        format="contact-point-consents",
        report=lambda line, outcome, code, message: None,
        progress=lambda _: None,
    )
    content, left = await export(tenant)
    assert not any(vars(left).values())
    other = await empty_with_catalogue_of(tenant, caller)
    await bring_in(other, content)
    rows = list(csv.DictReader(io.StringIO(content)))
    channels = {"534120000": Channel.EMAIL, "534120001": Channel.SMS}
    addresses: dict[Channel, set[str]] = {}
    for row in rows:
        addresses.setdefault(channels[row["msdynmkt_contactpointtype"]], set()).add(row["msdynmkt_contactpointvalue"])
    asked = {channel: sorted(found) for channel, found in addresses.items()}
    assert await grid(other, asked) == await grid(tenant, asked)
    # What went out a second time is what came in: codes, dates, ids and all.
    again, _ = await export(other)
    assert sorted(again.splitlines()) == sorted(content.splitlines())
    # As of times past: alike where there is one record at each level, since the table knows no history.
    given = list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"))))
    times = Counter(row["msdynmkt_contactpointvalue"].strip().casefold() for row in given)
    single = {Channel.EMAIL: [one for one in asked[Channel.EMAIL] if times[one] == 1][:1_000]}
    as_of = datetime(2025, 1, 1, tzinfo=UTC)
    assert len(single[Channel.EMAIL]) > 500
    assert await grid(other, single, as_of) == await grid(tenant, single, as_of)


async def test_codes_go_out_as_they_came_in(tenant: Tenant, caller: Caller) -> None:
    header = ",".join(exporting.COLUMNS)
    rows = [
        f"9243c7a7-2886-497e-be96-78801188ad{number:02},a{number}@example.org,534120000,534120000,commercial,,"
        f"{534120000 + number % 3},{534120000 + number % 8},{534119999 + number % 9},why {number},who {number},"
        f"message {number},2024-01-01T00:00:00.000000Z,2024-0{number % 9 + 1}-01T10:00:00.000000Z,0"
        for number in range(72)
    ]
    await bring_in(tenant, "\n".join([header, *rows]))
    content, _ = await export(tenant)
    assert sorted(content.splitlines()[1:]) == sorted(rows)


async def test_an_address_that_is_suppressed_goes_out_as_opted_out(tenant: Tenant, caller: Caller) -> None:
    await record_consent(
        tenant,
        caller,
        Capture(channel=Channel.EMAIL, address="a@example.org", purpose="commercial", value=ConsentValue.OPTED_IN),
    )
    await record_bounce(tenant, caller, channel=Channel.EMAIL, address="a@example.org", bounce=Bounce.HARD)
    content, left = await export(tenant)
    assert left.suppressed == 3, "commercial, which has a record, and the two other purposes"
    assert left.not_enforced == 1, "transactional, where an Opted Out stops nothing"
    other = await empty_with_catalogue_of(tenant, caller)
    await bring_in(other, content)
    [answer] = await check(other, Question(channel=Channel.EMAIL, addresses=["a@example.org"], purpose="commercial"))
    assert not answer.decision.allowed


async def test_the_catalogue_goes_out_and_makes_the_same_one_of_an_empty_tenant(tenant: Tenant, caller: Caller) -> None:
    guid = "10000000-0000-4000-8000-000000000003"
    await import_catalogue(tenant, caller, {"purposes": [{"key": "commercial", "guid": guid}]})
    await update_purpose(
        tenant, caller, ref="commercial", name="Offers", enforcement=[(Channel.EMAIL, EnforcementModel.RESTRICTIVE)]
    )
    await update_profile(
        tenant,
        caller,
        ref="default",
        company_address="Acme Ltd\n1 Long Lane",
        double_opt_in=DoubleOptInMode.NEW_CONTACT_POINTS,
        preference_center=PreferenceCenterPatch(title="Acme", locale="de", brand_color="#ffcc00", show_tracking=True),
    )
    await create_business_unit(tenant, caller, key="emea", name="EMEA")
    await create_business_unit(tenant, caller, key="dach", name="DACH", parent="emea")
    await create_profile(tenant, caller, key="wien", name="Wien", business_unit="dach")
    await update_purpose(
        tenant,
        caller,
        ref="wien-commercial",
        opt_in_expiry=[("implied-inquiry", 6)],
        required_evidence=[RequiredEvidence.METHOD, RequiredEvidence.NOTICE_TEXT],
    )
    await create_profile(tenant, caller, key="brand", name="Brand", external_link="https://example.org/prefs")
    await create_profile(tenant, caller, key="shop", name="Shop", share_purposes_of="brand")
    await create_purpose(
        tenant, caller, key="events", name="Events", type=PurposeType.COMMERCIAL, profiles=["default", "shop"]
    )
    await create_topic(tenant, caller, key="fairs", name="Fairs", purpose="events", description="Twice a year")
    await update_topic(tenant, caller, ref="fairs", active=False)
    await update_purpose(tenant, caller, ref="brand-transactional", active=False)
    await update_profile(tenant, caller, ref="brand", active=False)
    out = json.loads(json.dumps(await exporting.catalogue(tenant)))
    other = await empty_with_catalogue_of(tenant, caller)
    assert json.loads(json.dumps(await exporting.catalogue(other))) == out
    assert {key: set(one.purposes) for key, one in other.catalogue.profiles.items()} == {
        key: set(one.purposes) for key, one in tenant.catalogue.profiles.items()
    }
    # Once more changes nothing.
    assert (await import_catalogue(other, caller, out)).events == 0


@pytest.mark.parametrize("overwrite", [False, True])
async def test_what_is_there_is_left_as_it_is_unless_the_file_says_otherwise(
    tenant: Tenant, caller: Caller, overwrite: bool
) -> None:
    item = {"key": "commercial", "name": "Offers", "enforcement": {"EMAIL": "DISABLED"}}
    document = {"purposes": [item], "overwrite": overwrite}
    done = await import_catalogue(tenant, caller, document, allow_looser=overwrite)
    setting = "purpose commercial: enforcement of EMAIL NON_RESTRICTIVE -> DISABLED"
    assert (done.looser, done.left) == (((setting,), ()) if overwrite else ((), (setting,)))
    held = tenant.catalogue.purposes["commercial"]
    assert (held.name, held.enforcement[Channel.EMAIL]) == (
        ("Offers", EnforcementModel.DISABLED) if overwrite else ("Commercial", EnforcementModel.NON_RESTRICTIVE)
    )


STRICTER_THAN_A_NEW_TENANT: Sequence[tuple[dict[str, object], str]] = (
    (
        {"purposes": [{"key": "commercial", "enforcement": {"EMAIL": "RESTRICTIVE"}}]},
        "purpose commercial: enforcement of EMAIL RESTRICTIVE -> NON_RESTRICTIVE",
    ),
    (
        {"purposes": [{"key": "commercial", "requiredEvidence": ["METHOD"]}]},
        "purpose commercial: requiredEvidence without METHOD",
    ),
    (
        {"purposes": [{"key": "commercial", "optInExpiry": [{"legalBasis": "CONSENT_IMPLIED", "months": 6}]}]},
        "purpose commercial: optInExpiry for any other basis 6 months -> never",
    ),
    ({"purposes": [{"key": "commercial", "active": False}]}, "purpose commercial: active again"),
    (
        {"profiles": [{"key": "default", "doubleOptIn": "EVERY_SUBMISSION"}]},
        "profile default: doubleOptIn EVERY_SUBMISSION -> OFF",
    ),
    (
        {"profiles": [{"key": "default", "presets": ["GDPR"]}]},
        "purpose commercial: enforcement of EMAIL RESTRICTIVE -> NON_RESTRICTIVE",
    ),
)


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(("document", "setting"), STRICTER_THAN_A_NEW_TENANT)
async def test_what_a_file_has_stricter_than_what_is_there_is_never_left_out_without_a_word(
    tenant: Tenant, caller: Caller, document: dict[str, object], setting: str, dry_run: bool
) -> None:
    document = {**document, "topics": [{"key": "new", "purpose": "commercial"}]}
    before = tenant.catalogue
    with pytest.raises(Refusal, match=re.escape(setting)) as refused:
        await import_catalogue(tenant, caller, document, dry_run=dry_run)
    assert refused.value.path == ("overwrite",)
    assert await tenant.latest_catalogue() == before
    done = await import_catalogue(tenant, caller, {**document, "overwrite": True}, dry_run=dry_run)
    assert (done.items, done.left) == (2, ())


@pytest.mark.parametrize("dry_run", [False, True])
async def test_an_old_export_of_the_catalogue_does_not_undo_what_was_made_stricter_since(
    tenant: Tenant, caller: Caller, dry_run: bool
) -> None:
    old = json.loads(json.dumps(await exporting.catalogue(tenant)))
    await apply_preset(tenant, caller, profile="default", preset=PresetKey.GDPR)
    strict = tenant.catalogue
    with pytest.raises(Refusal) as refused:
        await import_catalogue(tenant, caller, old, dry_run=dry_run)
    for setting in (
        "profile default: doubleOptIn EVERY_SUBMISSION -> OFF",
        "purpose commercial: enforcement of EMAIL RESTRICTIVE -> NON_RESTRICTIVE",
        "purpose commercial: requiredEvidence without NOTICE_TEXT",
        "purpose tracking: enforcement of SMS RESTRICTIVE -> NON_RESTRICTIVE",
    ):
        assert setting in refused.value.message
    assert await tenant.latest_catalogue() == strict
    meant = await import_catalogue(tenant, caller, old, dry_run=dry_run, allow_looser=True)
    assert "purpose commercial: requiredEvidence without METHOD" in meant.looser


async def test_rows_that_name_by_a_key_what_has_no_guid_are_counted(tenant: Tenant, caller: Caller) -> None:
    guid = "10000000-0000-4000-8000-00000000000{}"
    topics = [
        {"key": "with", "purpose": "commercial", "guid": guid.format(2)},
        {"key": "without", "purpose": "commercial"},
    ]
    purposes = [{"key": "commercial", "guid": guid.format(1)}]
    await import_catalogue(tenant, caller, {"purposes": purposes, "topics": topics})
    said = Capture(channel=Channel.EMAIL, address="a@example.org", purpose="commercial", value=ConsentValue.OPTED_OUT)
    for one in (said, replace(said, topic="with")):
        await record_consent(tenant, caller, one)
    _, left = await export(tenant)
    assert left.without_guid == 0
    for one in (replace(said, topic="without"), replace(said, purpose="transactional")):
        await record_consent(tenant, caller, one)
    _, left = await export(tenant)
    assert left.without_guid == 2


async def test_opt_ins_that_would_be_refused_for_lack_of_evidence_are_counted(tenant: Tenant, caller: Caller) -> None:
    early = Capture(channel=Channel.EMAIL, address="a@example.org", purpose="commercial", value=ConsentValue.OPTED_IN)
    shown = replace(early, address="b@example.org", evidence=Evidence(notice_text="News?", method="button"))
    await record_consent(tenant, caller, early)
    await apply_preset(tenant, caller, profile="default", preset=PresetKey.GDPR)
    await record_consent(tenant, caller, shown)
    content, left = await export(tenant)
    assert left.needing_evidence == 2, "the table has no column for any"
    lines = exporting.Left()
    file = "".join([line + "\n" async for line in exporting.ndjson(tenant, lines)])
    assert lines.needing_evidence == 1
    for form, text, refused in (("contact-point-consents", content, 2), ("ndjson", file, 1)):
        other = await empty_with_catalogue_of(tenant, caller)
        totals = await import_consents(
            other, io.BytesIO(text.encode()), format=form, report=lambda *_, **__: None, progress=lambda _: None
        )
        assert (totals.recorded, totals.refused) == (2 - refused, refused)


@pytest.mark.parametrize("form", ["contact-point-consents", "ndjson"])
async def test_what_is_suppressed_here_is_not_sent_to_there(tenant: Tenant, caller: Caller, form: str) -> None:
    def capture(address: str, purpose: str, value: ConsentValue) -> Capture:
        return Capture(channel=Channel.EMAIL, address=address, purpose=purpose, value=value)

    async def ask_to_confirm(address: str) -> None:
        await request_double_opt_in(tenant, caller, channel=Channel.EMAIL, address=address, purpose="commercial")

    people = ["erased@example.org", "back@example.org", "bounced@example.org", "other@example.org"]
    unrecorded = ["asked@example.org", "again@example.org"]
    await update_profile(tenant, caller, ref="default", double_opt_in=DoubleOptInMode.EVERY_SUBMISSION)
    # Neither has a record of consent any more: the one bounced while it was asked, the other was erased and asked anew.
    await ask_to_confirm(unrecorded[0])
    await record_bounce(tenant, caller, channel=Channel.EMAIL, address=unrecorded[0], bounce=Bounce.HARD)
    await record_consent(tenant, caller, capture(unrecorded[1], "commercial", ConsentValue.OPTED_OUT))
    await erase_contact_point(tenant, caller, channel=Channel.EMAIL, address=unrecorded[1], reason="asked")
    await ask_to_confirm(unrecorded[1])
    await record_consent(tenant, caller, capture("gone@example.org", "commercial", ConsentValue.OPTED_OUT))
    await erase_contact_point(tenant, caller, channel=Channel.EMAIL, address="gone@example.org", reason="asked")
    for address in people[:2]:
        await record_consent(tenant, caller, capture(address, "commercial", ConsentValue.OPTED_OUT))
        await erase_contact_point(tenant, caller, channel=Channel.EMAIL, address=address, reason="asked")
    # Both come back: one says nothing of commercial, of the other an application says that it opted in.
    await record_consent(tenant, caller, capture(people[0], "transactional", ConsentValue.OPTED_IN))
    await record_consent(tenant, caller, capture(people[1], "commercial", ConsentValue.OPTED_IN))
    await record_consent(tenant, caller, capture(people[2], "tracking", ConsentValue.OPTED_IN))
    await record_bounce(tenant, caller, channel=Channel.EMAIL, address=people[2], bounce=Bounce.HARD)
    await record_consent(tenant, caller, capture(people[3], "commercial", ConsentValue.OPTED_IN))
    left = exporting.Left()
    if form == "ndjson":
        file = "".join([line + "\n" async for line in exporting.ndjson(tenant, left)])
    else:
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(exporting.COLUMNS)
        async for row in exporting.contact_point_consents(tenant, left):
            writer.writerow(row)
        file = text.getvalue()
    if form == "ndjson":
        assert left.by_blind_index == 1, "gone@example.org, which the file cannot name"
        assert left.suppressed == left.not_enforced == left.erased_suppressions == 0, "all of it has lines of its own"
    else:
        assert left.suppressed > 0
        assert left.erased_suppressions == 1, "gone@example.org, which the file cannot name"
    other = await empty_with_catalogue_of(tenant, caller)
    for _ in range(2):
        await import_consents(
            other, io.BytesIO(file.encode()), format=form, report=lambda *_, **__: None, progress=lambda _: None
        )
    answers = {
        where.key: [
            answer.decision.allowed
            for answer in await check(
                where, Question(channel=Channel.EMAIL, addresses=people + unrecorded, purpose="commercial")
            )
        ]
        for where in (tenant, other)
    }
    assert answers[tenant.key] == answers[other.key] == [False, False, False, True, False, False]


async def test_a_capture_goes_out_as_one_line_to_whoever_splits_lines_as_unicode_does(
    tenant: Tenant, caller: Caller
) -> None:
    reason = "\u2028".join(("of", "several", "lines\u2029here"))
    capture = Capture(
        channel=Channel.EMAIL,
        address="a@example.org",
        purpose="commercial",
        value=ConsentValue.OPTED_OUT,
        reason=reason,
    )
    await record_consent(tenant, caller, capture)
    [line] = [line async for line in exporting.ndjson(tenant, exporting.Left())]
    assert len(line.splitlines()) == 1
    assert json.loads(line)["reason"] == reason


async def captures_of(tenant: Tenant, caller: Caller, addresses: Sequence[str], *, topic: str | None = None) -> None:
    done = await record_consents(
        tenant,
        caller,
        [
            Capture(
                channel=Channel.EMAIL, address=one, purpose="late" if topic else "commercial", topic=topic,
                value=ConsentValue.OPTED_IN,
            )
            for one in addresses
        ],
    )  # fmt: skip
    assert not [one for one in done if isinstance(one, Refusal)]


async def late_purpose(tenant: Tenant, caller: Caller) -> None:
    """A purpose with a topic that is made and consented to while an export is read, with more than a page of it left."""
    await create_purpose(tenant, caller, key="late", name="Late", type=PurposeType.COMMERCIAL, profiles=["default"])
    await create_topic(tenant, caller, key="later", purpose="late", name="Later")
    await captures_of(tenant, caller, [f"{number}@example.org" for number in range(0, 1_200, 2)], topic="later")


@pytest.mark.parametrize("format", ["contact-point-consents", "ndjson"])
async def test_a_purpose_that_is_made_meanwhile_breaks_no_export_off(
    tenant: Tenant, caller: Caller, format: str
) -> None:
    addresses = [f"{number}@example.org" for number in range(1_200)]
    for start in (0, 600):
        await captures_of(tenant, caller, addresses[start : start + 600])
    bounced = "bounced@example.org"
    await record_bounce(tenant, caller, channel=Channel.EMAIL, address=bounced, bounce=Bounce.HARD)
    left = exporting.Left()
    lines: AsyncIterator[Sequence[str]] = (
        exporting.ndjson(tenant, left) if format == "ndjson" else exporting.contact_point_consents(tenant, left)
    )
    out = ["".join(await anext(lines))]
    await late_purpose(tenant, caller)
    out += ["".join(line) async for line in lines]
    named = [line for line in out if "later" in line]
    # In the order of the log all of the late ones come; in that of the contact points those whose place is still to come.
    assert len(named) == 600 if format == "ndjson" else 0 < len(named) <= 600
    assert len([line for line in out if "commercial" in line]) >= 1_200
    # What comes last is there.
    assert any(bounced in line for line in out[-10:])


async def test_what_is_recorded_meanwhile_where_an_address_is_blocked_goes_out_as_opted_out(
    tenant: Tenant, caller: Caller
) -> None:
    blocked = "blocked@example.org"
    await record_bounce(tenant, caller, channel=Channel.EMAIL, address=blocked, bounce=Bounce.HARD)
    await captures_of(tenant, caller, ["new@example.org"])
    rows = exporting.contact_point_consents(tenant, exporting.Left())
    # The page of records is read, in which the blocked one, which came up first, has none.
    out = [await anext(rows)]
    await captures_of(tenant, caller, [blocked])
    out += [row async for row in rows]
    assert {(row[1], row[4], row[6]) for row in out if row[4] == "commercial"} == {
        ("new@example.org", "commercial", "534120001"),
        (blocked, "commercial", "534120002"),
    }


EARLY, LATE, PAST = (datetime(year, 1, 1, tzinfo=UTC) for year in (2024, 2025, 2026))
SHOWN = Evidence(notice_text="News?", method="box")


async def copied(tenant: Tenant, caller: Caller) -> tuple[Tenant, Totals]:
    """A tenant with the same catalogue into which an ndjson export of this one came in, and came in again to no avail."""
    file = "".join([line + "\n" async for line in exporting.ndjson(tenant, exporting.Left())]).encode()
    other = await empty_with_catalogue_of(tenant, caller)

    async def bring(*, dry_run: bool = False) -> Totals:
        return await import_consents(
            other, io.BytesIO(file), format="ndjson", report=lambda *_, **__: None, progress=lambda _: None, dry_run=dry_run
        )  # fmt: skip

    rehearsed, totals, again = await bring(dry_run=True), await bring(), await bring()
    assert rehearsed == totals
    assert (again.recorded, again.events, again.refused) == (0, 0, totals.refused)
    return other, totals


@pytest.mark.parametrize("first", [ConsentValue.OPTED_IN, ConsentValue.OPTED_OUT])
@pytest.mark.parametrize("reverse", [False, True], ids=["in-order", "late"])
async def test_what_an_expired_opt_in_without_evidence_hides_here_it_hides_there(
    tenant: Tenant, caller: Caller, first: ConsentValue, *, reverse: bool
) -> None:
    await update_purpose(tenant, caller, ref="commercial", enforcement=[(Channel.EMAIL, EnforcementModel.RESTRICTIVE)])
    of = Capture(channel=Channel.EMAIL, address="a@example.org", purpose="commercial", value=first)
    early = replace(of, effective_at=EARLY, evidence=SHOWN)
    hiding = replace(of, value=ConsentValue.OPTED_IN, effective_at=LATE, valid_until=PAST)
    for capture in (hiding, early) if reverse else (early, hiding):
        await record_consent(tenant, caller, capture)
    await apply_preset(tenant, caller, profile="default", preset=PresetKey.GDPR)
    other, totals = await copied(tenant, caller)
    assert (totals.recorded, totals.partly_refused, totals.refused, totals.events) == (2, 1, 0, 2)
    question = Question(channel=Channel.EMAIL, addresses=["a@example.org"], purpose="commercial")
    [here], [there] = await check(tenant, question), await check(other, question)
    assert (here.decision.allowed, there.decision.allowed) == (False, False)
    # Where an opt-out stands, it stands on: a refused opt-in turns none.
    await update_purpose(
        other, caller, ref="commercial", enforcement=[(Channel.EMAIL, EnforcementModel.NON_RESTRICTIVE)]
    )
    [there] = await check(other, question)
    assert there.decision.allowed == (first is ConsentValue.OPTED_IN)


async def test_an_opt_in_without_an_end_that_lacks_evidence_is_refused_and_hides_nothing(
    tenant: Tenant, caller: Caller
) -> None:
    of = Capture(channel=Channel.EMAIL, address="a@example.org", purpose="commercial", value=ConsentValue.OPTED_IN)
    await record_consent(tenant, caller, replace(of, effective_at=EARLY, evidence=SHOWN))
    await record_consent(tenant, caller, replace(of, effective_at=LATE))
    await apply_preset(tenant, caller, profile="default", preset=PresetKey.GDPR)
    _, totals = await copied(tenant, caller)
    assert (totals.recorded, totals.partly_refused, totals.refused) == (1, 0, 1)


async def test_opt_ins_that_end_elsewhere_by_a_later_setting_are_counted(tenant: Tenant, caller: Caller) -> None:
    of = Capture(channel=Channel.EMAIL, address="a@example.org", purpose="commercial", value=ConsentValue.OPTED_IN)
    await record_consent(tenant, caller, replace(of, legal_basis="implied-inquiry", effective_at=EARLY))
    await record_consent(tenant, caller, replace(of, address="b@example.org", legal_basis="express"))
    await update_purpose(tenant, caller, ref="commercial", opt_in_expiry=[("implied-inquiry", 6)])
    await record_consent(tenant, caller, replace(of, address="c@example.org", legal_basis="implied-inquiry"))
    _, left = await export(tenant)
    # The table has no column for a legal basis, so both that go out as opted in get an end by it.
    assert left.ending_elsewhere == 2
    lines = exporting.Left()
    assert len([line async for line in exporting.ndjson(tenant, lines)]) == 3
    assert lines.ending_elsewhere == 1
