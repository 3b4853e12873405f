"""What a mail is: a complaint (RFC 5965), a bounce (RFC 3464), a letter that may ask to be unsubscribed, or nothing of ours.

Pure. Whom it is about stands in it as our own tokens, not opened yet, and as addresses, not believed yet.
"""

import html
import re
from dataclasses import dataclass
from email.message import Message

from domain.refusals import Refusal
from domain.sms_keywords import WORDS_AFTER_STOP_MAX, Keyword, keyword_of, words_of
from ledger.mail_parts import (
    DEPTH_MAX,
    EVIDENCE_CHARS_MAX,
    RECIPIENTS_MAX,
    all_of,
    cut,
    decoded,
    header,
    headers_in,
    inner_parts,
    leaves,
    mailboxes,
    parse,
    recipient_of,
    text_of,
    unreadable,
)

_LINES_TEXT_CHARS_MAX = 10_000
_SEALED = r"([A-Za-z0-9_-]{27,4000})"
_LINK_TOKEN = re.compile(rf"/[up]/{_SEALED}(?![A-Za-z0-9_-])")
_ADDRESS_TOKEN = re.compile(rf"unsubscribe\+{_SEALED}@", re.IGNORECASE)
_SUBJECT_TOKEN = re.compile(rf"(?<![A-Za-z0-9_-]){_SEALED}(?![A-Za-z0-9_-])")
_STATUS = re.compile(r"(?<![\d.])([245])\.\d{1,3}\.\d{1,3}(?![\d.])", re.ASCII)
_REPLY = re.compile(r"\A(?:(?:re|aw|antw|sv|rif|rv|ref|رد)(?:\[\d+\])? ?: ?)+", re.IGNORECASE)
_COMPLAINTS = frozenset({"abuse", "fraud"})
_UNSUBSCRIBE_WORDS = frozenset(
    words_of(spelling)
    for spelling in (
        *("unsubscribe", "unsubscribe me", "unsubscribe please", "unsubscribe me please", "unsubscribe all"),
        *("please unsubscribe", "please unsubscribe me", "unsubscribe request", "unsubscribe from list"),
        *("stop all", "stop please", "please stop", "remove", "remove me", "please remove me", "opt me out"),
        *("abmeldung", "bitte abmelden", "newsletter abmelden", "abbestellen", "newsletter abbestellen", "austragen"),
        *("désabonner", "se désabonner", "me désabonner", "désabonnement", "désabonnez moi", "désinscription"),
        *("désinscrire", "me désinscrire", "désinscrivez moi", "darse de baja", "darme de baja", "dar de baja"),
        *("cancelar suscripción", "cancelar la suscripción", "anular suscripción", "إلغاء الاشتراك", "الغاء اشتراكي"),
    )
)
# What means nothing else, whatever few words come after it; "cancel" or "end" may.
_UNMISTAKABLE = frozenset(
    words_of(word)
    for word in ("unsubscribe", "abmelden", "abmeldung", "désabonner", "désabonnement", "désinscrire", "désinscription")
)


@dataclass(frozen=True, slots=True)
class Ignored:
    """A mail of which nothing follows, and why."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """What a feedback report says."""

    tokens: tuple[str, ...]
    recipients: tuple[str, ...]
    evidence: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What a delivery status says of one recipient."""

    recipient: str | None
    hard: bool
    action: str
    status: str | None
    diagnostic: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """What a delivery status says."""

    tokens: tuple[str, ...]
    failures: tuple[Failure, ...]
    original_message_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A mail that may ask to be unsubscribed. `automatic`: why it was no person who wrote it."""

    tokens: tuple[str, ...]
    sender: str | None
    asks: bool
    automatic: str | None
    auto_replied: bool
    evidence: dict[str, str]


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as read: what it is called (by its Message-ID, or else all of it stands for it), and what it is."""

    name: str | bytes
    content: Ignored | Complaint | Failures | Letter


def read_mail(raw: bytes) -> Mail:
    """What a mail is. Raises Refusal INVALID."""
    try:
        message = parse(raw)
        return Mail(header(message, "Message-ID") or raw, _content(message))
    except Refusal:
        raise
    except RecursionError as error:
        raise unreadable(f"its parts are nested deeper than {DEPTH_MAX}") from error
    except Exception as error:  # noqa: BLE001 - whatever the library raises on a mail that was made to break it
        raise unreadable("its structure is broken") from error


