"""A mail that came in: a complaint (RFC 5965), a bounce (RFC 3464), an unsubscribe by mail, or nothing of ours.

Anybody can send a mail that says anything. So it is read within limits, and whom it is for is asked of our own token first:
that cannot be forged, and what contradicts it does not count.
"""

import asyncio
import codecs
import html
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from email import message_from_bytes, message_from_string
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from email.policy import EmailPolicy
from email.utils import getaddresses
from typing import Any, cast

from domain.addresses import Channel, normalise
from domain.bounces import Bounce as BounceKind
from domain.catalogue import DEFAULT_PROFILE, Purpose
from domain.consent import ConsentSource, ConsentValue
from domain.refusals import LimitExceeded, Refusal, RefusalCode
from domain.sms_keywords import WORDS_AFTER_STOP_MAX, Keyword, keyword_of, words_of
from ledger.assembly import Caller, Tenant
from ledger.bounces import record_bounce
from ledger.given_evidence import Evidence
from ledger.inbound_sms import (
    RECIPIENT,
    SUPPRESSED,
    InboundKind,
    InboundResult,
    commercial_purposes,
    digest_of,
    events_of,
    new_events,
    not_suppressed_for_ever,
    positions_of,
    record_all,
    standing_of,
    valid_text,
)
from ledger.links import LinkInvalid, MessageLink, open_message_link
from ledger.record import Capture

MAIL_BYTES_MAX = 1024 * 1024
DEPTH_MAX = 20
PARTS_MAX = 200
RECIPIENTS_MAX = 100
# The standard library looks at each line for the boundary of every part that is open.
_LINES_MAX = 50_000
_MULTIPARTS_MAX = 40
_HEADER_CHARS_MAX = 16_000
_EVIDENCE_CHARS_MAX = 500
_TEXT_BYTES_MAX = 64 * 1024
_LINES_TEXT_CHARS_MAX = 10_000
_SLOW_CHARSETS = frozenset({"idna", "punycode"})  # they take the square of the length
_TOKENS_TRIED_MAX = 5
_MULTIPART = re.compile(rb"(?<![^\r\n])content-type:\s*multipart/", re.IGNORECASE)
_SEALED = r"([A-Za-z0-9_-]{27,4000})"
_LINK_TOKEN = re.compile(rf"/[up]/{_SEALED}(?![A-Za-z0-9_-])")
_ADDRESS_TOKEN = re.compile(rf"unsubscribe\+{_SEALED}@", re.IGNORECASE)
_SUBJECT_TOKEN = re.compile(rf"(?<![A-Za-z0-9_-]){_SEALED}(?![A-Za-z0-9_-])")
_STATUS = re.compile(r"(?<![\d.])([245])\.\d{1,3}\.\d{1,3}(?![\d.])", re.ASCII)
_REPLY = re.compile(r"\A(?:(?:re|aw|antw|sv|rif|rv|ref|رد)(?:\[\d+\])? ?: ?)+", re.IGNORECASE)
_COMPLAINTS = frozenset({"abuse", "fraud"})
_HIDDEN = re.compile(
    r".*redacted.*|(?:hidden|undisclosed|suppressed|anonymi[sz]ed)(?:[._-].*)?@.*|[x*._-]{3,}@.*|\*+@.*"
)
# RFC 6590 puts a digest in the name's place; of SHA-1 or SHA-256 it has these lengths, with a = at the end.
_DIGEST = re.compile(r"(?:[a-z0-9+/_-]{27}|[a-z0-9+/_-]{43})=@.*")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounce:
    """A message that did not arrive at this e-mail address, as a report says it: `hard` for good, or for now.

    `known`: whether the address has a contact point. `link` is what our token in the returned headers names, `key` the same
    whenever the same report comes again.
    """

    hard: bool
    address: str = field(repr=False)
    known: bool
    action: str
    status: str | None
    diagnostic: str | None = field(repr=False)
    original_message_id: str | None = field(repr=False)
    link: MessageLink | None = field(repr=False)
    key: str


_SAID_CHARS_MAX = 500
OnBounce = Callable[[Tenant, Caller, Bounce], Awaitable[int | None]]
"""What is done for a bounce; the position of what it recorded."""


