"""Who is responsible for a profile's data: set, changed and cleared by mutation and catalogue file, read by any key."""

import json
from typing import Any

import pytest

from domain.refusals import Refusal
from ledger import exporting
from ledger.assembly import Ledger, Tenant
from ledger.catalogue import import_catalogue
from ledger.tenants import create_tenant
from tests.conftest import APPLICATION
from tests.domain.test_controller import FULL
from tests.schema.conftest import Asker

FIELDS = " ".join(FULL)
UPDATE = f"""mutation($input: UpdateComplianceProfileInput!) {{ updateComplianceProfile(input: $input) {{
  complianceProfile {{ version controller {{ {FIELDS} }} }} errors {{ code path }} }} }}"""
READ = f'{{ complianceProfile(ref: "default") {{ controller {{ {FIELDS} }} }} }}'
NOTHING = dict.fromkeys(FULL)


async def update(ask: Asker, controller: Any, **given: Any) -> Any:
    return (await ask.data(UPDATE, input={"ref": "default", "controller": controller, **given}))[
        "updateComplianceProfile"
    ]


async def read(ask: Asker) -> Any:
    return (await ask.data(READ))["complianceProfile"]["controller"]


async def test_it_is_set_and_changed_field_by_field(ask: Asker) -> None:
    assert await read(ask) == NOTHING
    made = await update(ask, FULL, idempotencyKey="k")
    assert made == {"complianceProfile": {"version": 2, "controller": FULL}, "errors": []}
    assert await update(ask, FULL, idempotencyKey="k") == made
    assert await read(ask.with_scopes("check")) == FULL
    changed = await update(ask, {"phone": None, "recipients": [], "sensitive": True})
    assert changed["complianceProfile"] == {
        "version": 3,
        "controller": {**FULL, "phone": None, "recipients": [], "sensitive": True},
    }
    # What is so already is no event; what says nothing of it leaves it.
    assert (await update(ask, {"recipients": []}))["complianceProfile"]["version"] == 3
    await ask.data(UPDATE, input={"ref": "default", "name": "Other"})
    assert (await read(ask))["rights"] == FULL["rights"]
    await update(ask, None)
    assert await read(ask) == NOTHING


@pytest.mark.parametrize(
    ("controller", "path"),
    [({"email": "none"}, ["email"]), ({"rights": ["a", ""]}, ["rights", "1"]), ({"policyUrl": "x"}, ["policyUrl"])],
)
async def test_a_refusal_names_the_field(ask: Asker, controller: Any, path: list[str]) -> None:
    refused = await update(ask, controller)
    assert refused["errors"] == [{"code": "INVALID", "path": ["controller", *path]}]
    assert await read(ask) == NOTHING


async def test_a_catalogue_file_carries_it(ask: Asker, tenant: Tenant, ledger: Ledger) -> None:
    await update(ask, FULL)
    file = json.loads(json.dumps(await exporting.catalogue(tenant)))
    other = await create_tenant(ledger, f"{tenant.key}-copy", "Copy")
    await import_catalogue(other, APPLICATION, file)
    assert other.catalogue.profiles["default"].controller == tenant.catalogue.profiles["default"].controller
    assert (await import_catalogue(other, APPLICATION, file)).events == 0


@pytest.mark.parametrize(
    ("controller", "path"),
    [
        ("x", ("controller",)),
        ({"owner": "x"}, ("controller", "owner")),
        ({"sensitive": "no"}, ("controller", "sensitive")),
    ],
)
async def test_a_catalogue_files_refusal_names_its_place(
    tenant: Tenant, controller: Any, path: tuple[str, ...]
) -> None:
    file = {"profiles": [{"key": "default", "controller": controller}], "overwrite": True}
    with pytest.raises(Refusal) as refused:
        await import_catalogue(tenant, APPLICATION, file)
    assert refused.value.path == ("profiles", "0", *path)
