"""Options that several commands share: where the database is, and which tenant. Each also as a CONSENTRY_ variable."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from cli.refusals import CommandFailed
from eventstore.embedded import is_there
from ledger.assembly import Ledger, Tenant, open_ledger
from web.settings import SETTINGS, Settings, read_settings

_DATABASE = ("data_dir", "database_url", "master_key_file", "signing_keys_dir", "log_host")

Subparsers = Any
"""What argparse's add_subparsers gives; its own type is private."""


def add_settings(command: argparse.ArgumentParser, *, everything: bool = False) -> None:
    """The options that say where the database is, or all settings of a server."""
    for setting in SETTINGS:
        if everything or setting.name in _DATABASE:
            default = f", by default {setting.default}" if setting.default else ""
            command.add_argument(
                setting.option,
                dest=setting.name,
                metavar=setting.name.rpartition("_")[2].upper(),
                help=f"{setting.help} ({setting.variable}{default})",
            )


def settings_of(options: argparse.Namespace) -> Settings:
    """The settings that options and environment give. Raises SettingInvalid."""
    return read_settings({setting.name: getattr(options, setting.name, None) for setting in SETTINGS})


def add_tenant(command: argparse.ArgumentParser) -> None:
    """The option that names the tenant."""
    command.add_argument("--tenant", required=True, metavar="KEY", help="the tenant's key")


def with_ledger(options: argparse.Namespace, work: Callable[[Ledger], Awaitable[int]]) -> int:
    """Run `work` on the ledger of these options; a server that runs on the same database goes on undisturbed."""

    async def run() -> int:
        async with open_ledger(settings_of(options).ledger) as ledger:
            return await work(ledger)

    return asyncio.run(run())


def with_tenant(options: argparse.Namespace, work: Callable[[Tenant], Awaitable[int]]) -> int:
    """Run `work` on the tenant of these options. Raises CommandFailed where no database is: there is no tenant either."""
    settings = settings_of(options)
    if settings.database_url is None and not is_there(settings.data_dir):
        raise CommandFailed(f"there is no database in {settings.data_dir}: name its folder with --data-dir")

    async def run(ledger: Ledger) -> int:
        return await work(await ledger.tenant(options.tenant))

    return with_ledger(options, run)
