"""`consentry replay`: the state as it was, rebuilt from the log's entries alone, as a table or as JSON lines."""

import argparse
import json
import sys
from datetime import datetime

from cli.options import Subparsers, add_settings, add_tenant, with_tenant
from cli.progress import Progress
from domain.refusals import Refusal
from domain.time import format_instant, parse_instant
from ledger.assembly import Tenant
from ledger.replaying import Replayed, ReplayedConsent, replay

_COLUMNS = (
    "contact point",
    "channel",
    "purpose",
    "topic",
    "unit",
    "value",
    "effective at",
    "recorded at",
    "position",
    "",
)


def add(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser("replay", help="the state as it was, rebuilt from the log's entries alone")
    command.add_argument(
        "--until", metavar="POSITION-or-TIME", help="the last event, or the last instant, to take account of"
    )
    command.add_argument("--as-of", metavar="TIME", help="what was true then; by default the time of --until, or now")
    command.add_argument("--format", choices=["table", "ndjson"], default="table")
    add_tenant(command)
    add_settings(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    position, until = _until(options.until)
    as_of = None if options.as_of is None else parse_instant(options.as_of, field="--as-of")

    async def work(tenant: Tenant) -> int:
        with Progress("entries") as progress:
            try:
                state = await replay(
                    tenant,
                    until_position=position,
                    until=until,
                    as_of=as_of,
                    progress=lambda done: progress.show(done, "re-hashed"),
                )
            except Refusal as refusal:
                raise Refusal(refusal.code, f"--until {options.until}: {refusal.message}") from None
        if options.format == "ndjson":
            for row in state.rows:
                print(json.dumps(_object(row)))
        else:
            _print_table(state)
        print(
            f"{state.entries} entries, re-hashed to the root {state.root.hex()}, which is the log's at that size;"
            f" as of {format_instant(state.as_of)}",
            file=sys.stderr,
        )
        return 0

    return with_tenant(options, work)


def _until(text: str | None) -> tuple[int | None, datetime | None]:
    if text is None:
        return None, None
    if text.isascii() and text.isdigit():
        return int(text), None
    return None, parse_instant(text, field="--until")


def _object(row: ReplayedConsent) -> dict[str, object]:
    record = row.record
    shown = {
        "contactPoint": str(row.contact_point),
        "channel": row.channel,
        "purpose": record.purpose,
        "topic": record.topic,
        "unit": record.unit,
        "value": row.value,
        "effectiveAt": format_instant(record.effective_at),
        "recordedAt": format_instant(record.recorded_at),
        "validUntil": None if record.valid_until is None else format_instant(record.valid_until),
        "position": record.position,
        "erased": row.erased or None,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _print_table(state: Replayed) -> None:
    rows = [
        (
            str(row.contact_point),
            str(row.channel),
            row.record.purpose,
            row.record.topic or "",
            row.record.unit,
            str(row.value),
            format_instant(row.record.effective_at),
            format_instant(row.record.recorded_at),
            str(row.record.position),
            "erased" if row.erased else "",
        )
        for row in state.rows
    ]
    widths = [max(len(cell) for cell in column) for column in zip(_COLUMNS, *rows, strict=True)]
    for row in (_COLUMNS, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