def _content(message: Message) -> Ignored | Complaint | Failures | Letter:
    for part in leaves(message):
        if part.get_content_type() == "multipart/report":
            return _report(part)
    return _letter(message)


def _report(report: Message) -> Ignored | Complaint | Failures:
    parts = inner_parts(report)
    if not parts:
        raise unreadable("it is a report without its parts")
    by_type = {part.get_content_type(): part for part in reversed(parts)}
    original = next((found for part in parts if (found := original_in(part)) is not None), None)
    said = str(report.get_param("report-type") or "").strip().lower()
    if said == "feedback-report" or (not said and "message/feedback-report" in by_type):
        return _complaint(by_type.get("message/feedback-report"), original)
    if said == "delivery-status" or (not said and "message/delivery-status" in by_type):
        status = by_type.get("message/delivery-status") or by_type.get("message/global-delivery-status")
        return _failures(status, original)
    return Ignored("the mail is a report of another kind")


def original_in(part: Message) -> Message | None:
    """The message that a report returns, or its headers."""
    match part.get_content_type():
        case "message/rfc822" | "message/rfc822-headers" | "message/global" | "message/global-headers":
            inner = inner_parts(part)
            return inner[0] if inner else headers_in(text_of(part))
        case "text/rfc822-headers":
            return headers_in(text_of(part))
        case _:
            return None


def _complaint(part: Message | None, original: Message | None) -> Ignored | Complaint:
    fields = None if part is None else (inner_parts(part) or [headers_in(text_of(part))])[0]
    types = set[str]() if fields is None else {said.lower() for said in all_of(fields, "Feedback-Type")}
    if fields is None or len(types) != 1:
        raise unreadable("it is a feedback report that does not say its one Feedback-Type")
    [kind] = types
    if kind not in _COMPLAINTS:
        return Ignored("the feedback report is no complaint: its Feedback-Type is neither abuse nor fraud")
    message_id = None if original is None else header(original, "Message-ID")
    evidence = {
        "feedbackType": kind,
        "userAgent": header(fields, "User-Agent"),
        "originalMessageId": message_id or header(fields, "Original-Message-ID"),
    }
    named = [recipient_of(text) for text in all_of(fields, "Original-Rcpt-To")]
    if len(named) > RECIPIENTS_MAX:
        raise unreadable(f"its feedback report has more than {RECIPIENTS_MAX} recipients")
    if not any(named) and original is not None:
        # Of several it does not say which one complains.
        named = mailboxes(original, "To")
        named = named if len(named) == 1 else []
    return Complaint(
        tokens=() if original is None else _returned_tokens(original),
        recipients=tuple(dict.fromkeys(address for address in named if address is not None)),
        evidence={name: value[:EVIDENCE_CHARS_MAX] for name, value in evidence.items() if value},
    )


def _failures(part: Message | None, original: Message | None) -> Ignored | Failures:
    blocks = [] if part is None else _status_blocks(part)
    if not blocks:
        raise unreadable("it is a delivery status report without its fields")
    # The first block is about the message; where a report leaves it out, it is about a recipient already.
    about = [block for block in blocks if "Final-Recipient" in block or "Original-Recipient" in block]
    if not about:
        raise unreadable("its delivery status names no recipient")
    if len(about) > RECIPIENTS_MAX:
        raise unreadable(f"its delivery status has more than {RECIPIENTS_MAX} recipients")
    failures = tuple(failure for block in about if (failure := _failure(block)) is not None)
    if not failures:
        return Ignored("the delivery status tells of no failure")
    return Failures(
        tokens=() if original is None else _returned_tokens(original),
        failures=failures,
        original_message_id=None if original is None else cut(header(original, "Message-ID")),
    )


def _status_blocks(part: Message) -> list[Message]:
    blocks = inner_parts(part)
    if part.get_content_type() == "message/delivery-status" and len(blocks) > 1:
        return blocks
    # RFC 6533 (message/global-delivery-status), and a report of one block: read as text, block by block.
    text = "\n\n".join(f"{_fields(block)}\n{text_of(block)}" for block in blocks) if blocks else text_of(part)
    found = [headers_in(block) for block in re.split(r"\n[ \t\r]*\n\s*", text)[: 2 * RECIPIENTS_MAX] if block.strip()]
    return [block for block in found if block.keys()]


def _fields(message: Message) -> str:
    return "".join(f"{name}: {value}\n" for name, value in message.items())


