"""`consentry mcp`: the tools for agents over standard input and output, answered by a running server."""

import argparse
import asyncio
import os
from pathlib import Path

from cli.options import Subparsers
from domain.refusals import Refusal, RefusalCode
from web.settings import http_url
from web.structured_log import configure_logging

_DEFAULT_URL = "http://127.0.0.1:8080"


def add(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "mcp", help="tools for an agent (Model Context Protocol) on standard input and output; a running server answers"
    )
    command.add_argument(
        "--url", metavar="URL", help=f"the server's address (CONSENTRY_URL, by default {_DEFAULT_URL})"
    )
    command.add_argument(
        "--key-file", metavar="FILE", type=Path, help="the file that holds the API key, if CONSENTRY_KEY does not"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    # Standard output belongs to the protocol; what is logged goes to standard error.
    configure_logging("warning")
    url = options.url or os.environ.get("CONSENTRY_URL") or _DEFAULT_URL
    try:
        server = http_url(url)
    except ValueError as error:
        raise Refusal(RefusalCode.INVALID, str(error), ("url",)) from None
    key = _key(options.key_file)

    from web.agent_tools.bridge import serve_stdio

    asyncio.run(serve_stdio(f"{server}/mcp", key))
    return 0


def _key(file: Path | None) -> str:
    """The API key. Raises Refusal INVALID, OSError."""
    text = os.environ.get("CONSENTRY_KEY", "") if file is None else file.read_text("utf-8", "replace")
    key = text.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise Refusal(RefusalCode.INVALID, "give the API key in CONSENTRY_KEY or in a --key-file", ("key",))
    return key
