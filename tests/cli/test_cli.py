"""The command line as its users meet it: processes on a real data directory, most of them forked off one that has it loaded."""

import argparse
import asyncio
import csv
import json
import re
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path

import pytest

from cli import demo
from cli.main import main, parser
from cli.options import settings_of
from ledger.api_keys import SCOPES
from tests.crash.server import COMMAND, ROOT, Server, consentry, environment

ROW = ",a{n}@example.org,Email,Purpose,commercial,,Opted {value},Internal,No reasons,,,2025-01-0{day}T00:00:00Z,0"
HEADER = (
    "msdynmkt_contactpointconsent4id,msdynmkt_contactpointvalue,msdynmkt_contactpointtype,"
    "msdynmkt_contactpointconsenttype,msdynmkt_purposeid,msdynmkt_topicid,msdynmkt_value,msdynmkt_source,"
    "msdynmkt_logicalreason,msdynmkt_reason,createdon,modifiedon,statecode"
)


def rows(count: int) -> str:
    lines = [ROW.format(n=n % 900, value=("In", "Out")[n % 2], day=1 + n // 900 % 9) for n in range(count)]
    return "\n".join([HEADER, *lines, "short,row", ""])


@pytest.fixture(scope="module")
async def data(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    """A data directory with a tenant, its database kept up by a server that runs all the while."""
    folder = tmp_path_factory.mktemp("cli")
    server = Server("--data-dir", str(folder), "--demo")
    await server.start()
    yield folder
    assert await server.stop() == 0


async def test_commands_work_beside_a_server(data: Path) -> None:
    at = ("--data-dir", str(data))
    listed = await consentry("tenants", "list", *at)
    assert listed.startswith("demo\t7 events")
    secret = (
        await consentry("keys", "create", "--tenant", "demo", "--application", "x", "--scope", "check", *at)
    ).strip()
    assert re.fullmatch(r"ck_1_[0-9a-f]{12}_[\w-]{43}", secret)
    keys = await consentry("keys", "list", "--tenant", "demo", *at)
    assert secret.split("_")[2] in keys
    assert secret not in keys
    await consentry("keys", "revoke", secret.split("_")[2], "--tenant", "demo", *at)
    assert "revoked" in await consentry("keys", "list", "--tenant", "demo", *at)
    assert "up to date" in await consentry("migrate", *at)


async def test_a_check_is_told_in_words_and_by_its_exit_code(data: Path) -> None:
    at = ("--tenant", "demo", "--data-dir", str(data))
    assert (await consentry("check", "x@example.org", "--purpose", "commercial", *at)).startswith("ALLOWED\n")
    said = await consentry("check", "nobody", "--purpose", "commercial", *at, code=3)
    assert said.startswith("NOT ALLOWED\n  INVALID_ADDRESS: ")
    await consentry("check", "x@example.org", "--purpose", "nope", *at, code=2)
    await consentry("check", "x@example.org", "--purpose", "commercial", "--as-of", "2025-01-01", *at, code=2)


@pytest.mark.parametrize(
    "arguments",
    [
        ("tenants", "create", "demo", "--name", "Again"),
        ("tenants", "create", "Not A Key", "--name", "x"),
        ("keys", "create", "--tenant", "nope", "--application", "x"),
        ("keys", "create", "--tenant", "demo", "--application", "x", "--scope", "everything"),
        ("keys", "revoke", "nope", "--tenant", "demo"),
        ("import", "missing.csv", "--format", "ndjson", "--tenant", "demo"),
        ("serve", "--port", "seventy"),
    ],
)
async def test_unusable_input_is_told_in_a_sentence(data: Path, arguments: tuple[str, ...]) -> None:
    await consentry(*arguments, "--data-dir", str(data), code=2)


async def test_what_was_erased_stays_blocked_in_the_tenant_that_takes_the_place(data: Path, tmp_path: Path) -> None:
    at = ("--data-dir", str(data))
    key, file, said = tmp_path / "old.key", tmp_path / "old.ndjson", tmp_path / "said.ndjson"
    line = {"channel": "EMAIL", "address": "gone@example.org", "purpose": "commercial", "value": "OPTED_OUT"}
    said.write_text(json.dumps(line))
    await consentry("tenants", "create", "old", "--name", "Old", *at)
    await consentry("import", str(said), "--format", "ndjson", "--tenant", "old", *at)
    await consentry("erase", "gone@example.org", "--reason", "asked", "--tenant", "old", *at)
    await consentry("export", "--format", "ndjson", "--tenant", "old", "-o", str(file), *at)
    assert "gone" not in file.read_text()
    await consentry("tenants", "blind-index-key", "--tenant", "old", "-o", str(key), *at)
    assert key.stat().st_mode & 0o077 == 0
    for name, option, recorded in (
        ("same", ("--blind-index-of", "old"), 1),
        ("moved", ("--blind-index-key", str(key)), 1),
        ("other", (), 0),
    ):
        await consentry("tenants", "create", name, "--name", name, *option, *at)
        totals = json.loads(await consentry("import", str(file), "--format", "ndjson", "--tenant", name, *at))
        assert (totals["recorded"], totals.get("refusedOptOuts", 0)) == (recorded, 1 - recorded)
        asked = ("check", "gone@example.org", "--purpose", "commercial", "--tenant", name, *at)
        answer = await consentry(*asked, code=3 if recorded else 0)
        assert ("SUPPRESSED" in answer) == bool(recorded)
    key.write_text("not a key")
    for option in (("--blind-index-key", str(key)), ("--blind-index-key", "nowhere"), ("--blind-index-of", "nobody")):
        await consentry("tenants", "create", "none", "--name", "None", *option, *at, code=2)
    key.write_text("abcd")
    await consentry("tenants", "create", "none", "--name", "None", "--blind-index-key", str(key), *at, code=2)


async def test_an_import_that_was_killed_goes_on_and_ends_as_if_it_had_not_been(data: Path, tmp_path: Path) -> None:
    at = ("--tenant", "demo", "--data-dir", str(data))
    file, report = tmp_path / "rows.csv", tmp_path / "report.csv"
    file.write_text(rows(8_000))
    before = int((await consentry("tenants", "list", "--data-dir", str(data))).split("\t")[1].split()[0])
    command = ("import", str(file), "--format", "contact-point-consents", *at)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, *command,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env=environment(), cwd=ROOT,
    )  # fmt: skip
    events = before
    while events < before + 1_000 and process.returncode is None:
        events = int((await consentry("tenants", "list", "--data-dir", str(data))).split("\t")[1].split()[0])
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    totals = json.loads((await consentry(*command, "--report", str(report))).splitlines()[-1])
    assert totals["rows"] == 8_001
    assert totals["recorded"] + totals["unchanged"] == 8_000
    assert totals["unchanged"] >= 1_000
    assert totals["refused"] == 1
    after = int((await consentry("tenants", "list", "--data-dir", str(data))).split("\t")[1].split()[0])
    assert after == before + 8_000
    reported = list(csv.DictReader(report.open()))
    [refused] = [row for row in reported if row["outcome"] == "refused"]
    assert (refused["row"], refused["code"]) == ("8002", "INVALID")
    again = json.loads((await consentry(*command)).splitlines()[-1])
    assert (again["recorded"], again["unchanged"], again["refused"]) == (0, 8_000, 1)


async def test_an_export_is_written_whole_for_its_owner_alone(data: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.ndjson"
    await consentry("export", "--format", "ndjson", "--tenant", "demo", "-o", str(target), "--data-dir", str(data))
    assert target.stat().st_mode & 0o777 == 0o600
    assert all(json.loads(line)["address"] for line in target.read_text().splitlines())
    assert list(tmp_path.iterdir()) == [target]
    said = await consentry("export", "--format", "contact-point-consents", "--tenant", "demo", "--data-dir", str(data))
    assert said.startswith('"msdynmkt_contactpointconsent4id",')


async def test_a_catalogue_file_is_imported_once(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "catalogue.json"
    file.write_text(json.dumps({"topics": [{"key": "news", "purpose": "commercial"}]}))
    command = ("import", str(file), "--format", "catalogue", "--tenant", "demo", "--data-dir", str(data))
    assert json.loads(await consentry(*command, "--dry-run"))["events"] == 1
    assert json.loads(await consentry(*command))["events"] == 1
    assert json.loads(await consentry(*command)) == {
        "rows": 1, "recorded": 0, "unchanged": 1, "refused": 0, "events": 0,
    }  # fmt: skip
    file.write_text("{")
    await consentry(*command, code=2)
    file.write_text(json.dumps({"topics": [{"key": "x", "purpose": "nope"}]}))
    await consentry(*command, code=2)


async def test_refused_rows_are_no_failure_of_the_command(data: Path, tmp_path: Path) -> None:
    file, report = tmp_path / "consents.csv", tmp_path / "report.csv"
    header = "msdynmkt_contactpointvalue,msdynmkt_contactpointtype,msdynmkt_contactpointconsenttype,msdynmkt_purposeid,"
    row = ",Email,Purpose,commercial,Opted Out,2026-02-01T09:00:00Z\n"
    file.write_text(f"{header}msdynmkt_value,modifiedon\nnobody{row}{row}refused@example.org{row}")
    said = await consentry(
        *("import", str(file), "--format", "contact-point-consents", "--tenant", "demo", "--report", str(report)),
        *("--data-dir", str(data)),
    )
    assert json.loads(said) == {
        "rows": 3,
        "recorded": 1,
        "unchanged": 0,
        "refused": 2,
        "events": 1,
        "refusedOptOuts": 2,
    }
    told = list(csv.DictReader(report.open()))
    assert [(line["row"], line["outcome"], line["code"]) for line in told] == [
        ("2", "refused", "INVALID_ADDRESS"),
        ("3", "refused", "INVALID_ADDRESS"),
    ]
    assert all(line["message"].startswith("msdynmkt_contactpointvalue: ") for line in told)
    assert all(line["message"].endswith("; it is an opt-out, or may be one") for line in told)


async def test_a_file_of_another_code_page_is_read_once_that_is_said(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file, address = tmp_path / "p.csv", "łukasz.żak0@x.example"
    file.write_text(f"emailaddress1\n{address}\n", "cp1250")
    at = ("--tenant", "demo", "--data-dir", str(data))
    command = (
        "import",
        str(file),
        "--format",
        "subscription-list",
        "--purpose",
        "commercial",
        "--value",
        "opted_out",
        *at,
    )
    assert json.loads(await consentry(*command))["refusedOptOuts"] == 1
    assert await asyncio.to_thread(main, (*command, "--encoding", "klingon")) == 2
    assert "consentry: --encoding: there is no such encoding" in capfd.readouterr().err
    assert json.loads(await consentry(*command, "--encoding", "windows-1250"))["recorded"] == 1
    assert (await consentry("check", address, "--purpose", "commercial", *at, code=3)).startswith("NOT ALLOWED")
    exported = tmp_path / "exported.csv"
    assert (
        await asyncio.to_thread(main, ("export", "--format", "contact-point-consents", "-o", str(exported), *at)) == 0
    )
    assert f'"{address}"' in exported.read_text("utf-8")
    assert "records name a purpose or topic that has no GUID by its key: Dynamics cannot" in capfd.readouterr().err


@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)])
async def test_refused_rows_are_a_failure_of_a_command_that_is_told_so(
    data: Path, tmp_path: Path, dry_run: tuple[str, ...]
) -> None:
    file = tmp_path / "consents.ndjson"
    command = ("import", str(file), "--format", "ndjson", "--fail-on-refused", "--tenant", "demo", *dry_run)
    good = '{"address": "refusing@example.org", "purpose": "commercial", "value": "OPTED_OUT"}\n'
    file.write_text(good + "{\n")
    said = await consentry(*command, "--data-dir", str(data), code=3)
    assert json.loads(said)["refusedOptOuts"] == 1
    file.write_text(good)
    await consentry(*command, "--data-dir", str(data))
    file.write_text(good.replace("}", ', "evidence": {"attributes": {"a": 1e400}}}'))
    said = await consentry(*command, "--data-dir", str(data), code=3)
    assert (json.loads(said)["refused"], json.loads(said)["partlyRefused"]) == (0, 1)


async def test_it_is_said_why_most_rows_were_refused_and_what_to_mend_first(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "consents.csv"
    command = ("import", str(file), "--format", "ndjson", "--tenant", "demo", "--data-dir", str(data))
    wrong = (
        '{"address": "ada@example.org", "purpose": "commercial", "value": "OPTED_OUT", "effectiveAt": "2025-01-01"}\n'
    )
    unknown = '{"address": "ada@example.org", "purpose": "nothing", "value": "OPTED_IN"}\n'
    file.write_text(wrong + wrong + unknown)
    assert await asyncio.to_thread(main, command) == 0
    said = capfd.readouterr().err
    assert "refused 3 of 3 rows; most often, 2 times: effectiveAt: has no offset from UTC" in said
    assert "2 of these rows say Opted Out, or may: mend these first" in said
    assert "--format catalogue" not in said
    file.write_text(unknown)
    assert await asyncio.to_thread(main, command) == 0
    assert "purposes and topics come first, with --format catalogue" in capfd.readouterr().err


async def test_a_command_about_a_tenant_makes_no_database(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    command = ("keys", "create", "--tenant", "demo", "--application", "x", "--data-dir", str(elsewhere))
    await consentry(*command, code=1)
    assert not elsewhere.exists()


async def test_the_demo_says_how_to_make_another_key_where_it_is(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    await asyncio.to_thread(demo.prepare, settings_of(parser().parse_args(["migrate", "--data-dir", str(data)])))
    said = capfd.readouterr().err
    [command] = re.findall(r"^  export CONSENTRY_KEY=\$\(\.venv/bin/consentry (keys create .*)\)$", said, re.MULTILINE)
    assert (await consentry(*shlex.split(command))).startswith("ck_1_")
    # As much as the first key may, or the README's tour would end with the new one.
    assert re.findall(r"--scope (\S+)", command) == list(SCOPES)
    assert f"\n  rm -r {data}\n" in said


def test_the_demo_on_a_database_of_ones_own_does_not_say_to_delete_anything(tmp_path: Path) -> None:
    arguments = ["serve", "--database-url", "postgresql://me:secret@db/consent", "--data-dir", str(tmp_path)]
    settings = settings_of(parser().parse_args(arguments))
    told = demo._new_demo(settings) + demo._new_key(settings)
    assert "rm " not in told
    assert "secret" not in told


async def test_without_a_database_nothing_is_allowed(tmp_path: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:1/none"
    await consentry("check", "a@example.org", "--purpose", "p", "--tenant", "t", "--database-url", url, code=1)


async def test_presets_are_listed_and_applied(data: Path) -> None:
    assert await consentry("presets", "list") == (ROOT / "docs" / "presets.md").read_text("utf-8")
    at = ("--tenant", "demo", "--data-dir", str(data))
    assert (await consentry("presets", "apply", "can-spam", *at)).startswith("applied CAN_SPAM to profile default. ")
    assert "nothing changed" in await consentry("presets", "apply", "CAN_SPAM", *at)
    assert "nothing would change" in await consentry("presets", "apply", "CAN_SPAM", "--dry-run", *at)
    await consentry("presets", "apply", "CAN_SPAM", "--profile", "nothing", *at, code=2)
    await consentry("presets", "apply", "CAN_SPAM", "--profile", "nothing", "--dry-run", *at, code=2)
    await consentry("presets", "apply", "NOTHING", *at, code=2)


async def test_a_preset_says_what_it_would_change_and_what_it_changed(data: Path) -> None:
    at = ("--tenant", "presets", "--data-dir", str(data))
    await consentry("tenants", "create", "presets", "--name", "P", "--data-dir", str(data))
    catalogue = await consentry("export", "--format", "catalogue", *at)
    would, *dry = (await consentry("presets", "apply", "GDPR", "--dry-run", *at)).splitlines()
    assert would.startswith("dry run, nothing is changed: would apply GDPR to profile default. ")
    assert dry[:3] == [
        "  profile default: presets none -> GDPR",
        "  profile default: doubleOptIn OFF -> EVERY_SUBMISSION",
        "  purpose commercial: enforcement of EMAIL NON_RESTRICTIVE -> RESTRICTIVE",
    ]
    assert "  purpose commercial: requiredEvidence none -> NOTICE_TEXT, METHOD" in dry
    assert await consentry("export", "--format", "catalogue", *at) == catalogue
    did, *changed = (await consentry("presets", "apply", "GDPR", *at)).splitlines()
    assert did.startswith("applied GDPR to profile default. ")
    assert changed == dry
    assert await consentry("export", "--format", "catalogue", *at) != catalogue


async def test_the_version_is_that_of_what_is_installed() -> None:
    assert await consentry("--version") == f"consentry {version('consentry')}\n"


def commands_of(top: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    [choices] = [action.choices for action in top._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(choices)


def test_a_command_that_is_loaded_alone_is_what_it_is_among_all() -> None:
    among_all = commands_of(parser())
    assert len(among_all) == len({path for path in (ROOT / "cli").glob("*.py") if "\ndef add(" in path.read_text()})
    for name, command in among_all.items():
        [(loaded, alone)] = commands_of(parser(name)).items()
        assert (loaded, alone.format_help()) == (name, command.format_help())


async def test_a_process_that_begins_at_its_imports_does_the_same_as_a_forked_one(data: Path) -> None:
    command = ("tenants", "list", "--data-dir", str(data))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, *command,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment(), cwd=ROOT,
    )  # fmt: skip
    output, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert output.decode() == await consentry(*command)


async def test_a_key_is_bound_to_a_unit(data: Path, tmp_path: Path) -> None:
    at = ("--tenant", "demo", "--data-dir", str(data))
    units = tmp_path / "units.json"
    units.write_text(json.dumps({"businessUnits": [{"key": "emea", "name": "EMEA"}]}))
    await consentry("import", str(units), "--format", "catalogue", *at)
    create = ("keys", "create", "--application", "emea", *at)
    secret = (await consentry(*create, "--scope", "check", "--unit", "emea")).strip()
    listed = await consentry("keys", "list", *at)
    assert next(line for line in listed.splitlines() if secret.split("_")[2] in line).endswith("\tin unit emea")
    await consentry(*create, "--scope", "audit", "--unit", "emea", code=2)
    await consentry(*create, "--scope", "check", "--unit", "nowhere", code=2)
    check = ("check", "x@example.org", "--purpose", "commercial", *at)
    assert (await consentry(*check, "--business-unit", "emea")).startswith("ALLOWED\n")
    await consentry(*check, "--business-unit", "nowhere", code=2)
