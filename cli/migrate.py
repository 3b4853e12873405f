"""`consentry migrate`: bring the database up to date, alone."""

import argparse
import asyncio

from cli.options import Subparsers, add_settings, settings_of
from eventstore.database import open_database
from eventstore.migrate import migrate


def add(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser("migrate", help="bring the database up to date, and do nothing else")
    add_settings(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    return asyncio.run(_migrate(options))


async def _migrate(options: argparse.Namespace) -> int:
    config = settings_of(options).ledger
    async with open_database(data_dir=config.data_dir, database_url=config.database_url) as address:
        applied = await migrate(address)
    for name in applied:
        print(f"applied {name}")
    print("the database is up to date")
    return 0
