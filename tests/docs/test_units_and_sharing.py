"""docs/units-and-sharing.md works as written: each request has the answer that stands behind it, by the key that it names."""

import shlex

from cli.main import parser
from ledger.api_keys import SCOPES
from ledger.assembly import Tenant
from tests.docs.told import blocks, commands, page, told
from tests.web.units import App, app_of

PAGE = page("units-and-sharing.md")


async def test_each_request_has_its_answer(tenant: Tenant) -> None:
    whole = await app_of(tenant, "demo-app", *SCOPES)
    apps: dict[str | None, App] = {None: whole}
    steps = told(PAGE)
    assert {step.unit for step in steps} == {None, "emea", "de"}
    for step in steps:
        if step.unit not in apps:
            apps[step.unit] = await bound(tenant, step.unit)
        assert await apps[step.unit].answer(step.document) == step.answer, step.document


async def bound(tenant: Tenant, unit: str | None) -> App:
    """An application whose key was made by the page's command."""
    [command] = [line for line in commands(PAGE) if line.endswith(f"--unit {unit}")]
    options = parser().parse_args(shlex.split(command))
    return await app_of(tenant, options.application, *options.scope, unit=options.unit)


def test_every_block_is_a_step() -> None:
    assert len(blocks(PAGE, "json")) == len(told(PAGE))
    assert len(blocks(PAGE, "sh")) == 2
