"""`consentry mcp`: the tools for agents over standard input and output, answered by a running server."""

import argparse
import asyncio
import codecs
import os
from pathlib import Path

from cli.options import Subparsers
from domain.refusals import Refusal, RefusalCode
from web.settings import http_url
from web.structured_log import configure_logging

_PATH = "/mcp"
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
    if server.endswith(_PATH):
        right = server.removesuffix(_PATH)
        raise Refusal(
            RefusalCode.INVALID, f"it is the server's address, to which {_PATH} is added: say {right}", ("url",)
        )
    key = _key(options.key_file)

    from web.agent_tools.bridge import serve_stdio

    asyncio.run(serve_stdio(f"{server}{_PATH}", key))
    return 0


def _key(file: Path | None) -> str:
    """The API key. Raises Refusal INVALID, OSError."""
    key = (os.environ.get("CONSENTRY_KEY", "") if file is None else _text(file.read_bytes())).strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        wrong = (
            "give the API key in CONSENTRY_KEY or in a --key-file"
            if file is None
            else f"{file} holds no API key: the key alone, as text in UTF-8, or in UTF-16 with its byte order mark"
        )
        raise Refusal(RefusalCode.INVALID, wrong, ("key",))
    return key


def _text(content: bytes) -> str:
    """What a text file says, as editors and shells write it: PowerShell begins it with a mark, and may use UTF-16."""
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if marked else "utf-8-sig", "replace")