def _failure(block: Message) -> Failure | None:
    """What a block says; None for a recipient that was reached, or of whom nothing is said."""
    action = (header(block, "Action") or "").partition(";")[0].strip().lower()
    said = header(block, "Status")
    diagnostic = header(block, "Diagnostic-Code")
    status = _STATUS.match(said or "") or _STATUS.search(diagnostic or "")
    if action not in ("failed", "delayed") or (status is not None and status[1] == "2"):
        return None
    named = (recipient_of(header(block, name) or "") for name in ("Original-Recipient", "Final-Recipient"))
    return Failure(
        recipient=next((address for address in named if address is not None), None),
        hard=action == "failed" and status is not None and status[1] == "5",
        action=action,
        status=None if status is None else status[0],
        diagnostic=cut(diagnostic),
    )


def _letter(message: Message) -> Letter:
    senders = mailboxes(message, "From")
    subject = " ".join(decoded(header(message, "Subject") or "").split())
    first_line = _first_line(message).strip()
    to = " ".join(
        decoded(value)
        for name in ("To", "Cc", "Delivered-To", "X-Original-To", "Envelope-To")
        for value in all_of(message, name)
    )
    tokens = (*_ADDRESS_TOKEN.findall(to), *_ADDRESS_TOKEN.findall(subject), *_SUBJECT_TOKEN.findall(subject))
    auto_submitted = (header(message, "Auto-Submitted") or "no").partition(";")[0].strip().lower()
    return Letter(
        tokens=tokens,
        sender=senders[0] if len(senders) == 1 else None,
        asks=_asks(subject, first_line),
        automatic=_automatic(message, auto_submitted),
        auto_replied=auto_submitted == "auto-replied",
        evidence={
            name: said[:EVIDENCE_CHARS_MAX] for name, said in (("subject", subject), ("text", first_line)) if said
        },
    )


def _automatic(message: Message, auto_submitted: str) -> str | None:
    if auto_submitted != "no":
        return "the mail was sent automatically"
    if (header(message, "Precedence") or "").lower() in ("bulk", "junk", "list", "auto_reply"):
        return "the mail was sent in bulk"
    if (header(message, "Return-Path") or "").replace(" ", "") == "<>":
        return "the mail is a bounce without a report"
    return None


def _asks(subject: str, first_line: str) -> bool:
    # A subject that is replied to is the sender's own, as is a quoted line: there only the bare word counts.
    own = _REPLY.sub("", subject)
    # A token that names nothing here is no word of the person.
    bare = _SUBJECT_TOKEN.sub(" ", own)
    return _is_unsubscribe(bare, own_words=own == subject) or _is_unsubscribe(first_line, own_words=True)


def _is_unsubscribe(line: str, *, own_words: bool) -> bool:
    words = words_of(line)
    if own_words and len(words) <= 1 + WORDS_AFTER_STOP_MAX and words[:1] in _UNMISTAKABLE:
        return True
    return words in _UNSUBSCRIBE_WORDS or keyword_of(line, alone=True) is Keyword.STOP


def _first_line(message: Message) -> str:
    texts = [part for part in leaves(message) if part.get_content_type() == "text/plain"]
    for part in (*texts, *(part for part in leaves(message) if part.get_content_type() == "text/html")):
        if (header(part, "Content-Disposition") or "").lower().startswith("attachment"):
            continue
        text = text_of(part)[:_LINES_TEXT_CHARS_MAX]
        if part.get_content_type() == "text/html":
            text = _text_of_html(text)
        for line in text.splitlines():
            if words_of(line):
                return "" if line.lstrip().startswith(">") else line
    return ""


def _text_of_html(text: str) -> str:
    without = re.sub(r"<(style|script|head)\b.*?</\1\s*>", "", text, flags=re.IGNORECASE | re.DOTALL)
    lines = re.sub(r"<(?:br|/?p|/?div|/?tr|/?h[1-6]|blockquote|li)\b[^<>]*>", "\n", without, flags=re.IGNORECASE)
    return html.unescape(re.sub(r"<[^<>]*>", "", lines))


def _returned_tokens(original: Message) -> tuple[str, ...]:
    """The tokens in the List-Unsubscribe of a returned message. It may be folded in the middle of one, or encoded."""
    return tuple(
        token
        for value in all_of(original, "List-Unsubscribe")
        for found in ("".join(decoded(value).split()),)
        for token in (*_LINK_TOKEN.findall(found), *_ADDRESS_TOKEN.findall(found))
    )
