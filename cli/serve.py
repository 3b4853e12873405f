"""`consentry serve`: the server."""

import argparse

from cli import demo
from cli.options import Subparsers, add_settings, settings_of
from cli.refusals import CommandFailed


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
    # Only a server loads the faces: every other command starts in half the time without them.
    from web.serve import CannotListen
    from web.serve import run as serve
    from web.trusted_documents import DocumentsInvalid
    from web.workers import WorkerFailed

    settings = settings_of(options)
    if options.demo:
        demo.prepare(settings)
    try:
        serve(settings)
    except (CannotListen, DocumentsInvalid, WorkerFailed) as error:
        raise CommandFailed(str(error)) from error
    return 0
