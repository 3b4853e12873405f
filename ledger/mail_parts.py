"""A mail taken apart: its parts, headers, text and addresses, within limits. Pure; knows nothing of what the mail is about.

The standard library parses; what it raises or takes too long over, on a mail made for that, is kept from it here.
"""

import codecs
import re
from collections.abc import Iterator
from email import message_from_bytes, message_from_string
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from email.policy import EmailPolicy
from email.utils import getaddresses
from typing import Any, cast

from domain.addresses import Channel, normalise
from domain.refusals import Refusal, RefusalCode
from domain.text import shown_text

DEPTH_MAX = 20
PARTS_MAX = 200
RECIPIENTS_MAX = 100
# The standard library looks at each line for the boundary of every part that is open.
_LINES_MAX = 50_000
_MULTIPARTS_MAX = 40
_HEADER_CHARS_MAX = 16_000
EVIDENCE_CHARS_MAX = 500
_TEXT_BYTES_MAX = 64 * 1024
# The first two take the square of the length; the others are how a programming language writes text, and no mail is in them.
_NO_CHARSETS_OF_MAIL = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape"})
_MULTIPART = re.compile(rb"(?<![^\r\n])content-type:\s*multipart/", re.IGNORECASE)
_HIDDEN = re.compile(
    r".*redacted.*|(?:hidden|undisclosed|suppressed|anonymi[sz]ed)(?:[._-].*)?@.*|[x*._-]{3,}@.*|\*+@.*"
)
# RFC 6590 puts a digest in the name's place; of SHA-1 or SHA-256 it has these lengths, with a = at the end.
_DIGEST = re.compile(r"(?:[a-z0-9+/_-]{27}|[a-z0-9+/_-]{43})=@.*")


class _TextHeaders(EmailPolicy):
    """The default policy with headers as text: cut to what is needed, and decoded where they are asked for, not before.

    The library's own header objects take a mail's time squared, and raise what no caller expects, on headers made for it.
    """

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, _, value = "".join(sourcelines)[:_HEADER_CHARS_MAX].partition(":")
        return name, value.strip()

    def header_fetch_parse(self, name: str, value: str) -> Any:
        unfolded = re.sub(r"\r?\n[ \t]?", " ", value).replace("\r", " ").replace("\n", " ")
        return shown_text(unfolded.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


_POLICY = _TextHeaders()


def parse(raw: bytes) -> Message:
    """A mail within the limits. Raises Refusal INVALID; on a mail made to break it the library raises anything."""
    if len(_MULTIPART.findall(raw)) > _MULTIPARTS_MAX or raw.count(b"\n") + raw.count(b"\r") > 2 * _LINES_MAX:
        raise unreadable(f"it is nested too deep, or has more than {_LINES_MAX} lines")
    message = message_from_bytes(raw, policy=_POLICY)
    _check_size(message)
    if not message.keys():
        raise unreadable("it has no headers")
    return message


def unreadable(why: str) -> Refusal:
    return Refusal(RefusalCode.INVALID, f"the mail cannot be read: {why}", ("mail",))


def _check_size(message: Message) -> None:
    waiting: list[tuple[Message, int]] = [(message, 1)]
    parts = 0
    while waiting:
        part, depth = waiting.pop()
        parts += 1
        if depth > DEPTH_MAX:
            raise unreadable(f"its parts are nested deeper than {DEPTH_MAX}")
        if parts > PARTS_MAX:
            raise unreadable(f"it has more than {PARTS_MAX} parts")
        # The recipients of a delivery status look like parts, and are counted for themselves.
        if part.get_content_type() != "message/delivery-status":
            waiting.extend((inner, depth + 1) for inner in inner_parts(part))


def inner_parts(part: Message) -> list[Message]:
    payload: Any = part.get_payload()
    return cast(list[Message], payload) if isinstance(payload, list) else []


def leaves(message: Message) -> Iterator[Message]:
    """The parts that this mail itself consists of, containers included; not those of a message within it."""
    yield message
    if message.get_content_maintype() == "multipart":
        for inner in inner_parts(message):
            yield from leaves(inner)


def headers_in(text: str) -> Message:
    return message_from_string(text.lstrip(), _class=EmailMessage, policy=_POLICY)


def header(message: Message, name: str) -> str | None:
    value: Any = message.get(name)
    return None if value is None else str(value).strip() or None


def all_of(message: Message, name: str) -> list[str]:
    # One more than any use allows, so that too many are seen to be.
    values: list[Any] = message.get_all(name, [])[: RECIPIENTS_MAX + 1]
    return [str(value).strip() for value in values]


def decoded(value: str) -> str:
    try:
        return shown_text(str(make_header(decode_header(value))))
    except (HeaderParseError, LookupError, ValueError):
        return value


def text_of(part: Message) -> str:
    payload: Any = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    given = payload[:_TEXT_BYTES_MAX]
    try:
        charset = codecs.lookup(str(part.get_param("charset") or "utf-8")).name.replace("_", "-")
        text = given.decode("utf-8" if charset in _NO_CHARSETS_OF_MAIL else charset, "replace")
    except (LookupError, ValueError):
        text = given.decode("utf-8", "replace")
    # Some charsets have halves of surrogate pairs, which evidence cannot hold.
    return shown_text(text)


def cut(text: str | None) -> str | None:
    return None if text is None else text[:EVIDENCE_CHARS_MAX]


def mailboxes(message: Message, name: str) -> list[str | None]:
    """The addresses of a header, each normalised, or None where it is no address that says who."""
    return [recipient_of(address) for _, address in getaddresses(all_of(message, name)) if address]


def recipient_of(text: str) -> str | None:
    """The address in a field of a report, normalised; None for one that is redacted, or none."""
    kind, typed, address = text.partition(";")
    if not typed:
        address = text
    elif kind.strip().lower() not in ("rfc822", "utf-8"):
        return None
    address = re.sub(r"\\x\{([0-9A-Fa-f]{2,6})\}", lambda code: chr(min(int(code[1], 16), 0x10FFFF)), address)
    bare = address.strip().removeprefix("<").removesuffix(">")
    try:
        normalised = normalise(Channel.EMAIL, bare)
    except Refusal:
        return None
    return None if _HIDDEN.fullmatch(normalised) or _DIGEST.fullmatch(normalised) else normalised
