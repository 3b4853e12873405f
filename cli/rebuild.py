"""`consentry rebuild`: a projection anew from the log, beside the table that is read, compared with it before any row is swapped.

0: as rebuilt, or swapped; 1: it differs and nothing was swapped; 2: unusable input.
"""

import argparse

from cli.options import Subparsers, add_settings, with_ledger
from cli.progress import Progress
from cli.refusals import FAILED, CommandFailed
from domain.upcasting import UnknownEventVersion
from ledger.assembly import Ledger
from ledger.rebuilding import RebuiltProjection, projections_named, rebuild_projections
from ledger.tenants import list_tenants
from projections.lease import LeaseLost
from projections.rebuild import RebuildRunning


def add(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "rebuild", help="a projection anew from the log, while writes and reads go on; compared before it is swapped in"
    )
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "projection", nargs="?", metavar="PROJECTION", help="its name, as `consentry projections` lists it"
    )
    which.add_argument("--all", action="store_true", help="every projection")
    command.add_argument("--tenant", metavar="KEY", help="only this tenant's; by default every tenant's")
    command.add_argument(
        "--accept",
        action="store_true",
        help="where the rebuilt rows differ, swap them in; by default that is only said",
    )
    command.add_argument(
        "--restart", action="store_true", help="from the start of the log, not from where a rebuild before got to"
    )
    add_settings(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    names = projections_named(options.projection)

    async def work(ledger: Ledger) -> int:
        keys = [row.key for row in await list_tenants(ledger)] if options.tenant is None else [options.tenant]
        tenants = [await ledger.tenant(key) for key in keys]
        outcome = 0
        with Progress("entries") as progress:
            try:
                async for done in rebuild_projections(
                    ledger,
                    tenants,
                    names,
                    accept=options.accept,
                    restart=options.restart,
                    progress=lambda what, number, of: progress.show(number, f"{what}, of {of}"),
                ):
                    outcome = max(outcome, _say(done))
            except (RebuildRunning, LeaseLost, UnknownEventVersion) as error:
                raise CommandFailed(f"{error}; nothing was swapped, and the same command goes on from here") from None
        return outcome

    return with_ledger(options, work)


def _say(done: RebuiltProjection) -> int:
    """Say what came of it; the exit code."""
    rebuilt, compared = done.rebuilt, done.rebuilt.compared
    resumed = "" if rebuilt.resumed_after < 0 else f" (resumed after {rebuilt.resumed_after})"
    print(f"{done.projection} of {done.tenant}: rebuilt up to position {compared.position}{resumed}", end=": ")
    if not compared.differing:
        print(f"{compared.rows} rows, all as they were")
        return 0
    print(
        f"{compared.rows} rows where the log leads to {compared.rebuilt_rows}; {compared.differing} differ,"
        f" the first is {compared.first}; {'swapped' if rebuilt.swapped else 'NOT swapped: --accept does'}"
    )
    return 0 if rebuilt.swapped else FAILED