async def _record(tenant: Tenant, caller: Caller, bounce: Bounce) -> int | None:
    """Record it, where our own token or a known contact point says whom it is about: a report may say anything."""
    if not bounce.known and bounce.link is None:
        return None
    said = {"diagnostic": bounce.diagnostic, "originalMessageId": bounce.original_message_id}
    attributes = {name: text[:_SAID_CHARS_MAX] for name, text in said.items() if text}
    recorded = await record_bounce(
        tenant,
        caller,
        channel=Channel.EMAIL,
        address=bounce.address,
        bounce=BounceKind.HARD if bounce.hard else BounceKind.SOFT,
        status=bounce.status,
        evidence=Evidence(attributes=attributes) if attributes else None,
        idempotency_key=bounce.key,
    )
    return None if recorded.repeated else recorded.position


@dataclass(frozen=True, slots=True)
class _Ignored:
    """A mail of which nothing follows, and why."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Complaint:
    """What a feedback report says."""

    tokens: tuple[str, ...]
    recipients: tuple[str, ...]
    evidence: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """What a delivery status says of one recipient."""

    recipient: str | None
    hard: bool
    action: str
    status: str | None
    diagnostic: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failures:
    """What a delivery status says."""

    tokens: tuple[str, ...]
    failures: tuple[_Failure, ...]
    original_message_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Letter:
    """A mail that may ask to be unsubscribed. `automatic`: why it was no person who wrote it."""

    tokens: tuple[str, ...]
    sender: str | None
    asks: bool
    automatic: str | None
    auto_replied: bool
    evidence: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Mail:
    """A mail as read: its identity, and what it is."""

    id: str
    content: _Ignored | _Complaint | _Failures | _Letter


async def receive_email(tenant: Tenant, caller: Caller, raw: bytes, *, on_bounce: OnBounce = _record) -> InboundResult:
    """Take a mail as it came, and record what follows of it; the same mail again records nothing.

    Raises LimitExceeded for one that is too big, Refusal INVALID for one that cannot be read, StoreUnavailable.
    """
    if len(raw) > MAIL_BYTES_MAX:
        raise LimitExceeded("bytes of a mail", MAIL_BYTES_MAX, len(raw))
    # Beside the event loop: a mail made to be slow slows down nobody else's check.
    mail = await asyncio.to_thread(_read, raw)
    match mail.content:
        case _Complaint() as complaint:
            return await _complained(tenant, caller, mail.id, complaint)
        case _Failures() as failures:
            return await _bounced(tenant, caller, mail.id, failures, on_bounce)
        case _Letter() as letter:
            return await _unsubscribed(tenant, caller, mail.id, letter)
        case _Ignored(why):
            return _ignored(why)


def _ignored(why: str) -> InboundResult:
    return InboundResult(kind=InboundKind.IGNORED, known=False, why=f"{why}; nothing was recorded")


# What follows of a mail.


class _Foreign(Exception):
    """The mail has a link of another tenant: it is not about an address of this one."""


_FOREIGN = "the link in the message is none of this tenant's"


async def _link(tenant: Tenant, tokens: Sequence[str]) -> MessageLink | None:
    """The link of the first token that was made here. Raises _Foreign, StoreUnavailable."""
    for token in tokens[:_TOKENS_TRIED_MAX]:
        try:
            owner, link = await open_message_link(tenant.ledger, token)
        except LinkInvalid:
            continue
        if owner.id != tenant.id:
            raise _Foreign
        return link
    return None


async def _complained(tenant: Tenant, caller: Caller, mail: str, complaint: _Complaint) -> InboundResult:
    try:
        link = await _link(tenant, complaint.tokens)
    except _Foreign:
        return _ignored(_FOREIGN)
    catalogue = await tenant.latest_catalogue()
    if link is not None:
        # A complaint is wider than the one topic.
        opting_out = _OptOut(link.channel, (link.address,), (catalogue.purposes[link.purpose],), None, link.message_id)
    elif complaint.recipients:
        everything = tuple(commercial_purposes(catalogue, catalogue.profile(DEFAULT_PROFILE)))
        opting_out = _OptOut(Channel.EMAIL, complaint.recipients, everything, None, None)
    else:
        return _ignored("the complaint does not say who complains: it has no link of ours and no one recipient")
    return await _opted_out(
        tenant, caller, mail, opting_out, InboundKind.COMPLAINT, ConsentSource.COMPLAINT, complaint.evidence
    )


async def _unsubscribed(tenant: Tenant, caller: Caller, mail: str, letter: _Letter) -> InboundResult:
    try:
        link = await _link(tenant, letter.tokens)
    except _Foreign:
        return _ignored(_FOREIGN)
    catalogue = await tenant.latest_catalogue()
    if link is not None:
        if letter.auto_replied:
            return _ignored("the mail is an automatic reply")
        purposes = (catalogue.purposes[link.purpose],)
        opting_out = _OptOut(link.channel, (link.address,), purposes, link.topic, link.message_id)
    elif letter.automatic is not None:
        return _ignored(letter.automatic)
    elif not letter.asks:
        return _ignored("the mail is no report, and asks for no unsubscribe")
    elif letter.sender is None:
        return _ignored("the mail asks for an unsubscribe, and does not say by one address whose")
    else:
        everything = tuple(commercial_purposes(catalogue, catalogue.profile(DEFAULT_PROFILE)))
        opting_out = _OptOut(Channel.EMAIL, (letter.sender,), everything, None, None)
    return await _opted_out(
        tenant, caller, mail, opting_out, InboundKind.UNSUBSCRIBE, ConsentSource.EMAIL_REPLY, letter.evidence
    )


@dataclass(frozen=True, slots=True)
class _OptOut:
    """Who opts out of what."""

    channel: Channel
    addresses: tuple[str, ...] = field(repr=False)
    purposes: tuple[Purpose, ...]
    topic: str | None
    message_id: str | None


async def _opted_out(
    tenant: Tenant,
    caller: Caller,
    mail: str,
    opting_out: _OptOut,
    kind: InboundKind,
    source: ConsentSource,
    evidence: dict[str, str],
) -> InboundResult:
    captures: list[Capture] = []
    anyone_known = False
    for address in opting_out.addresses:
        known, standing = await standing_of(tenant, opting_out.channel, address, opting_out.purposes)
        anyone_known = anyone_known or known
        for purpose in not_suppressed_for_ever(opting_out.purposes, known=known, standing=standing):
            # The key has all that is said: two mails that claim one id do not lose an opt-out to a conflict.
            said = digest_of(
                mail, opting_out.channel, address, opting_out.topic, opting_out.message_id, source, evidence
            )
            captures.append(
                Capture(
                    channel=opting_out.channel,
                    address=address,
                    purpose=purpose.key,
                    topic=opting_out.topic,
                    value=ConsentValue.OPTED_OUT,
                    source=source,
                    actor=RECIPIENT,
                    evidence=Evidence(attributes=evidence) if evidence else None,
                    message_id=opting_out.message_id,
                    idempotency_key=f"mail:{said}:{purpose.key}",
                )
            )
    recorded = await record_all(tenant, caller, captures)
    return InboundResult(
        kind=kind,
        known=anyone_known,
        recorded=new_events(recorded),
        positions=positions_of(recorded),
        events=events_of(recorded),
        why=None if recorded else SUPPRESSED,
    )


async def _bounced(tenant: Tenant, caller: Caller, mail: str, report: _Failures, on_bounce: OnBounce) -> InboundResult:
    try:
        link = await _link(tenant, report.tokens)
    except _Foreign:
        return _ignored(_FOREIGN)
    failures = report.failures
    if link is not None and link.channel is not Channel.EMAIL:
        return _ignored("the link in the message is none of an e-mail")
    if link is not None:
        # The token says whom the message was for. A recipient that it contradicts (a lie, or a forwarded mailbox further
        # on) is not blamed; of several, the one that it names is what the report is about.
        named = next((failure for failure in failures if failure.recipient == link.address), failures[0])
        failures = (replace(named, recipient=link.address),)
    bounces: list[Bounce] = []
    for failure in failures:
        if failure.recipient is None:
            continue
        known, _ = await standing_of(tenant, Channel.EMAIL, failure.recipient, ())
        if known or link is not None:
            bounces.append(
                Bounce(
                    hard=failure.hard,
                    address=failure.recipient,
                    known=known,
                    action=failure.action,
                    status=failure.status,
                    diagnostic=failure.diagnostic,
                    original_message_id=report.original_message_id,
                    link=link,
                    key=f"bounce:{digest_of(mail, failure.recipient, failure.hard, failure.status)}",
                )
            )
    if not bounces:
        return _ignored("the bounce has no link of ours, and names no address that is known here")
    positions = [await on_bounce(tenant, caller, bounce) for bounce in bounces]
    recorded = tuple(position for position in positions if position is not None)
    return InboundResult(
        kind=InboundKind.HARD_BOUNCE if any(bounce.hard for bounce in bounces) else InboundKind.SOFT_BOUNCE,
        known=any(bounce.known for bounce in bounces),
        recorded=len(recorded),
        positions=recorded,
        why=None if recorded else "nothing was recorded of the bounce",
    )


# What a mail is: pure, and within limits.


class _TextHeaders(EmailPolicy):
    """The default policy with headers as text: cut to what is needed, and decoded where they are asked for, not before.

    The library's own header objects take a mail's time squared, and raise what no caller expects, on headers made for it.
    """

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, _, value = "".join(sourcelines)[:_HEADER_CHARS_MAX].partition(":")
        return name, value.strip()

    def header_fetch_parse(self, name: str, value: str) -> Any:
        unfolded = re.sub(r"\r?\n[ \t]?", " ", value).replace("\r", " ").replace("\n", " ")
        return valid_text(unfolded.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


_POLICY = _TextHeaders()


def _read(raw: bytes) -> _Mail:
    """What a mail is. Raises Refusal INVALID."""
    if len(_MULTIPART.findall(raw)) > _MULTIPARTS_MAX or raw.count(b"\n") + raw.count(b"\r") > 2 * _LINES_MAX:
        raise _unreadable(f"it is nested too deep, or has more than {_LINES_MAX} lines")
    try:
        message = message_from_bytes(raw, policy=_POLICY)
        _check_size(message)
        if not message.keys():
            raise _unreadable("it has no headers")
        message_id = _header(message, "Message-ID")
        return _Mail(digest_of(message_id) if message_id else digest_of(raw), _content(message))
    except Refusal:
        raise
    except RecursionError as error:
        raise _unreadable(f"its parts are nested deeper than {DEPTH_MAX}") from error
    except Exception as error:  # noqa: BLE001 - whatever the library raises on a mail that was made to break it
        raise _unreadable("its structure is broken") from error


def _unreadable(why: str) -> Refusal:
    return Refusal(RefusalCode.INVALID, f"the mail cannot be read: {why}", ("mail",))


def _check_size(message: Message) -> None:
    waiting: list[tuple[Message, int]] = [(message, 1)]
    parts = 0
    while waiting:
        part, depth = waiting.pop()
        parts += 1
        if depth > DEPTH_MAX:
            raise _unreadable(f"its parts are nested deeper than {DEPTH_MAX}")
        if parts > PARTS_MAX:
            raise _unreadable(f"it has more than {PARTS_MAX} parts")
        # The recipients of a delivery status look like parts, and are counted for themselves.
        if part.get_content_type() != "message/delivery-status":
            waiting.extend((inner, depth + 1) for inner in _inner(part))


def _inner(part: Message) -> list[Message]:
    payload: Any = part.get_payload()
    return cast(list[Message], payload) if isinstance(payload, list) else []


def _leaves(message: Message) -> Iterator[Message]:
    """The parts that this mail itself consists of, containers included; not those of a message within it."""
    yield message
    if message.get_content_maintype() == "multipart":
        for inner in _inner(message):
            yield from _leaves(inner)


def _content(message: Message) -> _Ignored | _Complaint | _Failures | _Letter:
    for part in _leaves(message):
        if part.get_content_type() == "multipart/report":
            return _report(part)
    return _letter(message)


def _report(report: Message) -> _Ignored | _Complaint | _Failures:
    parts = _inner(report)
    if not parts:
        raise _unreadable("it is a report without its parts")
    by_type = {part.get_content_type(): part for part in reversed(parts)}
    original = next((found for part in parts if (found := _original(part)) is not None), None)
    said = str(report.get_param("report-type") or "").strip().lower()
    if said == "feedback-report" or (not said and "message/feedback-report" in by_type):
        return _complaint(by_type.get("message/feedback-report"), original)
    if said == "delivery-status" or (not said and "message/delivery-status" in by_type):
        status = by_type.get("message/delivery-status") or by_type.get("message/global-delivery-status")
        return _failures(status, original)
    return _Ignored("the mail is a report of another kind")


def _original(part: Message) -> Message | None:
    """The message that a report returns, or its headers."""
    match part.get_content_type():
        case "message/rfc822" | "message/rfc822-headers" | "message/global" | "message/global-headers":
            inner = _inner(part)
            return inner[0] if inner else _headers(_text(part))
        case "text/rfc822-headers":
            return _headers(_text(part))
        case _:
            return None


def _headers(text: str) -> Message:
    return message_from_string(text.lstrip(), _class=EmailMessage, policy=_POLICY)


def _complaint(part: Message | None, original: Message | None) -> _Ignored | _Complaint:
    fields = None if part is None else (_inner(part) or [_headers(_text(part))])[0]
    types = set[str]() if fields is None else {said.lower() for said in _all(fields, "Feedback-Type")}
    if fields is None or len(types) != 1:
        raise _unreadable("it is a feedback report that does not say its one Feedback-Type")
    [kind] = types
    if kind not in _COMPLAINTS:
        return _Ignored("the feedback report is no complaint: its Feedback-Type is neither abuse nor fraud")
    message_id = None if original is None else _header(original, "Message-ID")
    evidence = {
        "feedbackType": kind,
        "userAgent": _header(fields, "User-Agent"),
        "originalMessageId": message_id or _header(fields, "Original-Message-ID"),
    }
    named = [_recipient(text) for text in _all(fields, "Original-Rcpt-To")]
    if len(named) > RECIPIENTS_MAX:
        raise _unreadable(f"its feedback report has more than {RECIPIENTS_MAX} recipients")
    if not any(named) and original is not None:
        # Of several it does not say which one complains.
        named = _mailboxes(original, "To")
        named = named if len(named) == 1 else []
    return _Complaint(
        tokens=() if original is None else _returned_tokens(original),
        recipients=tuple(dict.fromkeys(address for address in named if address is not None)),
        evidence={name: value[:_EVIDENCE_CHARS_MAX] for name, value in evidence.items() if value},
    )


def _failures(part: Message | None, original: Message | None) -> _Ignored | _Failures:
    blocks = [] if part is None else _status_blocks(part)
    if not blocks:
        raise _unreadable("it is a delivery status report without its fields")
    # The first block is about the message; where a report leaves it out, it is about a recipient already.
    about = [block for block in blocks if "Final-Recipient" in block or "Original-Recipient" in block]
    if not about:
        raise _unreadable("its delivery status names no recipient")
    if len(about) > RECIPIENTS_MAX:
        raise _unreadable(f"its delivery status has more than {RECIPIENTS_MAX} recipients")
    failures = tuple(failure for block in about if (failure := _failure(block)) is not None)
    if not failures:
        return _Ignored("the delivery status tells of no failure")
    return _Failures(
        tokens=() if original is None else _returned_tokens(original),
        failures=failures,
        original_message_id=None if original is None else _cut(_header(original, "Message-ID")),
    )


def _status_blocks(part: Message) -> list[Message]:
    blocks = _inner(part)
    if part.get_content_type() == "message/delivery-status" and len(blocks) > 1:
        return blocks
    # RFC 6533 (message/global-delivery-status), and a report of one block: read as text, block by block.
    text = "\n\n".join(f"{_fields(block)}\n{_text(block)}" for block in blocks) if blocks else _text(part)
    found = [_headers(block) for block in re.split(r"\n[ \t\r]*\n\s*", text)[: 2 * RECIPIENTS_MAX] if block.strip()]
    return [block for block in found if block.keys()]


def _fields(message: Message) -> str:
    return "".join(f"{name}: {value}\n" for name, value in message.items())


def _failure(block: Message) -> _Failure | None:
    """What a block says; None for a recipient that was reached, or of whom nothing is said."""
    action = (_header(block, "Action") or "").partition(";")[0].strip().lower()
    said = _header(block, "Status")
    diagnostic = _header(block, "Diagnostic-Code")
    status = _STATUS.match(said or "") or _STATUS.search(diagnostic or "")
    if action not in ("failed", "delayed") or (status is not None and status[1] == "2"):
        return None
    named = (_recipient(_header(block, name) or "") for name in ("Original-Recipient", "Final-Recipient"))
    return _Failure(
        recipient=next((address for address in named if address is not None), None),
        hard=action == "failed" and status is not None and status[1] == "5",
        action=action,
        status=None if status is None else status[0],
        diagnostic=_cut(diagnostic),
    )


def _letter(message: Message) -> _Letter:
    senders = _mailboxes(message, "From")
    subject = " ".join(_decoded(_header(message, "Subject") or "").split())
    first_line = _first_line(message).strip()
    to = " ".join(
        _decoded(value)
        for name in ("To", "Cc", "Delivered-To", "X-Original-To", "Envelope-To")
        for value in _all(message, name)
    )
    tokens = (*_ADDRESS_TOKEN.findall(to), *_ADDRESS_TOKEN.findall(subject), *_SUBJECT_TOKEN.findall(subject))
    auto_submitted = (_header(message, "Auto-Submitted") or "no").partition(";")[0].strip().lower()
    return _Letter(
        tokens=tokens,
        sender=senders[0] if len(senders) == 1 else None,
        asks=_asks(subject, first_line),
        automatic=_automatic(message, auto_submitted),
        auto_replied=auto_submitted == "auto-replied",
        evidence={
            name: said[:_EVIDENCE_CHARS_MAX] for name, said in (("subject", subject), ("text", first_line)) if said
        },
    )


def _automatic(message: Message, auto_submitted: str) -> str | None:
    if auto_submitted != "no":
        return "the mail was sent automatically"
    if (_header(message, "Precedence") or "").lower() in ("bulk", "junk", "list", "auto_reply"):
        return "the mail was sent in bulk"
    if (_header(message, "Return-Path") or "").replace(" ", "") == "<>":
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
    texts = [part for part in _leaves(message) if part.get_content_type() == "text/plain"]
    for part in (*texts, *(part for part in _leaves(message) if part.get_content_type() == "text/html")):
        if (_header(part, "Content-Disposition") or "").lower().startswith("attachment"):
            continue
        text = _text(part)[:_LINES_TEXT_CHARS_MAX]
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


# Headers and text of a part.


def _header(message: Message, name: str) -> str | None:
    value: Any = message.get(name)
    return None if value is None else str(value).strip() or None


def _all(message: Message, name: str) -> list[str]:
    # One more than any use allows, so that too many are seen to be.
    values: list[Any] = message.get_all(name, [])[: RECIPIENTS_MAX + 1]
    return [str(value).strip() for value in values]


def _decoded(value: str) -> str:
    try:
        return valid_text(str(make_header(decode_header(value))))
    except (HeaderParseError, LookupError, ValueError):
        return value


def _text(part: Message) -> str:
    payload: Any = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    given = payload[:_TEXT_BYTES_MAX]
    try:
        charset = codecs.lookup(str(part.get_param("charset") or "utf-8")).name
        return given.decode("utf-8" if charset in _SLOW_CHARSETS else charset, "replace")
    except (LookupError, ValueError):
        return given.decode("utf-8", "replace")


def _cut(text: str | None) -> str | None:
    return None if text is None else text[:_EVIDENCE_CHARS_MAX]


def _returned_tokens(original: Message) -> tuple[str, ...]:
    """The tokens in the List-Unsubscribe of a returned message. It may be folded in the middle of one, or encoded."""
    return tuple(
        token
        for value in _all(original, "List-Unsubscribe")
        for found in ("".join(_decoded(value).split()),)
        for token in (*_LINK_TOKEN.findall(found), *_ADDRESS_TOKEN.findall(found))
    )


def _mailboxes(message: Message, name: str) -> list[str | None]:
    """The addresses of a header, each normalised, or None where it is no address that says who."""
    return [_recipient(address) for _, address in getaddresses(_all(message, name)) if address]


def _recipient(text: str) -> str | None:
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
