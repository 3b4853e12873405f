"""Checks, contactability, selection, receipts and the evidence bundle agree on units, whichever unit a record is of."""

import io
import itertools
import json
from datetime import datetime

import pytest

from domain.addresses import Channel
from domain.catalogue import EnforcementModel, PurposeType
from domain.consent import ActorKind, ConsentSource, ConsentValue
from domain.decision import Contactability
from domain.events import ConsentCaptured
from eventstore.command import Command, Draft
from ledger import catalogue
from ledger.assembly import Caller, Tenant
from ledger.check import Question, check
from ledger.contactability import ConsentAt, consent_of, contactability_of
from ledger.evidence import evidence_by_address
from ledger.history import find_contact_point
from ledger.log_export import log_lines
from ledger.receipts import Answered, receipts
from ledger.record import capture_draft, subject_of_address
from ledger.replaying import replay
from ledger.selection import Selection, select
from ledger.signing import verifier_keys
from verifier.checkpoint import Trust
from verifier.verify import log_in_file, verify_file

IN, OUT = ConsentValue.OPTED_IN, ConsentValue.OPTED_OUT
UNITS = ("emea", "apac", "root")
# At which units something is recorded, and what.
RECORDS: list[dict[str, ConsentValue]] = [
    dict(zip(units, values, strict=True))
    for size in range(4)
    for units in itertools.combinations(UNITS, size)
    for values in itertools.product([IN, OUT], repeat=size)
]


async def capture(tenant: Tenant, caller: Caller, address: str, unit: str, value: ConsentValue) -> None:
    """A capture of a unit that is not its purpose's, as a log may hold it whose purposes were made otherwise."""

    def decide(recorded_at: datetime) -> list[Draft]:
        captured = ConsentCaptured(
            channel=Channel.EMAIL, purpose="p", topic=None, unit=unit, value=value, source=ConsentSource.API,
            effective_at=recorded_at, trust="SERVER_KEY",
        )  # fmt: skip
        return [capture_draft(captured, ActorKind.SYSTEM, None, None)]

    subject = subject_of_address(tenant, Channel.EMAIL, address)
    await tenant.log.append(Command(decide=decide, application=caller.application, subject=subject))


@pytest.fixture
async def with_records(tenant: Tenant, caller: Caller) -> dict[str, dict[str, ConsentValue]]:
    """Purpose `p` of EMEA in a profile of APAC, and for each row of RECORDS an address."""
    for unit in ("emea", "apac"):
        await catalogue.create_business_unit(tenant, caller, key=unit, name=unit)
    await catalogue.create_profile(tenant, caller, key="tokyo", name="Tokyo", business_unit="apac")
    await catalogue.create_purpose(
        tenant, caller, key="p", name="P", type=PurposeType.COMMERCIAL,
        profiles=["tokyo"], business_unit="emea", enforcement=[(Channel.EMAIL, EnforcementModel.RESTRICTIVE)],
    )  # fmt: skip
    rows = {f"a{number}@example.org": row for number, row in enumerate(RECORDS)}
    for address, row in rows.items():
        for unit, value in row.items():
            await capture(tenant, caller, address, unit, value)
    return rows


@pytest.mark.parametrize("scoping", [True, False])
async def test_every_answer_is_that_of_the_look_up_order(
    tenant: Tenant, caller: Caller, with_records: dict[str, dict[str, ConsentValue]], scoping: bool
) -> None:
    await catalogue.update_tenant(tenant, caller, unit_scoping=scoping)
    for asked in (None, *UNITS):
        question = Question(
            channel=Channel.EMAIL, addresses=list(with_records), profile="tokyo", purpose="p", business_unit=asked
        )
        answers = await check(tenant, question)
        for answer in answers:
            row = with_records[answer.address]
            # Recorded one after the other, so the last unit of a row is its most recent.
            any_unit = () if scoping else tuple(reversed(row))
            value = next((row[unit] for unit in ("emea", asked or "apac", *any_unit) if unit in row), None)
            assert answer.decision.allowed is (value is IN), (row, asked, scoping)
        if asked is None:
            await _agree(tenant, answers={answer.address: answer.decision.allowed for answer in answers})
        then = await check(
            tenant,
            Question(
                channel=Channel.EMAIL, addresses=list(with_records), profile="tokyo", purpose="p",
                business_unit=asked, known_at=tenant.ledger.clock(),
            ),
        )  # fmt: skip
        assert [one.decision for one in then] == [one.decision for one in answers]
        notes = await receipts(tenant, [Answered(answer, Channel.EMAIL, None) for answer in answers])
        await _verified(tenant, notes, asked)


