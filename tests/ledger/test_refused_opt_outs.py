"""Opt-outs that an import refuses are counted by themselves, wherever they are refused: they are to be mended first."""

import io
import json

import pytest

from domain.consent import ConsentValue
from ledger.assembly import Tenant
from ledger.import_formats import Target
from ledger.importing import import_consents

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


@pytest.mark.parametrize(
    ("format", "content", "target", "refused"),
    [
        ("contact-point-consents", HEADER + RECORDS.format(value="Opted Out"), Target(), (4, 3)),
        ("contact-point-consents", HEADER + RECORDS.format(value="Opted In"), Target(), (4, 0)),
        ("ndjson", objects("OPTED_OUT"), Target(), (4, 3)),
        ("ndjson", objects("OPTED_IN"), Target(), (4, 0)),
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
    totals = await import_consents(
        tenant,
        io.BytesIO(content.encode()),
        format=format,
        report=lambda *_: None,
        progress=lambda _: None,
        target=target,
        dry_run=dry_run,
    )
    assert (totals.refused, totals.refused_opt_outs) == refused
    assert totals.to_json().get("refusedOptOuts", 0) == refused[1]
