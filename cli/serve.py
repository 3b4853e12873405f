"""`consentry serve`: the server."""

import argparse

from cli import demo
from cli.options import Subparsers, add_settings, settings_of
from web import serve


def add(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser("serve", help="serve GraphQL over HTTP; stops cleanly on SIGTERM")
    add_settings(command, everything=True)
    command.add_argument(
        "--demo", action="store_true", help="make a tenant `demo` with a key, printed once, if there is none"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    settings = settings_of(options)
    if options.demo:
        demo.prepare(settings)
    serve.run(settings)
    return 0
