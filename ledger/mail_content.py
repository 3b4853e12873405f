"""What a mail is: a complaint (RFC 5965), a bounce (RFC 3464), a letter that may ask to be unsubscribed, or nothing of ours.

Pure. Whom it is about stands in it as our own tokens, not opened yet, and as addresses, not believed yet.
"""

import re
from dataclasses import dataclass, replace
from email.message import Message

from domain.bounces import Bounce, bounce_of
from domain.refusals import Refusal
from ledger.mail_letters import Letter, letter_of
from ledger.mail_parts import (
    DEPTH_MAX,
    EVIDENCE_CHARS_MAX,
    RECIPIENTS_MAX,
    all_of,
    cut,
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
from ledger.mail_tokens import original_in, returned_tokens

_STATUS = re.compile(r"(?<![\d.])([245])\.\d{1,3}\.\d{1,3}(?![\d.])", re.ASCII)
_REACHED = frozenset({"delivered", "relayed", "expanded"})
_COMPLAINTS = frozenset({"abuse", "fraud"})
# Pressed in a mail program, too: out of this list, or of all that this sender sends.
_OPT_OUT_OF_LIST, _OPT_OUT = "opt-out-list", "opt-out"


@dataclass(frozen=True, slots=True)
class Ignored:
    """A mail of which nothing follows, and why."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """What a feedback report says. `of_everything`: not of this message's purpose only."""

    of_everything: bool
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
    """What a delivery status says: of how many recipients, which were reached, and which not."""

    tokens: tuple[str, ...]
    failures: tuple[Failure, ...]
    original_message_id: str | None
    recipients: int
    reached: frozenset[str]

    def of(self, address: str) -> Failure | None:
        """What it says of one address: each block is about its own recipient (RFC 3464 section 2.3), and no other.

        Where there is one block only, and it hides whom it is about, it is about whom the message was for.
        """
        if address in self.reached:
            return None
        own = [failure for failure in self.failures if failure.recipient == address]
        if not own and self.recipients == 1 and self.failures[0].recipient is None:
            own = [replace(self.failures[0], recipient=address)]
        return max(own, key=lambda failure: failure.hard, default=None)


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
    return letter_of(message)


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


def _complaint(part: Message | None, original: Message | None) -> Ignored | Complaint:
    fields = None if part is None else (inner_parts(part) or [headers_in(text_of(part))])[0]
    types = [] if fields is None else [said.lower() for said in all_of(fields, "Feedback-Type")]
    if fields is None or len(types) != 1:
        raise unreadable("it is a feedback report that does not say its Feedback-Type exactly once")
    [kind] = types
    if kind not in _COMPLAINTS | {_OPT_OUT, _OPT_OUT_OF_LIST}:
        return Ignored(
            "the feedback report is no complaint: its Feedback-Type is none of abuse, fraud, opt-out and opt-out-list"
        )
    message_id = None if original is None else header(original, "Message-ID")
    evidence = {
        "feedbackType": kind,
        "userAgent": header(fields, "User-Agent"),
        "originalMessageId": message_id or header(fields, "Original-Message-ID"),
    }
    tokens = () if original is None else returned_tokens(original)
    named = [recipient_of(text) for text in all_of(fields, "Original-Rcpt-To")]
    # Where there may be a link of ours that says whom it is about, nothing else is asked.
    if len(named) > RECIPIENTS_MAX and not tokens:
        raise unreadable(f"its feedback report has more than {RECIPIENTS_MAX} recipients")
    if not any(named) and original is not None:
        # Of several it does not say which one complains.
        named = mailboxes(original, "To")
        named = named if len(named) == 1 else []
    return Complaint(
        of_everything=kind == _OPT_OUT,
        tokens=tokens,
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
        tokens=() if original is None else returned_tokens(original),
        failures=failures,
        original_message_id=None if original is None else cut(header(original, "Message-ID")),
        recipients=len(about),
        reached=frozenset(
            recipient for block in about if _action(block) in _REACHED and (recipient := _recipient(block)) is not None
        ),
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
    action = _action(block)
    said = header(block, "Status")
    diagnostic = header(block, "Diagnostic-Code")
    status = _STATUS.match(said or "") or _STATUS.search(diagnostic or "")
    if action not in ("failed", "delayed") or (status is not None and status[1] == "2"):
        return None
    return Failure(
        recipient=_recipient(block),
        hard=action == "failed" and status is not None and bounce_of(status[0]) is Bounce.HARD,
        action=action,
        status=None if status is None else status[0],
        diagnostic=cut(diagnostic),
    )


def _action(block: Message) -> str:
    return (header(block, "Action") or "").partition(";")[0].strip().lower()


def _recipient(block: Message) -> str | None:
    named = (recipient_of(header(block, name) or "") for name in ("Original-Recipient", "Final-Recipient"))
    return next((address for address in named if address is not None), None)
