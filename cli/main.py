"""The command `consentry`: reads its arguments, runs one command, turns its errors into a sentence and an exit code."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

from cli.refusals import exit_code_of

_COMMANDS = (
    "serve",
    "migrate",
    "tenants",
    "presets",
    "keys",
    "signing-keys",
    "import",
    "export",
    "check",
    "mcp",
    "evidence",
    "subject-access",
    "verify",
    "replay",
    "report",
    "erase",
    "publish-checkpoints",
    "relay",
    "projections",
    "rebuild",
)


def parser(command: str | None = None) -> argparse.ArgumentParser:
    """All commands with their options, or one alone: to import the others takes longer than most commands do."""
    top = argparse.ArgumentParser(
        prog="consentry", description="A consent ledger: may I write to this address, for this purpose?"
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {version('consentry')}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in (command,) if command in _COMMANDS else _COMMANDS:
        module = "import_" if name == "import" else name.replace("-", "_")
        import_module(f"cli.{module}").add(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. 0: done; 1: it failed; 2: unusable input; `check` adds 3: not allowed."""
    words = sys.argv[1:] if arguments is None else arguments
    options = parser(*words[:1]).parse_args(words)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - the one place where errors become exit codes
        return exit_code_of(error)
