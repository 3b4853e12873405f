"""`consentry evidence`: the bundle that proves, offline, what happened to one contact point. It holds the address."""

import argparse
import json
import uuid
from pathlib import Path

from cli.options import Subparsers, add_settings, add_tenant, with_tenant
from cli.output import output_file
from domain.addresses import Channel
from domain.refusals import Refusal, RefusalCode
from ledger.assembly import Tenant
from ledger.evidence import EvidenceBundle, evidence_by_address, evidence_by_id


def add(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser("evidence", help="what proves, offline, what happened to one contact point")
    command.add_argument("address", metavar="ADDRESS", nargs="?")
    command.add_argument("--id", metavar="UUID", help="the contact point's id: an erased one has no address any more")
    command.add_argument("--channel", default="EMAIL", type=str.upper, choices=[str(channel) for channel in Channel])
    command.add_argument("--purpose", metavar="P", help="open what is personal of this purpose only")
    command.add_argument("--topic", metavar="T", help="open what is personal of this topic only")
    command.add_argument("--without-openings", action="store_true", help="nothing personal, for whoever may not see it")
    command.add_argument("-o", "--output", metavar="FILE", type=Path, help="readable by you alone")
    add_tenant(command)
    add_settings(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    if (options.address is None) == (options.id is None):
        raise Refusal(RefusalCode.INVALID, "give an ADDRESS or an --id", ())

    async def work(tenant: Tenant) -> int:
        bundle = await _bundle(tenant, options)
        with output_file(options.output) as output:
            output.write(json.dumps(bundle.json, ensure_ascii=False, indent=1) + "\n")
        return 0

    return with_tenant(options, work)


async def _bundle(tenant: Tenant, options: argparse.Namespace) -> EvidenceBundle:
    with_openings = not options.without_openings
    if options.id is not None:
        try:
            contact_point = uuid.UUID(options.id)
        except ValueError:
            raise Refusal(RefusalCode.INVALID, "--id is a UUID", ()) from None
        return await evidence_by_id(tenant, contact_point, with_openings=with_openings)
    return await evidence_by_address(
        tenant,
        Channel(options.channel),
        options.address,
        purpose=options.purpose,
        topic=options.topic,
        with_openings=with_openings,
    )
