"""What is measured through the ledger in this process, on a log of each size: one figure of one round from each function.

Whoever is asked about or written to is drawn from all contact points of the log: what is old counts like what is new.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from statistics import median
from uuid import UUID

from benchmarks.captures import rate
from benchmarks.growth.made_up import CALLER, TOPIC, address
from benchmarks.importing import consent_records, rows_a_second
from domain.addresses import Channel
from domain.consent import ConsentRecord, ConsentValue, join
from domain.decision import Contactability
from eventstore import read
from ledger.assembly import Tenant
from ledger.check import Question, check
from ledger.history import EventFilter, events, find_contact_point, histories
from ledger.record import Capture, record_consents
from ledger.selection import Selection, select
from projections.inline import CURRENT_CONSENT, captured
from projections.rebuild import rebuild
from tlog.compact_range import EMPTY
from tlog.hashing import leaf_hash

_CHECKS = 200
_BATCH = 10_000
APPEND_S = 1.5
IMPORT_ROWS = 4_000
REPLAYED = 30_000
_PAGE = 100
_HALF = Selection(channel=Channel.EMAIL, purpose="commercial", contactability=Contactability.WILL_NOT_SEND)
_BOTH = Selection(channel=Channel.EMAIL, purpose="commercial", topic=TOPIC, contactability=Contactability.WILL_NOT_SEND)


@dataclass(slots=True)
class Grown:
    """A log of one size, opened, and what draws from it."""

    tenant: Tenant
    size: int
    contact_points: int
    draw: random.Random = field(default_factory=lambda: random.Random(11))

    def addresses(self, number: int) -> list[str]:
        """So many addresses, drawn from all."""
        return [address(self.draw.randrange(self.contact_points)) for _ in range(number)]


@dataclass(frozen=True, slots=True)
class Measure:
    """What is measured, in which unit, and whether more of it is better."""

    what: str
    unit: str
    more_is_better: bool
    of: Callable[[Grown], Awaitable[float]]


async def _median_ms(grown: Grown, times: int, ask: Callable[[], Awaitable[object]]) -> float:
    taken: list[float] = []
    for _ in range(times):
        started = time.perf_counter()
        await ask()
        taken.append(time.perf_counter() - started)
    return median(taken) * 1_000


def _question(*addresses: str) -> Question:
    return Question(channel=Channel.EMAIL, addresses=addresses, purpose="commercial")


async def one_check(grown: Grown) -> float:
    """Milliseconds of a check, one after the other, each of another address."""
    addresses = iter(grown.addresses(_CHECKS))
    return await _median_ms(grown, _CHECKS, lambda: check(grown.tenant, _question(next(addresses))))


async def many_checks(grown: Grown) -> float:
    """Checks a second, 64 at once."""
    addresses = iter(grown.addresses(64 * 60))

    async def one() -> None:
        for _ in range(60):
            await check(grown.tenant, _question(next(addresses)))

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(64)))
    return 64 * 60 / (time.perf_counter() - started)


async def batch_check(grown: Grown) -> float:
    """Decisions a second of a batch of 10,000 addresses."""
    addresses = grown.addresses(_BATCH)
    started = time.perf_counter()
    await check(grown.tenant, _question(*addresses))
    return _BATCH / (time.perf_counter() - started)


async def ask_for_each(grown: Grown) -> None:
    """Ask for every contact point once, as a database that is in use has been: else its pages come from the disk."""
    for first in range(0, grown.contact_points, _BATCH):
        numbers = range(first, min(first + _BATCH, grown.contact_points))
        await check(grown.tenant, _question(*(address(number) for number in numbers)))


async def lone_append(grown: Grown) -> float:
    """Milliseconds of an append, one caller, new contact points."""
    _, taken = await rate(grown.tenant, 1, APPEND_S / 2)
    return median(taken) * 1_000


async def appends_16(grown: Grown) -> float:
    """Appends a second, 16 callers, new contact points."""
    return (await rate(grown.tenant, 16, APPEND_S))[0]


async def appends_256(grown: Grown) -> float:
    """Appends a second, 256 callers, new contact points."""
    return (await rate(grown.tenant, 256, APPEND_S))[0]


async def appends_to_old(grown: Grown) -> float:
    """Appends a second at contact points that are there, a thousand captures at a time."""
    run = time.time_ns()
    captures = [
        Capture(
            channel=Channel.EMAIL,
            address=one,
            purpose="commercial",
            value=ConsentValue.OPTED_OUT if number % 3 else ConsentValue.OPTED_IN,
            idempotency_key=f"{run}-{number}",
        )
        for number, one in enumerate(grown.addresses(5_000))
    ]
    started = time.perf_counter()
    for low in range(0, len(captures), 1_000):
        await record_consents(grown.tenant, CALLER, captures[low : low + 1_000])
    return len(captures) / (time.perf_counter() - started)


async def imported(grown: Grown) -> float:
    """Rows a second of a file, half of them about contact points that are there."""
    run = time.time_ns()
    new = [f"import{run}.{number}@example.org" for number in range(IMPORT_ROWS // 2)]
    content = consent_records(random.Random(run), [*new, *grown.addresses(IMPORT_ROWS // 2)], IMPORT_ROWS)
    return await rows_a_second(grown.tenant, content, IMPORT_ROWS)


async def history_page(grown: Grown) -> float:
    """Milliseconds of the first page of a contact point's history, found by its address."""
    addresses = iter(grown.addresses(_CHECKS))

    async def page() -> None:
        point = await find_contact_point(grown.tenant, Channel.EMAIL, next(addresses))
        if point is None:
            raise RuntimeError("nobody there")
        await histories(grown.tenant, [point.id], EventFilter(), first=20)

    return await _median_ms(grown, _CHECKS, page)


