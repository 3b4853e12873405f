"""docs/selecting.md works as written: each request has the answer that stands behind it, and so has the export."""

import csv
import re
import shlex

from cli.main import parser
from ledger.api_keys import SCOPES
from ledger.assembly import Tenant
from tests.docs.told import blocks, commands, page, told
from tests.web.units import app_of

PAGE = page("selecting.md")


async def test_each_request_has_its_answer_and_so_has_the_export(tenant: Tenant) -> None:
    app = await app_of(tenant, "demo-app", *SCOPES)
    steps = told(PAGE)
    assert len(steps) == len(blocks(PAGE, "json")) == 8
    for step in steps:
        assert await app.answer(step.document) == step.answer, step.document
    [path] = re.findall(r"http://127\.0\.0\.1:8080(/export/\S+)'", PAGE)
    exported = await app.client.get(path, headers=app.headers)
    [shown] = blocks(PAGE, "csv")
    assert without_ids(exported.text) == without_ids(shown)


def without_ids(text: str) -> list[list[str]]:
    """The rows of an export, but for the contact points' ids, which are random."""
    return [row[:-1] for row in csv.reader(text.splitlines())]


def test_the_command_selects_the_same() -> None:
    [command] = [line for line in commands(PAGE) if line.startswith("export ")]
    options = parser().parse_args(shlex.split(command))
    chosen = (options.format, options.purpose, options.contactability)
    assert chosen == ("contact-points", "commercial", "WILL_NOT_SEND")
