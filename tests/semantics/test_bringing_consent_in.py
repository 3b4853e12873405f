"""SEMANTICS.md, "Bringing consent in": every sentence, on the real ledger."""

import io
import json
from collections.abc import Callable
from pathlib import Path

from domain.addresses import Channel
from domain.consent import ConsentValue
from ledger.assembly import Caller, Tenant
from ledger.import_formats import Target
from ledger.import_rows import Outcome, Totals
from ledger.importing import import_consents

Reported = list[tuple[int, str, str, str]]


async def run(
    tenant: Tenant, content: str | bytes, format: str, *, dry_run: bool = False, **target: str
) -> tuple[Totals, Reported]:
    raw = content.encode() if isinstance(content, str) else content
    reported: Reported = []

    def report(line: int, outcome: Outcome, code: str, message: str) -> None:
        reported.append((line, str(outcome), code, message))

    given = dict(target)
    totals = await import_consents(
        tenant,
        io.BytesIO(raw),
        format=format,
        report=report,
        progress=lambda _: None,
        target=Target(
            profile=given.get("profile"),
            purpose=given.get("purpose"),
            topic=given.get("topic"),
            value=ConsentValue(given["value"]) if "value" in given else None,
            channel=Channel(given["channel"]) if "channel" in given else None,
        ),
        dry_run=dry_run,
    )
    assert totals.rows == totals.recorded + totals.unchanged + totals.refused
    assert len(reported) == totals.unchanged + totals.refused
    return totals, reported


async def test_probe(tenant: Tenant, shared: Callable[[str], Path]) -> None:
    import time

    c = shared("data/contacts.csv").read_bytes()
    for dry in (True, False, False, True):
        t = time.time()
        totals, rep = await run(tenant, c, "contacts", dry_run=dry)
        from collections import Counter

        print(totals, time.time() - t, Counter(x[1:3] for x in rep))
    await __import__("ledger.catalogue").catalogue.import_catalogue(
        tenant, Caller("x", frozenset()), json.loads(shared("data/catalogue.json").read_bytes())
    )
    l = shared("data/subscription_list.csv").read_bytes()
    for dry in (True, False, False, True):
        totals, rep = await run(
            tenant, l, "subscription-list", dry_run=dry, purpose="commercial", topic="newsletter", value="OPTED_IN"
        )
        print(totals, Counter(x[1:3] for x in rep))
