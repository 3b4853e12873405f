"""`consentry verify`: files and served logs, exit codes, what is printed where; no database on the way."""

import argparse
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cli import verify
from tests.verifier.given import ADA, KEY, OTHER_KEY, Log, capture, demo_log, dumped, witness
from tlog.proof_text import ProofText
from tlog.prove import inclusion

VKEY = KEY.verifier.text()


def run(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    verify.add(parser.add_subparsers())
    options = parser.parse_args(["verify", *map(str, arguments)])
    return options.run(options)


@pytest.fixture
def bundle(log: Log, tmp_path: Path) -> Path:
    path = tmp_path / "evidence.json"
    path.write_bytes(dumped(log.bundle()))
    return path


@pytest.fixture
def export(log: Log, tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    path.write_bytes(log.export)
    return path


def test_what_is_proven_exits_with_0(bundle: Path, export: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bundle, "--key", VKEY, "--witness", witness().text(), "--log", export) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("PROVEN  the log consentry.local/log/demo has 12 events")
    assert lines[-1].startswith("PROVEN, ")
    assert run(export, "--key", OTHER_KEY.verifier.text(), "--key", VKEY) == 0


def test_keys_come_several_at_once_or_from_a_file(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = f"{OTHER_KEY.verifier.text()}\n{VKEY}\n"
    file = tmp_path / "log.vkey"
    file.write_text(both, encoding="utf-8")
    assert run(bundle, "--key", both) == 0
    assert run(bundle, "--key", file) == 0
    assert run(bundle, "--key", tmp_path / "none.vkey") == 2
    assert 'none.vkey": there is no such file, and it is no key' in capsys.readouterr().err


def test_a_note_is_the_same_with_and_without_its_last_newline(log: Log, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    note = json.loads(dumped(log.bundle()))["checkpoint"]
    for text in (note, note + "\n", note.rstrip("\n")):
        path.write_text(text, encoding="utf-8")
        assert run(path, "--key", VKEY) == 0


def test_what_is_not_proven_exits_with_1(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bundle, "--key", OTHER_KEY.verifier.text()) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[-2].startswith("FAILED  checkpoint: ")
    assert out[-1] == "NOT PROVEN: checkpoint: no trusted key signed the note"


def test_the_report_as_json(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bundle, "--key", VKEY, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["proven"] is True
    assert {line["verdict"] for line in report["lines"]} == {"PROVEN", "CLAIMED", "NEEDS_WITNESS"}


def test_unusable_input_exits_with_2(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG")
    large = tmp_path / "large"
    large.write_bytes(b"x" * 200_000)
    for arguments in (
        [tmp_path / "missing.json", "--key", VKEY],
        [tmp_path, "--key", VKEY],
        [picture, "--key", VKEY],
        [bundle, "--key", "abc"],
        [bundle, "--key", VKEY, "--witness", VKEY],
        [bundle, "--key", VKEY, "--log", tmp_path / "missing.jsonl"],
        [bundle, "--key", VKEY, "--log", picture],
        [bundle, "--key", VKEY, "--entry", large],
        ["ftp://127.0.0.1/log/demo", "--key", VKEY],
        ["http:///log", "--key", VKEY],
        ["http://[::1/log", "--key", VKEY],
        ["http://127.0.0.1:1/log/demo", "--key", VKEY],
        ["http://127.0.0.1:1/log/demo", "--key", VKEY, "--log", bundle],
    ):
        assert run(*arguments) == 2, arguments
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("consentry: ")
        assert err.count("\n") == 1


def test_a_proof_with_its_entry(log: Log, tmp_path: Path) -> None:
    proof, entry = tmp_path / "proof", tmp_path / "entry"
    proof.write_text(ProofText(10, tuple(inclusion(10, 12, log.node_at(12))), log.checkpoint()).text())
    entry.write_bytes(log.entries[10])
    assert run(proof, "--key", VKEY, "--entry", entry) == 0
    entry.write_bytes(log.entries[9])
    assert run(proof, "--key", VKEY, "--entry", entry) == 1


class Serving(BaseHTTPRequestHandler):
    """Serves a log's files below /log/demo, to who has the key."""

    files: dict[str, bytes]

    def do_GET(self) -> None:
        path = self.path.removeprefix("/log/demo/")
        if self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", "/log/demo/checkpoint")
            raw = b""
        elif self.headers["Authorization"] != "Bearer sesame":
            self.send_response(401)
            raw = b""
        else:
            self.send_response(200 if path in self.files else 404)
            raw = self.files.get(path, b"")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server(log: Log) -> Iterator[str]:
    class ServingThis(Serving):
        files = log.served()

    with ThreadingHTTPServer(("127.0.0.1", 0), ServingThis) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def test_a_served_log(
    server: str, bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONSENTRY_KEY", "sesame")
    assert run(f"{server}/log/demo/", "--key", VKEY) == 0
    assert "the log is here whole: 12 entries" in capsys.readouterr().out
    assert run(bundle, "--key", VKEY, "--log", f"{server}/log/demo") == 0
    assert run(f"{server}/log/demo", "--key", OTHER_KEY.verifier.text()) == 1
    assert run(f"{server}/log/other", "--key", VKEY) == 2
    capsys.readouterr()
    assert run(f"{server}/moved", "--key", VKEY) == 2
    assert "redirects elsewhere" in capsys.readouterr().err
    monkeypatch.delenv("CONSENTRY_KEY")
    assert run(f"{server}/log/demo", "--key", VKEY) == 2
    assert "401" in capsys.readouterr().err


def test_the_verifier_needs_no_database_driver(bundle: Path) -> None:
    program = (
        "import sys; from verifier.checkpoint import Trust; from verifier.verify import verify_file;"
        " report = verify_file(open(sys.argv[1], 'rb'), Trust.parse([sys.argv[2]]));"
        " drivers = {'asyncpg', 'starlette', 'strawberry', 'eventstore', 'ledger'} & sys.modules.keys();"
        " sys.exit(0 if report.proven and not drivers else 1)"
    )
    command = [sys.executable, "-c", program, str(bundle), VKEY]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_terminal_that_cannot_show_a_text_is_shown_something_else(tmp_path: Path) -> None:
    log = demo_log()
    log.add("ConsentCaptured", ADA, capture("OPTED_IN", "commercial", "Привет"))
    path = tmp_path / "evidence.json"
    path.write_bytes(dumped(log.bundle()))
    program = (
        "import argparse, sys; from cli import verify; parser = argparse.ArgumentParser();"
        " verify.add(parser.add_subparsers()); options = parser.parse_args(sys.argv[1:]); sys.exit(options.run(options))"
    )
    command = [sys.executable, "-c", program, "verify", str(path), "--key", VKEY]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert "topic \\u041f" in done.stdout
