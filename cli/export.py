"""`consentry export`: consents and selections for elsewhere, which hold addresses; the log with its proofs, which holds none;
and the record of one contact point in the forms of standards."""

import argparse
import json
import sys
import uuid
from pathlib import Path
from typing import TextIO

from cli.options import Subparsers, add_settings, add_tenant, with_tenant
from cli.output import output_file
from domain.addresses import Channel
from domain.catalogue import DEFAULT_PROFILE
from domain.consent import ConsentValue
from domain.decision import Contactability
from domain.refusals import Refusal, RefusalCode
from ledger import csv_quotes, exporting
from ledger.assembly import Tenant
from ledger.log_export import log_lines
from ledger.records.facts import facts_of
from ledger.records.iso_27560 import iso_27560
from ledger.records.kantara import kantara
from ledger.selection import Selection


def add(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "export",
        help="export consents, addresses included; the catalogue or the log with its proofs, which name nobody; or the record of"
        " one --address",
    )
    command.add_argument("--format", required=True, choices=[*_FORMATS, _SELECTION, *_RECORDS])
    command.add_argument("--address", metavar="ADDRESS", help="of the contact point, for iso-27560 and kantara")
    command.add_argument("--channel", default="EMAIL", type=str.upper, choices=[str(channel) for channel in Channel])
    command.add_argument(
        "--profile",
        metavar="P",
        help="whose controller a record names where several share a purpose (else what they say alike), or that selects contact"
        " points (else default)",
    )
    command.add_argument("--purpose", metavar="P", help="that selects contact points")
    command.add_argument("--topic", metavar="T", help="a topic of it")
    command.add_argument(
        "--contactability",
        type=str.upper,
        choices=[str(one) for one in Contactability],
        help="what one will do, after enforcement",
    )
    command.add_argument(
        "--value", type=str.upper, choices=[str(one) for one in ConsentValue], help="what the record says"
    )
    command.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help="written whole or not at all, readable by you alone"
    )
    add_tenant(command)
    add_settings(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    for option, given, formats in (
        ("--address", options.address, (*_RECORDS,)),
        ("--purpose", options.purpose, (_SELECTION,)),
    ):
        if given is None and options.format in formats:
            raise Refusal(RefusalCode.INVALID, f"--format {options.format} needs {option}", ())
        if given is not None and options.format not in formats:
            raise Refusal(RefusalCode.INVALID, f"{option} goes with --format {' and '.join(formats)} only", ())
    if options.purpose is not None:
        return with_tenant(options, lambda tenant: _contact_points(tenant, options))
    if options.address is not None:
        return with_tenant(options, lambda tenant: _record(tenant, options))

    async def work(tenant: Tenant) -> int:
        left = exporting.Left()
        with output_file(options.output) as output:
            await _FORMATS[options.format](tenant, output, left)
        _say_what_is_left_out(left)
        return 0

    return with_tenant(options, work)


async def _records(tenant: Tenant, output: TextIO, left: exporting.Left) -> None:
    writer = csv_quotes.writer(output)
    writer.writerow(exporting.COLUMNS)
    async for row in exporting.contact_point_consents(tenant, left):
        writer.writerow(row)


async def _ndjson(tenant: Tenant, output: TextIO, left: exporting.Left) -> None:
    async for line in exporting.ndjson(tenant, left):
        output.write(line + "\n")


async def _log(tenant: Tenant, output: TextIO, left: exporting.Left) -> None:
    async for line in log_lines(tenant):
        output.write(line + "\n")


async def _record(tenant: Tenant, options: argparse.Namespace) -> int:
    facts = await facts_of(tenant, Channel(options.channel), options.address, profile=options.profile)
    record = _RECORDS[options.format](facts, tenant.ledger.clock())
    with output_file(options.output) as output:
        output.write(json.dumps(record, ensure_ascii=False, indent=1) + "\n")
    return 0


async def _contact_points(tenant: Tenant, options: argparse.Namespace) -> int:
    selection = Selection(
        channel=Channel(options.channel),
        profile=DEFAULT_PROFILE if options.profile is None else options.profile,
        purpose=options.purpose,
        topic=options.topic,
        contactability=None if options.contactability is None else Contactability(options.contactability),
        value=None if options.value is None else ConsentValue(options.value),
    )
    with output_file(options.output) as output:
        writer = csv_quotes.writer(output)
        writer.writerow(exporting.CONTACT_POINT_COLUMNS)
        async for row in exporting.contact_points(tenant, selection):
            writer.writerow(row)
    return 0


_SELECTION = "contact-points"
_RECORDS = {
    "iso-27560": lambda facts, now: iso_27560(facts, receipt_id=uuid.uuid4(), now=now),
    "kantara": lambda facts, now: kantara(facts, now=now),
}


async def _catalogue(tenant: Tenant, output: TextIO, left: exporting.Left) -> None:
    output.write(json.dumps(await exporting.catalogue(tenant), ensure_ascii=False, indent=1) + "\n")


_FORMATS = {"catalogue": _catalogue, "contact-point-consents": _records, "ndjson": _ndjson, "log": _log}


def _say_what_is_left_out(left: exporting.Left) -> None:
    for count, said in (
        (left.erased, "records of erased contact points, which have no address any more, are left out"),
        (left.without_code, "records of channels that the table has no code for are left out"),
        (
            left.suppressed,
            "suppressed purposes and topics of addresses went out as Opted Out: a file knows no suppression",
        ),
        (left.with_expiry, "opt-ins that expire went out as Not Set: the table has no column for an expiry"),
        (
            left.needing_evidence,
            "opt-ins go out without evidence that their purposes require: where it is required too, they are refused",
        ),
        (
            left.without_guid,
            "records name a purpose or topic that has no GUID by its key: Dynamics cannot take these, another tenant can",
        ),
        (
            left.ending_elsewhere,
            "opt-ins go out without the end that their purposes give one by now: where they do that too, they end",
        ),
        (
            left.not_enforced,
            "of the suppressed ones are NOT carried: their purposes have enforcement DISABLED, which an Opted Out does not stop."
            " These addresses will be sendable elsewhere",
        ),
        (
            left.erased_suppressions,
            "suppressions of erased addresses are NOT carried, since nobody can name these: they will be sendable elsewhere",
        ),
        (
            left.by_blind_index,
            "suppressions of erased addresses go out by blind index, since nobody can name these: only a tenant made with"
            " --blind-index-of or --blind-index-key can import them. Everywhere else they are refused, and sendable",
        ),
    ):
        if count:
            print(f"{count} {said}", file=sys.stderr)
