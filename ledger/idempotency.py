"""Commands under an idempotency key, and the log's own errors as refusals. The exact spelling of a command lives here."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Any, Final

from domain.refusals import Refusal, RefusalCode
from domain.text import clean_text
from domain.time import format_instant
from eventstore.command import Appended, Command, SubjectErasing
from eventstore.idempotency import IdempotencyConflict, IdempotencyKey, idempotency_key
from eventstore.personal.vault import Connected
from ledger.assembly import Tenant
from ledger.erasure_completion import complete_erasure
from tlog.entry import EntryTooLarge

KEY_CHARS_MAX = 200
# Whose the keys of rows of files are, whoever brings the file. No API key is made for it.
APPLICATION_OF_ROWS: Final = "import"
# What such keys look like. There may be older API keys of that name: what looks so and is theirs is kept elsewhere, under what
# can be no application's name, so that nobody takes the key of a row. Their other keys stay where they were recorded.
_LIKE_A_ROWS = re.compile(r":[0-9a-f]{64}$")
_OF_ITS_OWN: Final = f"{APPLICATION_OF_ROWS} (its own)"


def stored_key(
    tenant: Tenant,
    application: str | None,
    key: str | None,
    command: str,
    fields: Mapping[str, Any],
    *,
    of_row: bool = False,
) -> IdempotencyKey | None:
    """What is stored of a caller's key (or `of_row`) and of its input; None without a key. Raises Refusal INVALID for the key.

    The spelling leaves out what has no value, so a field added later does not turn yesterday's key into a conflict.
    """
    key = clean_text(key, field="idempotencyKey", chars_max=KEY_CHARS_MAX)
    if key is None:
        return None
    if application == APPLICATION_OF_ROWS and not of_row and _LIKE_A_ROWS.search(key):
        application = _OF_ITS_OWN
    given = {name: value for name, value in fields.items() if value is not None}
    if tenant.unit is not None:
        # What another key of the application recorded, in units that this one does not see, is not told to it again.
        given["\0unit"] = tenant.unit
    spelling = _spell([command, given])
    return idempotency_key(
        tenant.idempotency_hash, application=application or "", key=key, command=spelling.encode("utf-8", "replace")
    )


def _spelled(value: object) -> object:
    if isinstance(value, datetime):
        return format_instant(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} in a command")


_spell = json.JSONEncoder(sort_keys=True, default=_spelled).encode


async def first_answer(connection: Connected, tenant: Tenant, key: IdempotencyKey | None, answer: str) -> str | None:
    """Keep `answer` for a command that writes no event, or give what was kept when it first ran.

    To be called in the transaction of what the command changes: the record is there exactly when that is. Of two that run
    at once the second waits here for the first. Raises Refusal IDEMPOTENCY_CONFLICT.
    """
    if key is None:
        return None
    new = await connection.fetchval(
        "INSERT INTO idempotency_records (tenant, key_hash, command_digest, position, events) VALUES ($1, $2, $3, 0, 0)"
        " ON CONFLICT DO NOTHING RETURNING true",
        tenant.id,
        key.key_hash,
        key.command_digest,
    )
    if new:
        await connection.execute(
            "INSERT INTO idempotent_answers (tenant, key_hash, answer) VALUES ($1, $2, $3)",
            tenant.id,
            key.key_hash,
            answer,
        )
        return None
    kept: str | None = await connection.fetchval(
        "SELECT a.answer FROM idempotency_records r JOIN idempotent_answers a"
        "  ON a.tenant = r.tenant AND a.key_hash = r.key_hash"
        " WHERE r.tenant = $1 AND r.key_hash = $2 AND r.command_digest = $3",
        tenant.id,
        key.key_hash,
        key.command_digest,
    )
    if kept is None:
        raise refusal_of(IdempotencyConflict())
    return kept


async def append(tenant: Tenant, command: Command, *, complete: bool = True) -> Appended:
    """Append, with the log's own refusals in the words of the domain.

    An erasure that was left half done at the command's contact point is completed first, if `complete`; what is recorded
    then begins a new one. Otherwise raises SubjectErasing.
    """
    while True:
        try:
            return await tenant.log.append(command)
        except SubjectErasing as erasing:
            if not complete:
                raise
            await complete_erasure(tenant, erasing.contact_point)
        except (IdempotencyConflict, EntryTooLarge) as error:
            raise refusal_of(error) from error


def refusal_of(error: IdempotencyConflict | EntryTooLarge) -> Refusal:
    """The domain's refusal for what the log refuses by itself."""
    if isinstance(error, IdempotencyConflict):
        return Refusal(
            RefusalCode.IDEMPOTENCY_CONFLICT,
            "this key was used before with another input; a new input needs a new key",
            ("idempotencyKey",),
        )
    return Refusal(RefusalCode.INVALID, "the event would be longer than an entry of the log can be", ())
