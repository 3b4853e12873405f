"""`consentry projections` and `consentry rebuild` beside a server that follows, as an operator meets them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from ledger.assembly import LedgerConfig, open_ledger
from tests.cli.test_cli import rows
from tests.crash.server import Server, consentry

TREND = """{ consentTrend(purpose: "commercial", from: "2025-01-01T00:00:00Z", to: "2025-01-02T00:00:00Z") {
  day optedIn optedOut reset } }"""


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Path, str]]:
    """A data directory with 1,200 imported events of a tenant, and the URL of the server that runs on it."""
    folder = tmp_path_factory.mktemp("projections")
    file = folder / "rows.csv"
    file.write_text(rows(1_200))
    server = Server("--data-dir", str(folder), "--workers", "2")
    await server.start()
    at = ("--data-dir", str(folder))
    await consentry("tenants", "create", "shop", "--name", "Shop", *at)
    await consentry("import", str(file), "--format", "contact-point-consents", "--tenant", "shop", *at)
    yield folder, server.url
    assert await server.stop() == 0


async def listed(folder: Path) -> dict[str, list[str]]:
    said = await consentry("projections", "--tenant", "shop", "--data-dir", str(folder))
    lines = [line.split("  ") for line in said.splitlines()[1:]]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:] if cell.strip()] for cells in lines}


async def test_a_server_follows_and_answers_what_was_just_recorded(served: tuple[Path, str]) -> None:
    folder, url = served
    at = ("--tenant", "shop", "--data-dir", str(folder))
    secret = (await consentry("keys", "create", "--application", "x", "--scope", "read", *at)).strip()
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {secret}"}, timeout=30) as client:
        answer = (await client.post(f"{url}/graphql", json={"query": TREND})).json()
        assert answer["data"]["consentTrend"] == [
            {"day": "2025-01-01", "optedIn": 450, "optedOut": 450, "reset": 0},
            {"day": "2025-01-02", "optedIn": 150, "optedOut": 150, "reset": 0},
        ]
        metrics = (await client.get(f"{url}/metrics")).text
    assert 'consentry_projection_parked_events{projection="consent_trend"} 0.0' in metrics
    assert 'consentry_projection_lag_events{projection="consent_trend"} 0.0' in metrics


async def test_the_list_says_how_far_each_is(served: tuple[Path, str]) -> None:
    folder, _ = served
    while (found := await listed(folder))["consent_trend"][3] != "0":
        await asyncio.sleep(0)
    head = found["current_consent"][2]
    assert found["current_consent"] == ["shop", "with each append", head, "0", "0"]
    assert found["consent_trend"] == ["shop", "by a follower", head, "0", "0"]
    assert set(found) == {
        "current_consent", "persons_opt_ins", "double_opt_in_requests", "bounces", "consent_trend",
        "selection",
    }  # fmt: skip


async def test_rebuilding_everything_finds_it_as_it_was(served: tuple[Path, str]) -> None:
    folder, _ = served
    said = await consentry("rebuild", "--all", "--data-dir", str(folder))
    lines = said.splitlines()
    assert len(lines) == 6
    assert all(" of shop: rebuilt up to position " in line and line.endswith("all as they were") for line in lines)
    assert "900 rows" in lines[0]


async def test_what_differs_is_an_exit_code_until_it_is_accepted(served: tuple[Path, str]) -> None:
    folder, _ = served
    at = ("--tenant", "shop", "--data-dir", str(folder))
    async with open_ledger(LedgerConfig(data_dir=folder)) as ledger:
        owner = await asyncpg.connect(**ledger.address.owner)
        await owner.execute("UPDATE current_consent SET value = 'OPTED_IN' WHERE value = 'OPTED_OUT'")
        await owner.close()
    said = await consentry("rebuild", "current_consent", *at, code=1)
    assert "450 differ" in said
    assert "NOT swapped: --accept does" in said
    said = await consentry("rebuild", "current_consent", "--accept", *at)
    assert "(resumed after " in said
    assert said.endswith("swapped\n")
    assert "PROVEN" in await consentry("verify", "--database", *at)
    assert "all as they were" in await consentry("rebuild", "current_consent", *at)


async def test_what_is_no_projection_or_tenant_is_told_in_a_sentence(served: tuple[Path, str]) -> None:
    folder, _ = served
    await consentry("rebuild", "everything", "--data-dir", str(folder), code=2)
    await consentry("rebuild", "--data-dir", str(folder), code=2)
    await consentry("rebuild", "bounces", "--all", "--data-dir", str(folder), code=2)
    await consentry("rebuild", "bounces", "--tenant", "nobody", "--data-dir", str(folder), code=2)
    await consentry("projections", "--tenant", "nobody", "--data-dir", str(folder), code=2)
