"""`consentry relay nats`: publish the log to NATS JetStream until told to stop.

Credentials come from the environment, or from a file that is named: never from the command line, which every process sees.
"""

import argparse
import asyncio
import os
import re
import signal
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cli.options import Subparsers, add_settings, with_ledger
from cli.progress import Progress
from cli.refusals import CommandFailed
from ledger.assembly import Ledger
from web.settings import SettingInvalid

if TYPE_CHECKING:
    from ledger.nats_connection import NatsServer
    from ledger.relay import RelayTarget

_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{1,64}){0,7}", re.ASCII)
_STREAM = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)


def add(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser("relay", help="publish the log to a message stream, as it grows")
    kinds = command.add_subparsers(dest="kind", required=True, metavar="KIND")
    nats = kinds.add_parser("nats", help="NATS JetStream")
    nats.add_argument("--url", required=True, help="nats://HOST:PORT, or tls://HOST:PORT")
    nats.add_argument(
        "--creds",
        metavar="FILE",
        help="NATS credentials file, of a JWT and its key (CONSENTRY_NATS_CREDS names it too)",
    )
    nats.add_argument(
        "--tls-ca", metavar="FILE", help="with tls://, the certificates to trust, as PEM (CONSENTRY_NATS_TLS_CA)"
    )
    nats.add_argument("--tenant", metavar="KEY", help="the tenant's key; by default every tenant")
    nats.add_argument("--stream", metavar="NAME", help="the stream's name, with --tenant; by default PREFIX-TENANT")
    nats.add_argument(
        "--subject-prefix", metavar="PREFIX", default="consentry", help="subjects are PREFIX.TENANT.PURPOSE.TYPE"
    )
    add_settings(nats)
    nats.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command. Raises SettingInvalid, CommandFailed where the stream is refused."""
    # The client takes a while to load, and no other command needs it.
    from ledger.relay import Relay, RelayRefused

    target = _target(options)

    async def work(ledger: Ledger) -> int:
        only = None if options.tenant is None else await ledger.tenant(options.tenant)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        published = 0
        with Progress("entries published") as progress:

            def moved(tenant: str, position: int) -> None:
                nonlocal published
                published += 1
                progress.show(published, f"{tenant} up to position {position}")

            relay = Relay(ledger, target, only=only, tell=_say, progress=moved)
            try:
                await relay.run(stop)
            except RelayRefused as refused:
                raise CommandFailed(f"{options.tenant}: {refused}") from refused
        return 1 if relay.refused else 0

    return with_ledger(options, work)


def _target(options: argparse.Namespace) -> "RelayTarget":
    from ledger.nats_connection import NatsServer
    from ledger.relay import RelayTarget

    try:
        parts = urlsplit(options.url)
        usable = parts.scheme in ("nats", "tls") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
        parts = urlsplit("")
    if not usable:
        raise SettingInvalid("--url: a URL such as nats://127.0.0.1:4222 or tls://nats.example.com:4222")
    if parts.username is not None or parts.password is not None:
        raise SettingInvalid(
            "--url: credentials do not belong there, where every process sees them, but into CONSENTRY_NATS_USER and"
            " CONSENTRY_NATS_PASSWORD, or CONSENTRY_NATS_TOKEN"
        )
    if _PREFIX.fullmatch(options.subject_prefix) is None:
        raise SettingInvalid("--subject-prefix: letters, digits, - and _, in parts with a dot between them")
    if options.stream is not None and (options.tenant is None or _STREAM.fullmatch(options.stream) is None):
        raise SettingInvalid(
            "--stream: letters, digits, - and _; and with --tenant, since each tenant's log has its own stream"
        )
    server = NatsServer(
        url=options.url,
        user=os.environ.get("CONSENTRY_NATS_USER") or None,
        password=os.environ.get("CONSENTRY_NATS_PASSWORD") or None,
        token=os.environ.get("CONSENTRY_NATS_TOKEN") or None,
        credentials=_file(options.creds, "CONSENTRY_NATS_CREDS"),
        tls_ca=_file(options.tls_ca, "CONSENTRY_NATS_TLS_CA"),
    )
    _check_files(server, encrypted=parts.scheme == "tls")
    return RelayTarget(server=server, subject_prefix=options.subject_prefix, stream=options.stream)


def _file(option: str | None, variable: str) -> Path | None:
    named = option or os.environ.get(variable)
    return Path(named) if named else None


def _check_files(server: "NatsServer", *, encrypted: bool) -> None:
    """What would never work is told at once, rather than waited for. Raises SettingInvalid."""
    from ledger.nats_credentials import CredentialsUnusable, read_credentials

    if server.credentials is not None:
        if server.user is not None or server.token is not None:
            raise SettingInvalid("--creds: give a credentials file, or a user or token in the environment, not both")
        try:
            read_credentials(server.credentials)
        except CredentialsUnusable as unusable:
            raise SettingInvalid(f"--creds: {unusable}") from unusable
    if server.tls_ca is not None:
        if not encrypted:
            raise SettingInvalid("--tls-ca: only with a --url that begins with tls://")
        try:
            ssl.create_default_context(cafile=server.tls_ca)
        except OSError as error:
            raise SettingInvalid(f"--tls-ca: no certificates can be read ({error.strerror or 'no PEM'})") from error


def _say(sentence: str) -> None:
    print(f"relay: {sentence}", file=sys.stderr, flush=True)