async def _agree(tenant: Tenant, answers: dict[str, bool]) -> None:
    """The grid and the selections say what the checks said."""
    points = {address: await find_contact_point(tenant, Channel.EMAIL, address) for address in answers}
    known = {address: point for address, point in points.items() if point is not None}
    grid = await contactability_of(tenant, [(point.id, Channel.EMAIL) for point in known.values()], profile="tokyo")
    for address, rows in zip(known, grid, strict=True):
        [row] = [row for row in rows if row.purpose.key == "p"]
        assert row.decision.allowed is answers[address]
    for wanted, allowed in ((Contactability.WILL_SEND, True), (Contactability.WILL_NOT_SEND, False)):
        page = await select(
            tenant, Selection(channel=Channel.EMAIL, profile="tokyo", purpose="p", contactability=wanted), first=1_000
        )
        expected = {point.id for address, point in known.items() if answers[address] is allowed}
        assert {point.id for _, point in page.items} == expected
        assert await page.total_count() == len(expected)


async def _verified(tenant: Tenant, notes: list[str], asked: str | None) -> None:
    """The receipts are decided again, offline, from the log; with another unit in the question that is another answer."""
    trust = Trust.parse([key.text() for key in await verifier_keys(tenant)])
    log = "".join([line + "\n" async for line in log_lines(tenant)]).encode()
    for note in notes:
        report = verify_file(io.BytesIO(note.encode()), trust, log=log_in_file(io.BytesIO(log), trust))
        said = "\n".join(map(str, report.lines))
        assert report.proven, said
        assert (f"in business unit {asked}" in said) is (asked is not None)


async def test_a_bundle_and_a_replay_keep_the_units_apart(
    tenant: Tenant, caller: Caller, with_records: dict[str, dict[str, ConsentValue]]
) -> None:
    address = next(address for address, row in with_records.items() if row == {"emea": IN, "apac": OUT})
    bundle = await evidence_by_address(tenant, Channel.EMAIL, address, with_openings=False)
    trust = Trust.parse([key.text() for key in await verifier_keys(tenant)])
    report = verify_file(io.BytesIO(json.dumps(bundle.json).encode()), trust)
    said = "\n".join(map(str, report.lines))
    assert "OPTED_IN in unit emea" in said
    assert "OPTED_OUT in unit apac" in said
    point = await find_contact_point(tenant, Channel.EMAIL, address)
    assert point is not None
    rows = [row for row in (await replay(tenant)).rows if row.contact_point == point.id]
    assert {row.record.unit: row.value for row in rows} == {"emea": IN, "apac": OUT}


@pytest.mark.parametrize("scoping", [True, False])
async def test_consent_without_a_profile_is_that_of_the_purposes_unit_else_of_any(
    tenant: Tenant, caller: Caller, with_records: dict[str, dict[str, ConsentValue]], scoping: bool
) -> None:
    await catalogue.update_tenant(tenant, caller, unit_scoping=scoping)
    for address, row in with_records.items():
        point = await find_contact_point(tenant, Channel.EMAIL, address)
        if point is None:
            continue
        [held] = await consent_of(tenant, [(point.id, "p", None)])
        assert isinstance(held, ConsentAt)
        expected = row.get("emea") if scoping or "emea" in row else list(row.values())[-1]
        assert held.value is (expected or ConsentValue.NOT_SET)
