"""`consentry import`: a catalogue, or consents; refused rows are no failure of the command, unless it is asked for."""

import argparse
import contextlib
import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from cli.options import Subparsers, add_settings, add_tenant, with_tenant
from cli.progress import Progress
from domain.addresses import Channel
from domain.consent import ConsentValue
from domain.json_members import each_once
from domain.local_time import DATE_FORMATS
from domain.refusals import Refusal, RefusalCode
from ledger.assembly import Tenant
from ledger.catalogue import import_catalogue
from ledger.import_formats import FORMATS, Target
from ledger.import_rows import FileUnusable, Outcome, Report, Totals, of_catalogue
from ledger.importing import IMPORTER, import_consents

_CATALOGUE = "catalogue"
_CATALOGUE_BYTES_MAX = 20_000_000
_REASONS_MAX = 1_000
_REFUSED = 3
# What says how rows are read, and what becomes of them: a catalogue has none, and is taken or refused as a whole.
_OF_ROWS = ("report", "profile", "purpose", "topic", "value", "channel", "time_zone", "date_format", "encoding")


def add(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser("import", help="import a catalogue, or consents")
    command.add_argument("file", metavar="FILE", type=Path)
    command.add_argument("--format", required=True, choices=[_CATALOGUE, *FORMATS])
    command.add_argument("--dry-run", action="store_true", help="record nothing, say what would become of each row")
    command.add_argument(
        "--report",
        metavar="FILE",
        type=Path,
        help="a CSV file with each row that was not recorded, or not all of it, and why",
    )
    command.add_argument(
        "--fail-on-refused",
        action="store_true",
        help=f"exit code {_REFUSED} if a row was refused, or a part of it; what is not refused is recorded all the same",
    )
    command.add_argument(
        "--profile", metavar="KEY", help="whose purposes a load sets or a list goes into (default), or consents name"
    )
    command.add_argument(
        "--purpose", metavar="P", help="the purpose of a list; of a load, one instead of all active ones"
    )
    command.add_argument("--topic", metavar="T", help="the topic of a list")
    command.add_argument("--value", type=str.upper, choices=list(ConsentValue), help="what a list's members get")
    command.add_argument("--channel", type=str.upper, choices=list(Channel), help="the channel of a list (EMAIL)")
    command.add_argument(
        "--time-zone", metavar="ZONE", help="the zone of the clock that shows times without an offset, as Europe/Berlin"
    )
    command.add_argument(
        "--date-format",
        metavar="FORMAT",
        type=str.lower,
        choices=DATE_FORMATS,
        help="the order of the parts of such a date: mdy, dmy or ymd; with 12 or 24 behind it, the hours of its time",
    )
    command.add_argument(
        "--encoding",
        metavar="NAME",
        help="of a CSV file, as windows-1250 or shift_jis; where it is not said, and is no Unicode, addresses with letters"
        " beyond ASCII are refused",
    )
    command.add_argument(
        "--allow-looser",
        action="store_true",
        help="let a catalogue make laxer what is set now; without it that is refused",
    )
    add_tenant(command)
    add_settings(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    others = _OF_ROWS if options.format == _CATALOGUE else ("allow_looser",)
    for name in others:
        if getattr(options, name) not in (None, False):
            option = f"--{name.replace('_', '-')}"
            raise Refusal(RefusalCode.INVALID, f"{option} does not go with --format {options.format}", ())
    work = _import_catalogue if options.format == _CATALOGUE else _import_consents
    with options.file.open("rb"):
        pass  # said before a database is started for nothing
    return with_tenant(options, lambda tenant: work(tenant, options))


async def _import_catalogue(tenant: Tenant, options: argparse.Namespace) -> int:
    if options.file.stat().st_size > _CATALOGUE_BYTES_MAX:
        raise FileUnusable(f"a catalogue file has at most {_CATALOGUE_BYTES_MAX} bytes")
    try:
        document: object = json.loads(options.file.read_bytes(), object_pairs_hook=each_once)
    except (ValueError, RecursionError) as error:
        raise FileUnusable("the catalogue file is not JSON in which each member stands once") from error
    done = await import_catalogue(
        tenant, IMPORTER, document, dry_run=options.dry_run, allow_looser=options.allow_looser
    )
    for setting in done.looser:
        print(f"laxer: {setting}", file=sys.stderr)
    for setting in done.left:
        print(f"left as it is, without overwrite (what is there -> the file's): {setting}", file=sys.stderr)
    print(json.dumps(of_catalogue(done.items, done.changed, done.events).to_json()))
    return 0


async def _import_consents(tenant: Tenant, options: argparse.Namespace) -> int:
    with options.file.open("rb") as file, _report(options.report) as report, Progress("rows") as progress:
        reasons = _Reasons(report)
        totals = await import_consents(
            tenant,
            file,
            format=options.format,
            report=reasons,
            progress=lambda totals: progress.show(
                totals.rows, f"{totals.recorded} recorded, {totals.unchanged} unchanged, {totals.refused} refused"
            ),
            target=Target(
                profile=options.profile,
                purpose=options.purpose,
                topic=options.topic,
                value=options.value and ConsentValue(options.value),
                channel=options.channel and Channel(options.channel),
                time_zone=options.time_zone,
                date_format=options.date_format,
                encoding=options.encoding,
            ),
            dry_run=options.dry_run,
        )
    print(json.dumps(totals.to_json()))
    if not (totals.refused or totals.partly_refused):
        return 0
    _say(totals, reasons, reported=options.report is not None)
    return _REFUSED if options.fail_on_refused else 0


class _Reasons:
    """Why rows were refused, counted; writes to a report besides."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._counted: Counter[tuple[str, str]] = Counter()

    def __call__(self, line: int, outcome: Outcome, code: str, message: str) -> None:
        """Take account of a row."""
        self._report(line, outcome, code, message)
        reason = (code, message)
        if outcome is Outcome.REFUSED and (reason in self._counted or len(self._counted) < _REASONS_MAX):
            self._counted[reason] += 1

    def first(self) -> tuple[str, str, int]:
        """(code, message, how many rows) of what was met most often."""
        [((code, message), count)] = self._counted.most_common(1)
        return code, message, count


def _say(totals: Totals, reasons: _Reasons, *, reported: bool) -> None:
    """What is to be done about what was refused."""
    if totals.refused:
        code, message, count = reasons.first()
        print(f"refused {totals.refused} of {totals.rows} rows; most often, {count} times: {message}", file=sys.stderr)
        if code == RefusalCode.NOT_FOUND:
            print("purposes and topics come first, with --format catalogue", file=sys.stderr)
    if totals.partly_refused:
        print(f"of {totals.partly_refused} rows a part was refused, and the rest was not", file=sys.stderr)
    if totals.refused_opt_outs:
        print(f"{totals.refused_opt_outs} of these rows say Opted Out, or may: mend these first", file=sys.stderr)
    if not reported:
        print("--report FILE names each row, and why", file=sys.stderr)


@contextlib.contextmanager
def _report(path: Path | None) -> Iterator[Report]:
    if path is None:
        yield lambda line, outcome, code, message: None
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "outcome", "code", "message"])

        def write(line: int, outcome: Outcome, code: str, message: str) -> None:
            writer.writerow([line, outcome, code, message])

        yield write
