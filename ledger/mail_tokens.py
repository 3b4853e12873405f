"""Our tokens in a mail: not opened yet, and each where a link of ours can stand. Pure.

In the subject, or in the address that a mail is for, a token is itself the question to be unsubscribed. In what a mail quotes,
forwards or returns it only says which message that is about.
"""

import re
from collections.abc import Iterable, Iterator
from email.message import Message

from ledger.mail_parts import all_of, decoded, headers_in, inner_parts, leaves, text_of

_SEALED_CHARS_MIN = 27
_SEALED = rf"([A-Za-z0-9_-]{{{_SEALED_CHARS_MIN},4000}})"
_LINK_TOKEN = re.compile(rf"/[up]/{_SEALED}(?![A-Za-z0-9_-])")
_ADDRESS_TOKEN = re.compile(rf"unsubscribe\+{_SEALED}@", re.IGNORECASE)
SUBJECT_TOKEN = re.compile(rf"(?<![A-Za-z0-9_-]){_SEALED}(?![A-Za-z0-9_-])")
# A long link is wrapped where it is quoted, and nothing says on which line it ends.
_PIECE = r"[A-Za-z0-9_-]{1,998}"
_NEXT_LINE = r"=?\r?\n[> \t]*"
_WRAPPED = re.compile(rf"/[up]/({_PIECE}(?:{_NEXT_LINE}{_PIECE}){{1,6}})")
_RECIPIENT_HEADERS = ("To", "Cc", "Delivered-To", "X-Original-To", "Envelope-To")


def asking_tokens(message: Message, subject: str) -> tuple[str, ...]:
    """The tokens in the addresses that a mail is for, and in its subject."""
    to = " ".join(decoded(value) for name in _RECIPIENT_HEADERS for value in all_of(message, name))
    return (*_ADDRESS_TOKEN.findall(to), *_ADDRESS_TOKEN.findall(subject), *SUBJECT_TOKEN.findall(subject))


def quoted_tokens(message: Message) -> tuple[str, ...]:
    """The tokens in a mail's text, in what that quotes, and in a message that is attached to it."""
    parts = list(leaves(message))
    texts = [text_of(part) for part in parts if part.get_content_maintype() == "text"]
    originals = [found for part in parts if (found := original_in(part)) is not None]
    attached = [text_of(part) for original in originals for part in leaves(original)]
    inside = (token for each in originals for token in returned_tokens(each))
    return tuple(dict.fromkeys((*inside, *_links_in((*texts, *attached)), *_wrapped_links_in(texts))))


def original_in(part: Message) -> Message | None:
    """The message that a report returns or a mail forwards, or its headers."""
    match part.get_content_type():
        case "message/rfc822" | "message/rfc822-headers" | "message/global" | "message/global-headers":
            inner = inner_parts(part)
            return inner[0] if inner else headers_in(text_of(part))
        case "text/rfc822-headers":
            return headers_in(text_of(part))
        case _:
            return None


def returned_tokens(original: Message) -> tuple[str, ...]:
    """The tokens in the List-Unsubscribe of a returned message. It may be folded in the middle of one, or encoded."""
    return tuple(
        token
        for value in all_of(original, "List-Unsubscribe")
        for found in ("".join(decoded(value).split()),)
        for token in (*_LINK_TOKEN.findall(found), *_ADDRESS_TOKEN.findall(found))
    )


def _links_in(texts: Iterable[str]) -> Iterator[str]:
    return (token for text in texts for token in _LINK_TOKEN.findall(text))


def _wrapped_links_in(texts: Iterable[str]) -> Iterator[str]:
    """Every token that a wrapped link can be, by where it ends."""
    for text in texts:
        for wrapped in _WRAPPED.findall(text):
            pieces = re.split(_NEXT_LINE, wrapped)
            for last in range(len(pieces), 1, -1):
                token = "".join(pieces[:last])
                if len(token) >= _SEALED_CHARS_MIN:
                    yield token
