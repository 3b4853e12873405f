"""Import of a file, all rules applied: rows a second, from contact point consent records made up here."""

import io
import random
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Figures
from ledger.api_keys import SCOPES, create_key
from ledger.assembly import LedgerConfig, Tenant, open_ledger
from ledger.importing import import_consents
from ledger.tenants import create_tenant

ROWS = 60_000
HEADER = (
    "msdynmkt_contactpointconsent4id,msdynmkt_contactpointvalue,msdynmkt_contactpointtype,"
    "msdynmkt_contactpointconsenttype,msdynmkt_purposeid,msdynmkt_topicid,msdynmkt_value,msdynmkt_source,"
    "msdynmkt_logicalreason,msdynmkt_reason,createdon,modifiedon,statecode"
)


def consent_records(draw: random.Random, addresses: Sequence[str], rows: int) -> bytes:
    """A CSV file of so many contact point consent records, each of one of these addresses."""
    lines = [HEADER]
    for _ in range(rows):
        lines.append(
            f"{uuid.UUID(int=draw.getrandbits(128))},{draw.choice(addresses)},534120000,534120000,commercial,,"
            f"{draw.choice((534120001, 534120002))},534120004,534119999,,2024-01-01T00:00:00Z,"
            f"2025-0{draw.randrange(1, 10)}-11T12:00:00Z,0"
        )
    return "\n".join(lines).encode()


def file() -> tuple[bytes, list[str]]:
    """(a CSV file, the addresses in it)."""
    draw = random.Random(7)
    addresses = [f"{draw.choice(('ada', 'grace', 'edsger'))}.{number}@example.org" for number in range(ROWS * 3 // 4)]
    return consent_records(draw, addresses, ROWS), addresses


async def rows_a_second(tenant: Tenant, content: bytes, rows: int) -> float:
    """How fast a file of so many rows is imported, each of which is new."""
    started = time.perf_counter()
    totals = await import_consents(
        tenant,
        io.BytesIO(content),
        format="contact-point-consents",
        report=lambda *_: None,
        progress=lambda _: None,
    )
    if totals.recorded != rows:
        raise RuntimeError(f"{totals} where {rows} rows are new")
    return rows / (time.perf_counter() - started)


async def run(data_dir: Path, figures: Figures) -> tuple[str, list[str]]:
    """Measure, and note the figure; (a key of the tenant that was made, addresses with records in it)."""
    content, addresses = file()
    async with open_ledger(LedgerConfig(data_dir=data_dir)) as ledger:
        tenant = await create_tenant(ledger, "bench", "Benchmarks")
        key = await create_key(tenant, "bench", SCOPES)
        rate = await rows_a_second(tenant, content, ROWS)
    figures.add("import from a file, all rules applied", "12,000 rows/s", f"{rate:,.0f} rows/s", kept=rate >= 12_000)
    return key, addresses
