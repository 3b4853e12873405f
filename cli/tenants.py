"""`consentry tenants`: make and list tenants."""

import argparse

from cli.options import Subparsers, add_settings, with_ledger
from ledger.assembly import Ledger
from ledger.tenants import create_tenant, list_tenants


def add(commands: Subparsers) -> None:
    """Declare the commands."""
    group = commands.add_parser("tenants", help="make and list tenants").add_subparsers(required=True, metavar="WHAT")
    create = group.add_parser("create", help="make a tenant with the default profile")
    create.add_argument("key", metavar="KEY", help="lower-case letters, digits, - and _; permanent")
    create.add_argument("--name", required=True, help="how people call it; can be changed")
    add_settings(create)
    create.set_defaults(run=_create)
    listing = group.add_parser("list", help="list the tenants")
    add_settings(listing)
    listing.set_defaults(run=_list)


def _create(options: argparse.Namespace) -> int:
    async def work(ledger: Ledger) -> int:
        tenant = await create_tenant(ledger, options.key, options.name)
        print(f"made tenant {tenant.key} with profile default and purposes {', '.join(tenant.catalogue.purposes)}")
        return 0

    return with_ledger(options, work)


def _list(options: argparse.Namespace) -> int:
    async def work(ledger: Ledger) -> int:
        for tenant in await list_tenants(ledger):
            print(f"{tenant.key}\t{tenant.events} events\tsince {tenant.created_at:%Y-%m-%d}")
        return 0

    return with_ledger(options, work)
