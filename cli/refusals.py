"""The one place of the command line where errors become a sentence on standard error and an exit code."""

import sys

from domain.refusals import LimitExceeded, NotYetAvailable, Refusal
from eventstore.database import StoreUnavailable
from eventstore.migrate import DatabaseTooNew, DatabaseUnusable
from eventstore.personal.keyring import KeyUnusable
from eventstore.signing_keys import SigningKeyUnusable
from ledger.checkpoints import LogRewritten
from ledger.going_back import LogWentBack
from ledger.import_rows import FileUnusable
from ledger.replaying import ReplayMismatch
from web.settings import SettingInvalid

FAILED = 1
UNUSABLE = 2

# What a user gave, by the ledger's name of it.
_OPTIONS = {
    "businessUnit": "--unit",
    "key": "the key",
    "notAcknowledgedBy": "--not-acknowledged-by",
    "projection": "PROJECTION",
    "tenant": "--tenant",
    "application": "--application",
    "scope": "--scope",
    "timeZone": "--time-zone",
    "dateFormat": "--date-format",
    "encoding": "--encoding",
    "url": "--url",
}


class CommandFailed(Exception):
    """A command could not be carried out; says why, in words for who ran it."""


def exit_code_of(error: Exception) -> int:
    """Say what is wrong; 2 where the input is, 1 where the command could not be done now. Never a stack trace."""
    match error:
        case Refusal():
            path = _OPTIONS.get(error.path[0], ".".join(error.path)) + ": " if error.path else ""
            return _say(f"{path}{error.message}", UNUSABLE)
        case LimitExceeded() | SettingInvalid() | FileUnusable():
            return _say(str(error), UNUSABLE)
        case FileNotFoundError() | IsADirectoryError() | PermissionError():
            return _say(f"{error.filename}: {error.strerror}", UNUSABLE)
        case LogWentBack():
            return _say(f"{error}. Nothing is allowed: see docs/backup-and-upgrade.md", FAILED)
        case StoreUnavailable():
            return _say(f"the store does not answer: {error}", FAILED)
        case (
            DatabaseTooNew()
            | DatabaseUnusable()
            | KeyUnusable()
            | SigningKeyUnusable()
            | LogRewritten()
            | ReplayMismatch()
            | CommandFailed()
            | NotYetAvailable()
        ):
            return _say(str(error), FAILED)
        case BrokenPipeError():
            return FAILED
        case _:
            return _say(f"an unexpected {type(error).__name__} stopped this; nothing was half done", FAILED)


def _say(sentence: str, code: int) -> int:
    print(f"consentry: {sentence}", file=sys.stderr)
    return code
