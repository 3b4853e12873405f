"""`consentry export`: consents for elsewhere. The output holds addresses."""

import argparse
import contextlib
import csv
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from cli.options import Subparsers, add_settings, add_tenant, with_tenant
from ledger import exporting
from ledger.assembly import Tenant


def add(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser("export", help="export consents, addresses included")
    command.add_argument("--format", required=True, choices=["contact-point-consents", "ndjson"])
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
        with _output(options.output) as output:
            await (_records if options.format == "contact-point-consents" else _ndjson)(tenant, output, left)
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


def _say_what_is_left_out(left: exporting.Left) -> None:
    if left.erased:
        print(f"left out {left.erased} of erased contact points, which have no address any more", file=sys.stderr)
    if left.without_code:
        print(f"left out {left.without_code} records of channels that the table has no code for", file=sys.stderr)
    if left.with_expiry:
        print(
            f"{left.with_expiry} opt-ins that expire went out as Not Set: the table has no column for an expiry",
            file=sys.stderr,
        )


@contextlib.contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    # Under another name until it is whole: nobody takes half an export for all of it.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
