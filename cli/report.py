"""`consentry report propagation`: of each opt-out, when each application knew it, and by when it had to. Names nobody."""

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from cli.options import Subparsers, add_settings, add_tenant, with_tenant
from cli.output import output_file
from domain.time import format_instant, parse_instant
from ledger.assembly import Tenant
from ledger.propagation import KnownBy, Propagation, PropagationFilter, every, not_following
from ledger.propagation_summary import PropagationSummary

_COLUMNS = (
    "position",
    "event",
    "channel",
    "source",
    "recorded at",
    "starts at",
    "first limit",
    "due at",
    "application",
    "expected",
    "acknowledged at",
    "by",
    "seconds",
    "state",
)
# Fixed, since rows are shown as they come: what is longer pushes its row to the right.
_WIDTHS = (10, 36, 7, 21, 27, 27, 11, 27, 16, 8, 27, 7, 12, 7)


def add(commands: Subparsers) -> None:
    """Declare the command."""
    group = commands.add_parser("report", help="reports on the log").add_subparsers(required=True, metavar="WHAT")
    command = group.add_parser(
        "propagation", help="of each opt-out, when each application knew it, and by when it had to; last a summary"
    )
    command.add_argument("--since", metavar="TIME", help="recorded from then on")
    command.add_argument("--until", metavar="TIME", help="recorded up to then")
    command.add_argument(
        "--overdue", action="store_true", help="only what an application should know by now, and does not"
    )
    command.add_argument("--not-acknowledged-by", metavar="APP", help="only what this application does not know")
    command.add_argument("--format", choices=list(_WRITERS), default="table")
    command.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help="by default standard output; FILE appears whole or not at all"
    )
    add_tenant(command)
    add_settings(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    wanted = PropagationFilter(
        overdue=options.overdue,
        not_acknowledged_by=options.not_acknowledged_by,
        recorded_from=_instant(options.since, "--since"),
        recorded_to=_instant(options.until, "--until"),
    )

    async def work(tenant: Tenant) -> int:
        summary = PropagationSummary()
        found = every(tenant, wanted)
        # What is refused is refused before the head of a table is written.
        next_one = await anext(found, None)
        with output_file(options.output) as output:
            write = _WRITERS[options.format](output)
            while next_one is not None:
                one, passes = next_one
                summary.add(one, passes=passes)
                if passes:
                    write(one)
                next_one = await anext(found, None)
            said = json.dumps({**summary.to_json(), "notFollowing": await not_following(tenant)})
            # A line that is no row would make the file no CSV.
            print(said, file=sys.stderr if options.format == "csv" else output)
        return 0

    return with_tenant(options, work)


def _instant(text: str | None, option: str) -> datetime | None:
    return None if text is None else parse_instant(text, field=option)


def _table(output: TextIO) -> Callable[[Propagation], None]:
    def write_row(cells: tuple[str, ...]) -> None:
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()
        print(line, file=output)

    write_row(_COLUMNS)

    def write(one: Propagation) -> None:
        for row in _rows(one):
            write_row(row)

    return write


def _csv(output: TextIO) -> Callable[[Propagation], None]:
    writer = csv.writer(output)
    writer.writerow(_COLUMNS)

    def write(one: Propagation) -> None:
        writer.writerows(_rows(one))

    return write


def _rows(one: Propagation) -> Iterator[tuple[str, ...]]:
    """A row for each application, by the limit that is due first; one without where there is none."""
    entry = one.event.entry
    first = min(one.deadlines, key=lambda deadline: deadline.due_at)
    about = (
        str(entry.position),
        str(entry.event_id),
        str(one.channel),
        str(entry.data["source"]),
        format_instant(entry.recorded_at),
        format_instant(one.starts_at),
        str(first.limit.key),
        format_instant(first.due_at),
    )
    for known in one.applications:
        told = known.acknowledgement
        yield (
            *about,
            known.application,
            "yes" if known.expected else "no",
            "" if told is None else format_instant(told.at),
            "" if told is None else str(told.by),
            "" if known.seconds is None else f"{known.seconds:.3f}",
            _state(known),
        )
    if not one.applications:
        yield (*about, "", "", "", "", "", "")


def _state(known: KnownBy) -> str:
    if known.acknowledgement is None:
        return "overdue" if known.overdue else "waiting"
    return "late" if False in known.in_time else "in time"


def _json(output: TextIO) -> Callable[[Propagation], None]:
    def write(one: Propagation) -> None:
        print(json.dumps(_object(one)), file=output)

    return write


def _object(one: Propagation) -> dict[str, Any]:
    entry = one.event.entry
    return {
        "position": entry.position,
        "event": str(entry.event_id),
        "contactPoint": str(entry.stream),
        "channel": str(one.channel),
        "purpose": entry.data["purpose"],
        "source": entry.data["source"],
        "recordedAt": format_instant(entry.recorded_at),
        "startsAt": format_instant(one.starts_at),
        "deadlines": [
            {
                "limit": str(deadline.limit.key),
                "source": deadline.limit.source,
                "dueAt": format_instant(deadline.due_at),
            }
            for deadline in one.deadlines
        ],
        "applications": [
            {
                "application": known.application,
                "expected": known.expected,
                "acknowledgedAt": None if known.acknowledgement is None else format_instant(known.acknowledgement.at),
                "by": None if known.acknowledgement is None else str(known.acknowledgement.by),
                "seconds": known.seconds,
                "inTime": {
                    str(deadline.limit.key): in_time
                    for deadline, in_time in zip(one.deadlines, known.in_time, strict=True)
                },
                "overdue": known.overdue,
            }
            for known in one.applications
        ],
        "overdue": one.overdue,
    }


_WRITERS = {"table": _table, "csv": _csv, "json": _json}
