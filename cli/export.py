"""`consentry export`: consents for elsewhere, which hold addresses; and the log with its proofs, which holds none."""

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import TextIO

from cli.options import Subparsers, add_settings, add_tenant, with_tenant
from cli.output import output_file
from ledger import exporting
from ledger.assembly import Tenant
from ledger.log_export import log_lines


def add(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "export",
        help="export consents, addresses included; or the catalogue, or the log with its proofs, which name nobody",
    )
    command.add_argument("--format", required=True, choices=list(_FORMATS))
    command.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help="written whole or not at all, readable by you alone"
    )
    add_tenant(command)
    add_settings(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""

    async def work(tenant: Tenant) -> int:
        left = exporting.Left()
        with output_file(options.output) as output:
            await _FORMATS[options.format](tenant, output, left)
        _say_what_is_left_out(left)
        return 0

    return with_tenant(options, work)


async def _records(tenant: Tenant, output: TextIO, left: exporting.Left) -> None:
    writer = csv.writer(output)
    writer.writerow(exporting.COLUMNS)
    async for row in exporting.contact_point_consents(tenant, left):
        writer.writerow(row)


async def _ndjson(tenant: Tenant, output: TextIO, left: exporting.Left) -> None:
    async for line in exporting.ndjson(tenant, left):
        output.write(line + "\n")


async def _log(tenant: Tenant, output: TextIO, left: exporting.Left) -> None:
    async for line in log_lines(tenant):
        output.write(line + "\n")


async def _catalogue(tenant: Tenant, output: TextIO, left: exporting.Left) -> None:
    output.write(json.dumps(await exporting.catalogue(tenant), ensure_ascii=False, indent=1) + "\n")


_FORMATS = {"catalogue": _catalogue, "contact-point-consents": _records, "ndjson": _ndjson, "log": _log}


def _say_what_is_left_out(left: exporting.Left) -> None:
    if left.erased:
        print(f"left out {left.erased} of erased contact points, which have no address any more", file=sys.stderr)
    if left.without_code:
        print(f"left out {left.without_code} records of channels that the table has no code for", file=sys.stderr)
    if left.suppressed:
        print(
            f"{left.suppressed} records of suppressed addresses went out as Opted Out: the table knows no suppression",
            file=sys.stderr,
        )
    if left.with_expiry:
        print(
            f"{left.with_expiry} opt-ins that expire went out as Not Set: the table has no column for an expiry",
            file=sys.stderr,
        )
