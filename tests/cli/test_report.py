"""`consentry report propagation` beside a server: rows as they come, last a summary, in three formats."""

import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.server import Server, consentry

RECORD = """mutation($input: RecordConsentInput!) { recordConsent(input: $input) { position errors { code } } }"""


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Path, list[int]]]:
    """A data directory with opt-outs that a mailer knows one of, and their positions."""
    folder = tmp_path_factory.mktemp("report")
    server = Server("--data-dir", str(folder))
    await server.start()
    at = ("--tenant", "shop", "--data-dir", str(folder))
    await consentry("tenants", "create", "shop", "--name", "Shop", "--data-dir", str(folder))
    scopes = ("--scope", "read", "--scope", "write")
    secret = (await consentry("keys", "create", "--application", "mailer", *scopes, *at)).strip()
    await consentry("keys", "create", "--application", "asker", "--scope", "check", *at)
    found: list[int] = []
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {secret}"}, timeout=30) as client:

        async def asked(query: str, **variables: Any) -> Any:
            answer = await client.post(f"{server.url}/graphql", json={"query": query, "variables": variables})
            return answer.json()["data"]

        for number, source in enumerate(("COMPLAINT", "ONE_CLICK_UNSUBSCRIBE", "FORM")):
            given = {"address": f"person{number}@example.org", "purpose": "commercial", "value": "OPTED_OUT"}
            recorded = await asked(
                RECORD, input={**given, "source": source, "effectiveAt": "2026-01-05T12:00:00Z", "jurisdiction": "IE"}
            )
            found.append(recorded["recordConsent"]["position"])
            if not number:
                await asked(f"mutation {{ acknowledge(position: {found[0]}) {{ at errors {{ code }} }} }}")
    yield folder, found
    assert await server.stop() == 0


async def report(folder: Path, *options: str, code: int = 0) -> str:
    return await consentry("report", "propagation", "--tenant", "shop", "--data-dir", str(folder), *options, code=code)


async def test_a_table_of_who_knew_and_a_summary(served: tuple[Path, list[int]]) -> None:
    folder, found = served
    head, *rows, last = (await report(folder)).splitlines()
    assert head.split()[:3] == ["position", "event", "channel"]
    assert [(int(row.split()[0]), row.split()[3]) for row in rows] == list(
        zip(found, ("COMPLAINT", "ONE_CLICK_UNSUBSCRIBE", "FORM"), strict=True)
    )
    assert [row.rsplit("  ", 1)[1] for row in rows] == ["late", "overdue", "overdue"]
    assert all("GDPR  " in row and "2026-01-07T12:00:00.000000Z" in row and " mailer " in row for row in rows)
    summary = json.loads(last)
    assert (summary["optOuts"], summary["overdue"], summary["acknowledged"], summary["late"]) == (3, 2, 1, 1)
    assert summary["notFollowing"] == ["asker"]
    assert 0 <= summary["medianSeconds"] <= summary["p99Seconds"]
    assert summary["slowest"] == {"application": "mailer", "position": found[0]}


@pytest.mark.parametrize("form", ["table", "csv", "json"])
async def test_into_a_file_it_is_the_same(served: tuple[Path, list[int]], tmp_path: Path, form: str) -> None:
    folder, _ = served
    file = tmp_path / "report"
    shown = await report(folder, "--format", form)
    assert await report(folder, "--format", form, "-o", str(file)) == ""
    assert file.read_bytes().decode() == shown
    assert file.stat().st_mode & 0o777 == 0o600


async def test_what_is_refused_leaves_no_file(served: tuple[Path, list[int]], tmp_path: Path) -> None:
    folder, _ = served
    await report(folder, "--since", "yesterday", "-o", str(tmp_path / "report"), code=2)
    assert list(tmp_path.iterdir()) == []


async def test_json_lines_and_filters(served: tuple[Path, list[int]]) -> None:
    folder, found = served
    *lines, last = map(json.loads, (await report(folder, "--format", "json", "--overdue")).splitlines())
    assert [line["position"] for line in lines] == found[1:]
    assert lines[0]["overdue"] is True
    assert lines[0]["applications"][0]["inTime"] == {"GDPR": False, "GMAIL": False, "YAHOO": False}
    assert last["optOuts"] == 2
    *lines, _ = (await report(folder, "--format", "json", "--not-acknowledged-by", "mailer")).splitlines()
    assert len(lines) == 2
    assert len((await report(folder, "--format", "json", "--until", "2026-01-01T00:00:00Z")).splitlines()) == 1
    assert len((await report(folder, "--format", "json", "--since", "2026-01-01T00:00:00Z")).splitlines()) == 4


async def test_what_nobody_is_expected_to_know_is_counted_whatever_is_filtered(
    served: tuple[Path, list[int]], tmp_path: Path
) -> None:
    file = tmp_path / "list.csv"
    file.write_text("emailaddress1\nada@example.org\n")
    at = ("--tenant", "quiet", "--data-dir", str(served[0]))
    await consentry("tenants", "create", "quiet", "--name", "Quiet", "--data-dir", str(served[0]))
    await consentry(
        "import", str(file), "--format", "subscription-list", "--purpose", "commercial", "--value", "OPTED_OUT", *at
    )
    for options, opt_outs in (((), 1), (("--overdue",), 0)):
        *_, last = (await consentry("report", "propagation", "--format", "json", *options, *at)).splitlines()
        said = json.loads(last)
        assert (said["optOuts"], said["expectedOfNobody"]) == (opt_outs, 1)


async def test_a_csv_file_is_nothing_but_rows(served: tuple[Path, list[int]]) -> None:
    folder, found = served
    rows = list(csv.DictReader(io.StringIO(await report(folder, "--format", "csv"))))
    assert [int(row["position"]) for row in rows] == found
    assert [row["state"] for row in rows] == ["late", "overdue", "overdue"]
    assert rows[0]["by"] == "CURSOR"


async def test_nobody_is_named(served: tuple[Path, list[int]]) -> None:
    folder, _ = served
    for form in ("table", "csv", "json"):
        assert "@" not in await report(folder, "--format", form)


@pytest.mark.parametrize(
    "options", [("--since", "yesterday"), ("--not-acknowledged-by", "nobody"), ("--until", "2026-01-01")]
)
async def test_what_cannot_be_read_is_told_in_a_sentence(
    served: tuple[Path, list[int]], options: tuple[str, ...]
) -> None:
    assert await report(served[0], *options, code=2) == ""
