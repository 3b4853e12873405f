"""The log: one JSON object a line on standard error. Never an address, a key or a token.

Our own lines hold named fields. Of an exception the log has its type and where it came from, not its text, which may
quote what a client sent; of what libraries log, the first line. Over all of it goes a filter for what looks like an
address or a credential.
"""

import json
import logging
import re
import sys
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

from domain.time import format_instant
from web.request_observer import RequestRecord

LEVELS = ("debug", "info", "warning", "error")
_OURS = "consentry"
_REDACTED = "[redacted]"
_TEXT_CHARS_MAX = 2_000
_SECRETS = re.compile(
    r"""
    ck_[0-9]+_[0-9a-f]+_[\w-]+                # an API key
    | (?<=bearer\ )\S+                        # any credential in a header
    | (?<=://)[^\s/@]*:[^\s/@]*(?=@)          # user and password of a database's address
    | (?<=/[puc]/)[\w.~-]+                    # a token in a link
    | [^\s@"'<>=,;:()\[\]{}]+@[^\s@"'<>=,;:()\[\]{}]+   # an e-mail address
    | \+[0-9][0-9 ().-]{5,}[0-9]              # a telephone number
    """,
    re.VERBOSE | re.IGNORECASE,
)
# Each of the above has one of these in it, as text and as JSON (the sign of Kelvin is a k to whoever ignores case): most
# lines have none, and are not searched any further.
_SIGNS = ("@", "+", "ck_", "c\\u212a_", "bearer ", "/p/", "/u/", "/c/")
_access_log = logging.getLogger(f"{_OURS}.web.access")
_REQUEST_LINE = vars(logging.LogRecord(_access_log.name, logging.INFO, __file__, 0, "request", None, None))


def redact(text: str) -> str:
    """The text without what looks like an address, a key or a token; cut where it is too long to be a line of a log."""
    return _SECRETS.sub(_REDACTED, text[:_TEXT_CHARS_MAX])


class JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        message = record.getMessage()
        line: dict[str, Any] = {
            "time": format_instant(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": message if record.name.startswith(_OURS) else message.partition("\n")[0],
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = _described(record.exc_info[1])
        text = _encoded(line)
        if len(text) > _TEXT_CHARS_MAX or _is_suspect(text.lower()):
            text = _encoded(_redacted(line))
        return text


def configure_logging(level: str, stream: TextIO | None = None) -> None:
    """All loggers of this process write JSON lines of `level` and above to standard error."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(_OURS).setLevel(level.upper())
    # A failed write to the log must not print the record, unredacted, to standard error.
    logging.raiseExceptions = False


def log_request(record: RequestRecord) -> None:
    """The access line."""
    if not _access_log.isEnabledFor(logging.INFO):
        return
    fields: dict[str, object] = {
        "method": record.method,
        "route": record.route,
        "status": record.status,
        "milliseconds": round(record.seconds * 1000, 1),
        "request_id": record.request_id,
    }
    for name in ("tenant", "application", "operation"):
        value = getattr(record, name)
        if value is not None:
            fields[name] = value
    # The logger's own way finds out which line of ours asks and in which thread, for each request anew.
    line = logging.LogRecord.__new__(logging.LogRecord)
    line.__dict__ = {**_REQUEST_LINE, "created": time.time(), "fields": fields}
    _access_log.handle(line)


# What is no JSON is told by its type: what it holds may be personal.
_NO_MEMBERS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS


def _encoded(line: object) -> str:
    """In ASCII, whatever is in it: standard error may take nothing else."""
    try:
        # The same, several times faster, where there is nothing to escape.
        text = orjson.dumps(line, default=_named, option=_NO_MEMBERS)
    except TypeError:
        return _escaped(line)
    return text.decode() if text.isascii() else _escaped(line)


def _named(value: object) -> str:
    return type(value).__name__


_escaped = json.JSONEncoder(separators=(",", ":"), default=_named).encode


def _is_suspect(text: str) -> bool:
    return any(sign in text for sign in _SIGNS)


def _redacted(value: object) -> object:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: _redacted(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(member) for member in value]
    return value


def _described(error: BaseException) -> list[dict[str, Any]]:
    """The exception and those that it came from: types and places, and the codes that say more without quoting."""
    found: list[dict[str, Any]] = []
    current: BaseException | None = error
    while current is not None and len(found) < 10:
        entry: dict[str, Any] = {"type": f"{type(current).__module__}.{type(current).__qualname__}"}
        for code in ("sqlstate", "errno"):
            value = getattr(current, code, None)
            if isinstance(value, str | int):
                entry[code] = value
        entry["frames"] = [
            f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(current.__traceback__)
        ]
        found.append(entry)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return found
