"""`consentry subject-access`: everything that is known of one contact point, in words for the person that it belongs to."""

import argparse
from pathlib import Path

from cli.options import Subparsers, add_settings, add_tenant, with_tenant
from cli.output import output_file
from domain.addresses import Channel
from domain.refusals import Refusal, RefusalCode
from ledger.assembly import Tenant
from ledger.records.facts import facts_of
from ledger.records.subject_access import nothing_known, subject_access


def add(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser("subject-access", help="everything that is known of one address, in words")
    command.add_argument("address", metavar="ADDRESS")
    command.add_argument("--channel", default="EMAIL", type=str.upper, choices=[str(channel) for channel in Channel])
    command.add_argument("-o", "--output", metavar="FILE", type=Path, help="readable by you alone")
    add_tenant(command)
    add_settings(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""

    async def work(tenant: Tenant) -> int:
        try:
            text = await subject_access(tenant, await facts_of(tenant, Channel(options.channel), options.address))
        except Refusal as refusal:
            if refusal.code is not RefusalCode.NOT_FOUND:
                raise
            text = await nothing_known(tenant, options.address)
        with output_file(options.output) as output:
            output.write(text)
        return 0

    return with_tenant(options, work)
