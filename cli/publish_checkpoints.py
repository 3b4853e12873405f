"""`consentry publish-checkpoints`: sign what is new and send it to files, webhooks and witnesses, once and now."""

import argparse
import logging

from cli.options import Subparsers, add_settings, settings_of, with_ledger
from ledger.assembly import Ledger
from web.settings import SETTINGS, SettingInvalid

_TARGETS = next(setting for setting in SETTINGS if setting.name == "checkpoint_targets")


def add(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser("publish-checkpoints", help="send the present checkpoints to their targets, now")
    command.add_argument(
        _TARGETS.option, dest=_TARGETS.name, metavar="FILE", help=f"{_TARGETS.help} ({_TARGETS.variable})"
    )
    command.add_argument("--tenant", metavar="KEY", help="the tenant's key; by default every tenant")
    add_settings(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command. Raises SettingInvalid where no targets are named."""
    # The HTTP client takes a while to load, and no other command needs it.
    from ledger.publishing import Publisher

    targets = settings_of(options).checkpoint_targets
    if targets is None:
        raise SettingInvalid(f"{_TARGETS.option}: a file is needed, or {_TARGETS.variable}")
    # The outcomes printed say everything that the log would.
    logging.getLogger("consentry").addHandler(logging.NullHandler())

    async def work(ledger: Ledger) -> int:
        tenant = None if options.tenant is None else await ledger.tenant(options.tenant)
        async with Publisher(ledger, targets) as publisher:
            outcomes = await publisher.publish_once(tenant)
        for outcome in outcomes:
            print(f"{outcome.tenant}: {outcome.target}: {'' if outcome.succeeded else 'FAILED: '}{outcome.said}")
        return 0 if all(outcome.succeeded for outcome in outcomes) else 1

    return with_ledger(options, work)
