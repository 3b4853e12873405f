"""`consentry signing-keys`: the keys that a tenant's checkpoints are checked with, and a new one to sign with."""

import argparse

from cli.options import Subparsers, add_settings, add_tenant, with_tenant
from ledger.assembly import Caller, Tenant
from ledger.signing import rotate_signing_key, verifier_keys


def add(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser("signing-keys", help="list the log's verifier keys, or sign with a new key")
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, words, run in (
        ("list", "every verifier key of the log, oldest first; the last one's owner signs", _list),
        ("rotate", "sign with a new key from now on; prints its verifier key", _rotate),
    ):
        action = actions.add_parser(name, help=words)
        add_tenant(action)
        add_settings(action)
        action.set_defaults(run=run)


def _list(options: argparse.Namespace) -> int:
    async def work(tenant: Tenant) -> int:
        for key in await verifier_keys(tenant):
            print(key.text())
        return 0

    return with_tenant(options, work)


def _rotate(options: argparse.Namespace) -> int:
    async def work(tenant: Tenant) -> int:
        print((await rotate_signing_key(tenant, Caller(None, frozenset()))).text())
        return 0

    return with_tenant(options, work)
