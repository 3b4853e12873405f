"""What stands beside the words of a text message, as a provider spells it: the number, an id, a locale, a time.

None of it refuses an opt-out: a number in another spelling is read, and what cannot be read of the rest is left out and noted.
An opt-in is refused for it, for in doubt nobody opted in.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from domain.addresses import Channel, normalise
from domain.consent import effective_instant
from domain.refusals import Refusal
from domain.text import clean_text, shown_text
from domain.time import parse_instant

_T = TypeVar("_T")
MESSAGE_ID_CHARS_MAX = 500
LOCALE_CHARS_MAX = 35
_NOTED_CHARS_MAX = 50
# What providers and RFC 3966 put before a number, with parameters after it; 00 is what most countries dial for the +.
_SPELLED = re.compile(
    r"\s*(?:(?:whatsapp|tel|sms|mms|rcs):\s*)?(?:\+|\uff0b|00(?=[1-9 ]))([^;]*)(?:;.*)?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SideFields:
    """What a message says of itself, as far as it can be read; `left_out` has the rest, cut, by the field's name."""

    message_id: str | None = field(repr=False)
    locale: str | None
    received_at: datetime | None
    left_out: Mapping[str, str] = field(repr=False)


def number_of(sender: str, *, opts_in: bool) -> str:
    """The person's number, normalised. Raises Refusal INVALID_ADDRESS."""
    try:
        return normalise(Channel.SMS, sender)
    except Refusal:
        spelled = _SPELLED.fullmatch(sender)
        if opts_in or spelled is None:
            raise
        return normalise(Channel.SMS, f"+{spelled[1].strip()}")


def side_fields(
    *,
    opts_in: bool,
    message_id: str | None,
    locale: str | None,
    received_at: datetime | str | None,
    now: datetime,
) -> SideFields:
    """The fields as they can be kept. Raises Refusal INVALID, EFFECTIVE_IN_FUTURE where the message is an opt-in."""
    left_out: dict[str, str] = {}

    def read(name: str, given: object, clean: Callable[[], _T | None]) -> _T | None:
        try:
            return clean()
        except Refusal:
            if opts_in:
                raise
            left_out[name] = shown_text(str(given)[:_NOTED_CHARS_MAX])
            return None

    def instant() -> datetime | None:
        at = parse_instant(received_at, field="receivedAt") if isinstance(received_at, str) else received_at
        if at is not None:
            effective_instant(at, now)
        return at

    return SideFields(
        message_id=read(
            "messageId",
            message_id,
            lambda: clean_text(message_id, field="messageId", chars_max=MESSAGE_ID_CHARS_MAX),
        ),
        locale=read("locale", locale, lambda: clean_text(locale, field="locale", chars_max=LOCALE_CHARS_MAX)),
        received_at=read("receivedAt", received_at, instant),
        left_out=left_out,
    )
