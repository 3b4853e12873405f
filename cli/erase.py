"""`consentry erase`: destroy everything personal of a contact point; its history stays, and still verifies."""

import argparse

from cli.options import Subparsers, add_settings, add_tenant, with_tenant
from domain.addresses import Channel
from domain.time import format_instant
from ledger.assembly import Caller, Tenant
from ledger.erasure import erase_contact_point


def add(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser("erase", help="destroy everything personal of a contact point, for good")
    command.add_argument("address", metavar="ADDRESS")
    command.add_argument("--channel", default="EMAIL", type=str.upper, choices=[str(channel) for channel in Channel])
    command.add_argument(
        "--reason", required=True, metavar="WHY", help="stays in the log for ever: it must name nobody"
    )
    command.add_argument(
        "--without-suppression", action="store_true", help="do not keep blocking the address for what is commercial"
    )
    add_tenant(command)
    add_settings(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""

    async def work(tenant: Tenant) -> int:
        erased = await erase_contact_point(
            tenant,
            Caller(None, frozenset()),
            channel=Channel(options.channel),
            address=options.address,
            reason=options.reason,
            keep_suppression=not options.without_suppression,
        )
        certificate = erased.certificate.entry
        events, them = ("1 event", "it") if erased.events == 1 else (f"{erased.events} events", "them")
        print(
            f"erased: {events} of contact point {certificate.stream} lost what was personal of {them};"
            f" certificate: event {certificate.position}, {format_instant(certificate.recorded_at)}"
        )
        return 0

    return with_tenant(options, work)