async def log_page(grown: Grown) -> float:
    """Milliseconds of a page of a hundred events somewhere in the log, forward and backward."""

    async def page() -> None:
        somewhere = EventFilter(from_position=grown.draw.randrange(grown.size - _PAGE))
        await events(grown.tenant, somewhere, first=_PAGE)
        await events(grown.tenant, EventFilter(to_position=grown.draw.randrange(_PAGE, grown.size)), last=_PAGE)

    return await _median_ms(grown, 40, page)


async def selection_page(grown: Grown) -> float:
    """Milliseconds of a page of a thousand contact points."""

    async def page() -> None:
        if not (await select(grown.tenant, _HALF, first=1_000)).items:
            raise RuntimeError("nobody was found")

    return await _median_ms(grown, 9, page)


async def selection_count(grown: Grown) -> float:
    """Milliseconds of an exact count of those who pass at a purpose."""
    return await _median_ms(grown, 9, lambda: _count(grown, _HALF))


async def selection_count_of_two(grown: Grown) -> float:
    """Milliseconds of an exact count of those who pass at a purpose and a topic of it."""
    return await _median_ms(grown, 9, lambda: _count(grown, _BOTH))


async def _count(grown: Grown, selection: Selection) -> int:
    page = await select(grown.tenant, selection, first=0)
    return await page.total_count()


async def replayed(grown: Grown) -> float:
    """Events a second that are read, hashed again and folded, from a place in the middle of the log."""
    tenant, after = grown.tenant, max(grown.size // 2 - REPLAYED, 0)
    held: dict[tuple[UUID, str, str | None, str], ConsentRecord | None] = {}
    tree, until = EMPTY, after + REPLAYED
    started = time.perf_counter()
    while after < until:
        async with tenant.ledger.connection() as connection:
            page = await read.forward(connection, tenant.id, after=after, limit=2_000)
        tree = tree.append_many([leaf_hash(stored.raw) for stored in page])
        for stored in page:
            capture = captured(stored.entry)
            if capture is not None:
                key = (stored.entry.stream, capture.purpose, capture.topic, capture.unit)
                held[key] = join(held.get(key), capture.record(stored.position, stored.entry.recorded_at))
        after = page[-1].position
    return tree.size / (time.perf_counter() - started)


async def rebuilt(grown: Grown) -> float:
    """Events a second of a rebuild of current consent from the whole log, compared."""
    tenant = grown.tenant
    started = time.perf_counter()
    done = await rebuild(tenant.ledger.pool, tenant.ledger.address.owner, tenant.id, CURRENT_CONSENT, accept=False)
    if done.compared.differing:
        raise RuntimeError(f"current consent is not what the log leads to: {done.compared}")
    return (done.compared.position + 1) / (time.perf_counter() - started)


MEASURES = (
    Measure("a check, one at a time", "ms", more_is_better=False, of=one_check),
    Measure("checks, 64 at once", "/s", more_is_better=True, of=many_checks),
    Measure("batch check of 10,000 addresses", "decisions/s", more_is_better=True, of=batch_check),
    Measure("first page of a contact point's history", "ms", more_is_better=False, of=history_page),
    Measure("two pages of 100 events of the log", "ms", more_is_better=False, of=log_page),
    Measure("a page of 1,000 selected contact points", "ms", more_is_better=False, of=selection_page),
    Measure("an exact count of a selection", "ms", more_is_better=False, of=selection_count),
    Measure("an exact count at a purpose and its topic", "ms", more_is_better=False, of=selection_count_of_two),
    Measure("replay: read, hashed again, folded", "events/s", more_is_better=True, of=replayed),
    Measure("a lone caller's append", "ms", more_is_better=False, of=lone_append),
    Measure("appends, 16 callers", "/s", more_is_better=True, of=appends_16),
    Measure("appends, 256 callers", "/s", more_is_better=True, of=appends_256),
    Measure("appends at contact points that are there", "/s", more_is_better=True, of=appends_to_old),
    Measure("import from a file", "rows/s", more_is_better=True, of=imported),
)
REBUILD = Measure("rebuild of current consent, compared", "events/s", more_is_better=True, of=rebuilt)
