"""`consentry keys`: make, list and revoke API keys."""

import argparse

from cli.options import Subparsers, add_settings, add_tenant, with_tenant
from ledger.api_keys import SCOPES, create_key, list_keys, revoke_key
from ledger.assembly import Tenant


def add(commands: Subparsers) -> None:
    """Declare the commands."""
    group = commands.add_parser("keys", help="make, list and revoke API keys").add_subparsers(
        required=True, metavar="WHAT"
    )
    create = group.add_parser("create", help="make a key; its secret is printed alone, and only now")
    create.add_argument("--application", required=True, metavar="APP", help="the application's key; made if missing")
    create.add_argument(
        "--scope", action="append", default=[], metavar="S", help=f"what it may do, repeatable: {', '.join(SCOPES)}"
    )
    create.add_argument(
        "--unit", metavar="U", help="bind it to this business unit: it sees that and those below, and nothing else"
    )
    listing = group.add_parser("list", help="list the keys, without their secrets")
    revoke = group.add_parser("revoke", help="end a key, at once and in every process")
    revoke.add_argument("key", metavar="KEY_ID", help="as listed")
    for command, run in ((create, _create), (listing, _list), (revoke, _revoke)):
        add_tenant(command)
        add_settings(command)
        command.set_defaults(run=run)


def _create(options: argparse.Namespace) -> int:
    async def work(tenant: Tenant) -> int:
        print(await create_key(tenant, options.application, options.scope or ["check"], unit=options.unit))
        return 0

    return with_tenant(options, work)


def _list(options: argparse.Namespace) -> int:
    async def work(tenant: Tenant) -> int:
        for key in await list_keys(tenant):
            state = "valid" if key.revoked_at is None else f"revoked {key.revoked_at:%Y-%m-%d %H:%M:%SZ}"
            unit = "" if key.unit is None else f"\tin unit {key.unit}"
            scopes = " ".join(key.scopes)
            print(f"{key.key_id}\t{key.application}\t{scopes}\tmade {key.created_at:%Y-%m-%d}\t{state}{unit}")
        return 0

    return with_tenant(options, work)


def _revoke(options: argparse.Namespace) -> int:
    async def work(tenant: Tenant) -> int:
        await revoke_key(tenant, options.key)
        print(f"revoked {options.key}")
        return 0

    return with_tenant(options, work)
