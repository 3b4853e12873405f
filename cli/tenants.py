"""`consentry tenants`: make and list tenants, and hand a tenant's blind index key to the one that takes its place."""

import argparse
from pathlib import Path

from cli.options import Subparsers, add_settings, add_tenant, with_ledger, with_tenant
from cli.output import output_file
from domain.refusals import Refusal, RefusalCode
from ledger.assembly import Ledger, Tenant
from ledger.tenants import create_tenant, list_tenants


def add(commands: Subparsers) -> None:
    """Declare the commands."""
    group = commands.add_parser("tenants", help="make and list tenants").add_subparsers(required=True, metavar="WHAT")
    create = group.add_parser("create", help="make a tenant with the default profile")
    create.add_argument("key", metavar="KEY", help="lower-case letters, digits, - and _; permanent")
    create.add_argument("--name", required=True, help="how people call it; can be changed")
    same = create.add_mutually_exclusive_group()
    same.add_argument(
        "--blind-index-of",
        metavar="TENANT",
        help="find addresses by the blind indexes of this tenant, for good: so what its erasures suppressed can be imported",
    )
    same.add_argument(
        "--blind-index-key",
        metavar="FILE",
        type=Path,
        help="the same for a tenant of another database: what tenants blind-index-key wrote there",
    )
    add_settings(create)
    create.set_defaults(run=_create)
    export = group.add_parser(
        "blind-index-key",
        help="write the key of a tenant's blind indexes, for tenants create elsewhere: a secret, which tells with an export"
        " of the tenant whether a given address was erased",
    )
    export.add_argument("-o", "--output", metavar="FILE", type=Path, required=True, help="readable by you alone")
    add_tenant(export)
    add_settings(export)
    export.set_defaults(run=_blind_index_key)
    listing = group.add_parser("list", help="list the tenants")
    add_settings(listing)
    listing.set_defaults(run=_list)


def _create(options: argparse.Namespace) -> int:
    given = None if options.blind_index_key is None else _read_key(options.blind_index_key)

    async def work(ledger: Ledger) -> int:
        key = (
            given if options.blind_index_of is None else (await ledger.tenant(options.blind_index_of)).keys.blind_index
        )
        tenant = await create_tenant(ledger, options.key, options.name, blind_index_key=key)
        print(f"made tenant {tenant.key} with profile default and purposes {', '.join(tenant.catalogue.purposes)}")
        return 0

    return with_ledger(options, work)


def _read_key(path: Path) -> bytes:
    try:
        return bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError as error:
        message = "the file does not hold the hexadecimal digits that tenants blind-index-key writes"
        raise Refusal(RefusalCode.INVALID, message, ("blind_index_key",)) from error


def _blind_index_key(options: argparse.Namespace) -> int:
    async def work(tenant: Tenant) -> int:
        with output_file(options.output) as output:
            output.write(tenant.keys.blind_index.hex() + "\n")
        return 0

    return with_tenant(options, work)


def _list(options: argparse.Namespace) -> int:
    async def work(ledger: Ledger) -> int:
        for tenant in await list_tenants(ledger):
            print(f"{tenant.key}\t{tenant.events} events\tsince {tenant.created_at:%Y-%m-%d}")
        return 0

    return with_ledger(options, work)
