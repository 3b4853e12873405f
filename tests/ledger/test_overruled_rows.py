"""An opt-out that comes again in a file after the person opted in: as of the import it is the latest word, and is recorded."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping

import pytest

from domain.addresses import Channel
from domain.consent import ConsentSource, ConsentValue
from ledger.assembly import Caller, Tenant
from ledger.check import Question, check
from ledger.erasure import erase_contact_point
from ledger.import_formats import Target, reading
from ledger.import_rows import RowTold, Totals
from ledger.import_runs import begin_run
from ledger.importing import IMPORTER, import_consents, run_import
from ledger.record import Capture, record_consent

ADA, BOB = "ada@example.org", "bob@example.org"
EARLY = "2024-01-01T00:00:00Z"
OUT = ConsentValue.OPTED_OUT
LINE = {"address": ADA, "purpose": "commercial", "value": "OPTED_OUT"}
RECORDS = (
    "msdynmkt_contactpointvalue,msdynmkt_contactpointtype,msdynmkt_contactpointconsenttype,msdynmkt_purposeid,"
    f"msdynmkt_value,modifiedon\n{ADA},Email,Purpose,commercial,Opted Out,{EARLY}\n"
)
FLAGS = f"emailaddress1,donotemail,donotbulkemail,modifiedon\n{ADA},1,1,{EARLY}\n"
File = tuple[str, str, Target]
AS_OF_THE_IMPORT: Mapping[str, File] = {
    "list": ("subscription-list", f"emailaddress1\n{ADA}\n", Target(purpose="commercial", value=OUT)),
    "ndjson": ("ndjson", json.dumps(LINE), Target()),
}
AS_OF_ITS_TIME: Mapping[str, File] = {
    "records": ("contact-point-consents", RECORDS, Target()),
    "contacts": ("contacts", FLAGS, Target(purpose="commercial")),
    "ndjson": ("ndjson", json.dumps({**LINE, "effectiveAt": EARLY}), Target()),
}
of_the_import = pytest.mark.parametrize("file", AS_OF_THE_IMPORT.values(), ids=AS_OF_THE_IMPORT)


async def run(tenant: Tenant, file: File, *, dry_run: bool = False) -> tuple[int, int, int]:
    """How many rows were recorded, how many were unchanged, and how many events they led to."""
    format, content, target = file
    totals = await import_consents(
        tenant,
        io.BytesIO(content.encode()),
        format=format,
        report=lambda line, outcome, code, message: None,
        progress=lambda _: None,
        target=target,
        dry_run=dry_run,
    )
    return totals.recorded, totals.unchanged, totals.events


async def allowed(tenant: Tenant, *, purpose: str = "commercial", topic: str | None = None) -> bool:
    question = Question(channel=Channel.EMAIL, addresses=[ADA], purpose=purpose, topic=topic)
    [answer] = await check(tenant, question)
    return answer.decision.allowed


async def opt_in(tenant: Tenant, caller: Caller, address: str = ADA) -> None:
    capture = Capture(
        channel=Channel.EMAIL,
        address=address,
        purpose="commercial",
        value=ConsentValue.OPTED_IN,
        source=ConsentSource.PREFERENCE_CENTER,
    )
    await record_consent(tenant, caller, capture)


@of_the_import
async def test_it_is_recorded_anew_once_after_each_opt_in(tenant: Tenant, caller: Caller, file: File) -> None:
    assert await run(tenant, file) == (1, 0, 1)
    assert await run(tenant, file) == (0, 1, 0)
    for _ in range(3):
        await opt_in(tenant, caller)
        assert await run(tenant, file, dry_run=True) == (1, 0, 1)
        assert await allowed(tenant)
        assert await run(tenant, file) == (1, 0, 1)
        assert not await allowed(tenant)
        assert await run(tenant, file) == (0, 1, 0)
        assert await run(tenant, file, dry_run=True) == (0, 1, 0)


@pytest.mark.parametrize("file", AS_OF_ITS_TIME.values(), ids=AS_OF_ITS_TIME)
async def test_one_with_a_time_of_its_own_is_the_same_as_before(tenant: Tenant, caller: Caller, file: File) -> None:
    assert await run(tenant, file) == (1, 0, 1)
    await opt_in(tenant, caller)
    assert await run(tenant, file) == (0, 1, 0)
    assert await allowed(tenant)


async def test_a_rehearsal_counts_a_member_twice_in_a_list_once(tenant: Tenant, caller: Caller) -> None:
    format, content, target = AS_OF_THE_IMPORT["list"]
    twice = format, content + f"{ADA}\n", target
    for _ in range(2):
        assert await run(tenant, twice, dry_run=True) == (1, 1, 1)
        assert await run(tenant, twice) == (1, 1, 1)
        await opt_in(tenant, caller)


async def test_a_list_of_opt_ins_opts_nobody_in_twice(tenant: Tenant, caller: Caller) -> None:
    format, content, _ = AS_OF_THE_IMPORT["list"]
    file = format, content, Target(purpose="commercial", value=ConsentValue.OPTED_IN)
    assert await run(tenant, file) == (1, 0, 1)
    await record_consent(tenant, caller, Capture(channel=Channel.EMAIL, address=ADA, purpose="commercial", value=OUT))
    assert await run(tenant, file) == (0, 1, 0)
    assert not await allowed(tenant)


async def test_the_senders_own_key_stands_for_one_opt_out(tenant: Tenant, caller: Caller) -> None:
    file = "ndjson", json.dumps({**LINE, "idempotencyKey": "mine"}), Target()
    assert await run(tenant, file) == (1, 0, 1)
    await opt_in(tenant, caller)
    assert await run(tenant, file) == (0, 1, 0)


async def resumed(tenant: Tenant, caller: Caller, file: tuple[str, bytes, Target]) -> Totals:
    """What an import under a key is told as, the first time or again."""
    format, content, target = file
    begun = await begin_run(tenant, caller, "the import's key", format, target)
    assert begun is not None

    async def pieces() -> AsyncIterator[bytes]:
        yield content

    asked = reading(await tenant.latest_catalogue(), format, target, tenant.ledger.clock)
    told: list[RowTold] = []
    return await run_import(
        tenant, IMPORTER, pieces(), asked, told=told.append, progress=lambda _: None, run=begun.marks
    )


async def size_of(tenant: Tenant) -> int:
    async with tenant.ledger.connection() as connection:
        return await connection.fetchval("SELECT size FROM log_heads WHERE tenant = $1", tenant.id)


async def test_an_import_that_goes_on_records_no_row_of_its_own_twice(tenant: Tenant, caller: Caller) -> None:
    format, _, target = AS_OF_THE_IMPORT["list"]
    content = f"emailaddress1\n{ADA}\n{BOB}\n".encode()
    # Both stood in a list of before; since then both opted in.
    await run(tenant, (format, content.decode(), target))
    for address in (ADA, BOB):
        await opt_in(tenant, caller, address)
    assert (await resumed(tenant, caller, (format, content[: content.index(BOB.encode())], target))).events == 1
    await opt_in(tenant, caller)
    totals = await resumed(tenant, caller, (format, content, target))
    assert (totals.recorded, totals.unchanged, totals.events) == (2, 0, 2)
    assert await allowed(tenant)


@of_the_import
async def test_what_an_import_recorded_anew_before_it_was_cut_off_counts_as_its_own(
    tenant: Tenant, caller: Caller, file: File
) -> None:
    format, content, target = file
    for _ in range(2):
        # Also where one of before had recorded it anew already.
        await run(tenant, file)
        await opt_in(tenant, caller)
    since = await size_of(tenant)
    for _ in range(2):
        totals = await resumed(tenant, caller, (format, content.encode(), target))
        assert (totals.recorded, totals.unchanged, totals.events) == (1, 0, 1)
    assert await size_of(tenant) == since + 1
    assert not await allowed(tenant)


@of_the_import
async def test_what_an_import_recorded_and_was_erased_since_it_does_not_bring_back(
    tenant: Tenant, caller: Caller, file: File
) -> None:
    format, content, target = file
    assert (await resumed(tenant, caller, (format, content.encode(), target))).recorded == 1
    await erase_contact_point(
        tenant, caller, channel=Channel.EMAIL, address=ADA, keep_suppression=False, reason="asked for"
    )
    size = await size_of(tenant)
    assert (await resumed(tenant, caller, (format, content.encode(), target))).recorded == 1
    assert await size_of(tenant) == size


async def test_what_another_import_recorded_since_it_began_is_not_its_own(tenant: Tenant, caller: Caller) -> None:
    format, _, target = AS_OF_THE_IMPORT["list"]
    content = f"emailaddress1\n{BOB}\n{ADA}\n"
    # It is cut off before a byte of the body; another list has ada, who then opts in.
    assert (await resumed(tenant, caller, (format, b"emailaddress1\n", target))).rows == 0
    await run(tenant, (format, f"emailaddress1\n{ADA}\n", target))
    await opt_in(tenant, caller)
    size = await size_of(tenant)
    totals = await resumed(tenant, caller, (format, content.encode(), target))
    assert (totals.recorded, totals.unchanged, totals.events) == (2, 0, 2)
    assert await size_of(tenant) == size + 2
    assert not await allowed(tenant)


async def test_what_another_import_recorded_and_counts_is_told_as_unchanged(tenant: Tenant, caller: Caller) -> None:
    format, content, target = AS_OF_THE_IMPORT["list"]
    assert (await resumed(tenant, caller, (format, b"emailaddress1\n", target))).rows == 0
    await run(tenant, (format, content, target))
    totals = await resumed(tenant, caller, (format, content.encode(), target))
    assert (totals.recorded, totals.unchanged, totals.events) == (0, 1, 0)


@of_the_import
async def test_what_another_import_recorded_since_and_was_erased_comes_back(
    tenant: Tenant, caller: Caller, file: File
) -> None:
    format, content, target = file
    assert (await resumed(tenant, caller, (format, content.encode()[:14], target))).recorded == 0
    await run(tenant, file)
    await erase_contact_point(
        tenant, caller, channel=Channel.EMAIL, address=ADA, keep_suppression=False, reason="asked for"
    )
    assert (await resumed(tenant, caller, (format, content.encode(), target))).events == 1
    assert not await allowed(tenant)


async def test_a_row_twice_that_an_import_records_anew_is_told_once_by_whatever_batch(
    tenant: Tenant, caller: Caller
) -> None:
    format, content, target = AS_OF_THE_IMPORT["list"]
    await run(tenant, (format, content, target))
    await opt_in(tenant, caller)
    others = "".join(f"{number}@example.org\n" for number in range(600))
    twice = f"{content}{others}{ADA}\n".encode()
    for _ in range(2):
        totals = await resumed(tenant, caller, (format, twice, target))
        assert (totals.recorded, totals.unchanged, totals.events) == (601, 1, 601)


async def test_an_import_that_runs_twice_at_once_tells_each_row_as_its_own_in_both(
    tenant: Tenant, caller: Caller
) -> None:
    format, content, target = AS_OF_THE_IMPORT["list"]
    await run(tenant, (format, content, target))
    await opt_in(tenant, caller)
    file = format, f"{content}{BOB}\n".encode(), target
    size = await size_of(tenant)
    both = await asyncio.gather(*(resumed(tenant, caller, file) for _ in range(2)))
    assert [(one.recorded, one.unchanged, one.events) for one in both] == [(2, 0, 2)] * 2
    assert await size_of(tenant) == size + 2
