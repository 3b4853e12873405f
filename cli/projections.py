"""`consentry projections`: how far each projection is, what it left out, and what stops it."""

import argparse

from cli.options import Subparsers, add_settings, with_ledger
from ledger.assembly import Ledger
from ledger.projection_states import parked_events, projection_states

_COLUMNS = ("projection", "tenant", "kept", "position", "lag", "parked", "")


def add(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "projections", help="how far each projection is in each log, and the events that one left out"
    )
    command.add_argument("--tenant", metavar="KEY", help="only this tenant's; by default every tenant's")
    add_settings(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""

    async def work(ledger: Ledger) -> int:
        if options.tenant is not None:
            await ledger.tenant(options.tenant)
        states = await projection_states(ledger, options.tenant)
        parked = await parked_events(ledger, options.tenant)
        rows = [
            (
                state.projection,
                state.tenant,
                "with each append" if state.inline else "by a follower",
                str(state.position),
                str(state.lag),
                str(state.parked),
                "" if state.stopped is None else f"stopped: {state.stopped}",
            )
            for state in states
        ]
        widths = [max(len(cell) for cell in column) for column in zip(_COLUMNS, *rows, strict=True)]
        for row in (_COLUMNS, *rows):
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        for event in parked:
            print(f"parked: {event.projection} of {event.tenant} left out position {event.position}: {event.reason}")
        return 0

    return with_ledger(options, work)
