"""The command `consentry`: reads its arguments, runs one command, turns its errors into a sentence and an exit code."""

import argparse
from collections.abc import Sequence
from importlib.metadata import version

from cli import (
    check,
    erase,
    evidence,
    export,
    import_,
    keys,
    mcp,
    migrate,
    presets,
    projections,
    publish_checkpoints,
    rebuild,
    relay,
    replay,
    report,
    serve,
    signing_keys,
    subject_access,
    tenants,
    verify,
)
from cli.refusals import exit_code_of

_COMMANDS = (
    serve,
    migrate,
    tenants,
    presets,
    keys,
    signing_keys,
    import_,
    export,
    check,
    mcp,
    evidence,
    subject_access,
    verify,
    replay,
    report,
    erase,
    publish_checkpoints,
    relay,
    projections,
    rebuild,
)


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    top = argparse.ArgumentParser(
        prog="consentry", description="A consent ledger: may I write to this address, for this purpose?"
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {version('consentry')}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. 0: done; 1: it failed; 2: unusable input; `check` adds 3: not allowed."""
    options = parser().parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - the one place where errors become exit codes
        return exit_code_of(error)
