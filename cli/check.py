"""`consentry check`: one decision, in words. Exit code 0: allowed; 3: not allowed; anything else is no permission either."""

import argparse

from cli.options import Subparsers, add_settings, add_tenant, with_tenant
from domain.addresses import Channel
from domain.time import format_instant, parse_instant
from ledger.answers import Answer
from ledger.assembly import Tenant
from ledger.check import Question
from ledger.check import check as ask

NOT_ALLOWED = 3


def add(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "check", help="may I write to this address, for this purpose? Exit code 0: yes, 3: no, other: not answered"
    )
    command.add_argument("address", metavar="ADDRESS")
    command.add_argument("--purpose", required=True, metavar="P", help="its key or GUID")
    command.add_argument("--topic", metavar="T", help="its key or GUID")
    command.add_argument("--profile", default="default", metavar="P", help="its key, by default `default`")
    command.add_argument("--business-unit", metavar="U", help="the unit that stands for the profile's: its key")
    command.add_argument("--channel", default="EMAIL", type=str.upper, choices=[str(channel) for channel in Channel])
    command.add_argument("--as-of", metavar="INSTANT", help="what was true then")
    command.add_argument("--known-at", metavar="INSTANT", help="what was known then")
    add_tenant(command)
    add_settings(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    question = Question(
        channel=Channel(options.channel),
        addresses=[options.address],
        profile=options.profile,
        purpose=options.purpose,
        topic=options.topic,
        business_unit=options.business_unit,
        as_of=None if options.as_of is None else parse_instant(options.as_of, field="--as-of"),
        known_at=None if options.known_at is None else parse_instant(options.known_at, field="--known-at"),
    )

    async def work(tenant: Tenant) -> int:
        [answer] = await ask(tenant, question)
        print(_words(answer))
        return 0 if answer.allowed else NOT_ALLOWED

    return with_tenant(options, work)


def _words(answer: Answer) -> str:
    lines = ["ALLOWED" if answer.allowed else "NOT ALLOWED"]
    for reason in answer.decision.reasons:
        level = reason.purpose if reason.topic is None else f"{reason.purpose} / {reason.topic}"
        recorded = "" if reason.record is None else f", event {reason.record.position}"
        lines.append(
            f"  {reason.code}: {reason.message} ({level}: {reason.value}, enforcement {reason.enforcement}{recorded})"
        )
    lines.append(f"  tracking: {'allowed' if answer.tracking_allowed else 'not allowed'}")
    lines.append(
        f"  decided at {format_instant(answer.decided_at)}, at log position {answer.position},"
        f" with the catalogue of position {answer.catalogue_position}"
    )
    return "\n".join(lines)
