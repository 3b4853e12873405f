"""`consentry verify`: what a file or a served log proves, in words; needs no database. Exit code 0: proven, 1: not."""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from cli import verify_database
from cli.options import add_settings
from cli.progress import Progress
from verifier.checkpoint import Trust
from verifier.replay import Log
from verifier.report import Report, Unusable, quoted
from verifier.verify import log_in_file, log_served, verify_file, verify_served

NOT_PROVEN = 1
UNUSABLE = 2

_TIMEOUT_S = 30.0
# A tile has 8 KB; 256 entries of 65,535 bytes, each with its length, are the largest there is.
_RESPONSE_BYTES_MAX = 256 * 65_537
_ENTRY_BYTES_MAX = 100_000
_KEYS_CHARS_MAX = 100_000


def add(commands: Any) -> None:
    """Declare the command; `commands` is what argparse's add_subparsers gives."""
    command = commands.add_parser(
        "verify",
        help="what an evidence bundle, log export, receipt or served log proves. Exit code 0: proven, 1: not, 2: unusable",
        description="Verifies without a database and says line by line what is PROVEN, what is merely CLAIMED, what NEEDS A"
        " WITNESS, and what FAILED.",
    )
    command.add_argument(
        "source", nargs="?", metavar="FILE-or-URL", help="a file, or the URL of a log, such as https://HOST/log/TENANT"
    )
    command.add_argument(
        "--database", action="store_true", help="instead of a file: all that is stored, against the log's own entries"
    )
    command.add_argument("--tenant", metavar="KEY", help="with --database: this tenant alone")
    add_settings(command)
    command.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="VKEY",
        help="the log's verifier key, NAME+ID+KEY, or several, one a line, or a file of them; can be repeated",
    )
    command.add_argument(
        "--witness", action="append", default=[], metavar="VKEY", help="a witness's key that you trust; can be repeated"
    )
    command.add_argument("--log", metavar="FILE-or-URL", help="the whole log, to hold the file against it")
    command.add_argument(
        "--entry", metavar="FILE", type=Path, help="the entry that a tlog-proof is about, raw or as base64"
    )
    command.add_argument("--json", action="store_true", help="print the report as JSON")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    if options.database:
        return (
            _say("--database takes neither a file nor --key")
            if options.source or options.key
            else verify_database.run(options)
        )
    if options.source is None or not options.key:
        return _say("give a FILE or URL and the log's verifier key as --key VKEY, or --database")
    try:
        report = _report(options)
    except Unusable as error:
        return _say(str(error))
    except OSError as error:
        return _say(f"{error.filename or options.source}: {error.strerror or error}")
    _print(report, as_json=options.json)
    return 0 if report.proven else NOT_PROVEN


def _report(options: argparse.Namespace) -> Report:
    trust = Trust.parse(_keys(options.key), _keys(options.witness))
    entry = None if options.entry is None else _read_entry(options.entry)
    with contextlib.ExitStack() as stack:
        progress = stack.enter_context(_progress())
        log: Log | None = None
        if options.log is not None:
            log = (
                log_served(_fetch_from(options.log), trust, progress=progress)
                if _is_url(options.log)
                else log_in_file(stack.enter_context(open(options.log, "rb")), trust, progress=progress)
            )
        if not _is_url(options.source):
            file = stack.enter_context(open(options.source, "rb"))
            return verify_file(file, trust, log=log, entry=entry, progress=progress)
        if log is not None:
            raise Unusable("a served log is verified by itself, so --log is of no use")
        return verify_served(_fetch_from(options.source), trust, progress=progress)


def _keys(given: list[str]) -> list[str]:
    """The keys that were given: as they are, several with a newline between, or in files."""
    found: list[str] = []
    for text in given:
        if "+" not in text:
            # A key has a plus sign, so this names a file.
            path = Path(text)
            if not path.is_file():
                raise Unusable(f"{quoted(text)}: there is no such file, and it is no key, which is NAME+ID+KEY")
            text = path.read_text(encoding="utf-8")[:_KEYS_CHARS_MAX]
        found += [line.strip() for line in text.splitlines() if line.strip()]
    return found


def _read_entry(path: Path) -> bytes:
    with path.open("rb") as file:
        raw = file.read(_ENTRY_BYTES_MAX + 1)
    if len(raw) > _ENTRY_BYTES_MAX:
        raise Unusable(f"{path}: longer than an entry can be")
    return raw


def _print(report: Report, *, as_json: bool) -> None:
    if as_json:
        lines = [{"verdict": line.verdict.name, "text": line.text} for line in report.lines]
        print(json.dumps({"proven": report.proven, "lines": lines}))
        return
    # A file holds any text, and a terminal may not be able to show it.
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    for line in report.lines:
        print(line)
    if report.proven:
        print("PROVEN, as far as the lines above say so")
    else:
        print(f"NOT PROVEN: {report.failure or 'nothing is shown'}")


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int], None] | None]:
    """Shows how far a long log is, on a terminal only."""
    if not sys.stderr.isatty():
        yield None
        return
    with Progress("entries") as shown:
        yield lambda done: shown.show(done, "verified")


def _is_url(source: str) -> bool:
    return "://" in source


class _NoRedirect(HTTPRedirectHandler):
    """The key in the request is for the host that was named, and for no other."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        raise Unusable(f"{req.full_url}: redirects elsewhere, which is not followed")


def _fetch_from(prefix: str) -> Callable[[str], bytes]:
    """Gets what is served below a prefix. Raises Unusable for another scheme than http and https."""
    try:
        parts = urlsplit(prefix)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and not parts.fragment
    except ValueError:
        valid = False
    if not valid:
        raise Unusable(f"{prefix}: a log is served at an http or https URL, without query or fragment")
    key = os.environ.get("CONSENTRY_KEY")
    headers = {} if not key else {"Authorization": f"Bearer {key}"}
    opener = build_opener(_NoRedirect)
    return lambda path: _fetched(opener, Request(f"{prefix.rstrip('/')}/{path}", headers=headers))  # noqa: S310 - see above


def _fetched(opener: OpenerDirector, request: Request) -> bytes:
    url = request.full_url
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as response:
            raw: bytes = response.read(_RESPONSE_BYTES_MAX + 1)
    except (URLError, HTTPException, OSError, ValueError) as error:
        raise Unusable(f"{url}: cannot be read: {error}") from None
    if len(raw) > _RESPONSE_BYTES_MAX:
        raise Unusable(f"{url}: longer than anything that a log serves")
    return raw


def _say(sentence: str) -> int:
    print(f"consentry: {sentence}", file=sys.stderr)
    return UNUSABLE
