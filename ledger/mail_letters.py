"""A mail that is no report: whether a person wrote it, and asks in it to be unsubscribed. Pure.

Short words that ask are taken as an opt-out when in doubt; a long letter, or an automatic one, is about something else.
"""

import re
from dataclasses import dataclass
from email.message import Message

from domain.opt_out_wording import asks_to_stop
from domain.sms_keywords import WORDS_AFTER_STOP_MAX, Keyword, keyword_of, words_of
from ledger.mail_own_text import own_text
from ledger.mail_parts import EVIDENCE_CHARS_MAX, decoded, header, mailboxes
from ledger.mail_tokens import SUBJECT_TOKEN, asking_tokens, quoted_tokens

_SUBJECT_WORDS_MAX = 12
_LINE_WORDS_MAX = 25
_TEXT_WORDS_MAX = 60
# What relays put before a subject, which changes nothing about whose words it is.
_TAGS = re.compile(r"\A(?:\[[^\[\]]{1,40}\][ :]*|\*{2,}[^*]{1,30}\*{2,} ?|(?:external|extern) ?: ?)+", re.IGNORECASE)
_REPLY = re.compile(
    r"\A(?:(?:re|aw|antw|sv|rif|rv|ref|fwd?|wg|tr|i|vs|rép|رد)(?:\[\d+\])? ?: ?|\[[^\[\]]{1,40}\] ?)+", re.IGNORECASE
)
_AUTOMATIC_SUBJECT = re.compile(
    r"(?:out of (?:the )?office|auto(?:matic|mated)?[ -]?(?:reply|response)|abwesen(?:d|heit)|automatische antwort"
    r"|réponse automatique|absence du bureau|respuesta automática|fuera de la oficina|رد تلقائي)",
    re.IGNORECASE,
)
_UNSUBSCRIBE_WORDS = frozenset(
    words_of(spelling)
    for spelling in (
        *("unsubscribe", "unsubscribe me", "unsubscribe please", "unsubscribe me please", "unsubscribe all"),
        *("please unsubscribe", "please unsubscribe me", "unsubscribe request", "unsubscribe from list"),
        *("list unsubscribe", "list unsubscribe request", "listunsubscribe"),
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
class Letter:
    """A mail that may ask to be unsubscribed. `automatic`: why it was no person who wrote it.

    `tokens` ask by themselves; `quoted` only say which message a mail is about that asks in words.
    """

    tokens: tuple[str, ...]
    quoted: tuple[str, ...]
    sender: str | None
    asks: bool
    automatic: str | None
    auto_replied: bool
    evidence: dict[str, str]


def letter_of(message: Message) -> Letter:
    """What a mail that is no report says."""
    senders = mailboxes(message, "From")
    subject = " ".join(decoded(header(message, "Subject") or "").split())
    text = own_text(message)
    asks = _asks_by_subject(subject) or _asks_by_text(text)
    auto_submitted = (header(message, "Auto-Submitted") or "no").partition(";")[0].strip().lower()
    return Letter(
        tokens=asking_tokens(message, subject),
        quoted=quoted_tokens(message) if asks else (),
        sender=senders[0] if len(senders) == 1 else None,
        asks=asks,
        automatic=_automatic(message, auto_submitted, subject),
        auto_replied=auto_submitted == "auto-replied",
        evidence={name: said[:EVIDENCE_CHARS_MAX] for name, said in (("subject", subject), ("text", text)) if said},
    )


def _automatic(message: Message, auto_submitted: str, subject: str) -> str | None:
    if auto_submitted != "no":
        return "the mail was sent automatically"
    if (header(message, "Precedence") or "").lower() in ("bulk", "junk", "list", "auto_reply"):
        return "the mail was sent in bulk"
    if (header(message, "Return-Path") or "").replace(" ", "") == "<>":
        return "the mail is a bounce without a report"
    if any(header(message, name) for name in ("X-Autoreply", "X-Autorespond", "X-Autoresponder")):
        return "the mail is an automatic reply"
    if _AUTOMATIC_SUBJECT.match(_TAGS.sub("", subject)):
        return "the mail is an automatic reply, by its subject"
    return None


def _asks_by_subject(subject: str) -> bool:
    untagged = _TAGS.sub("", subject)
    # A subject that is replied to is the sender's own: there only the bare word counts.
    own = _REPLY.sub("", untagged)
    # A token that names nothing here is no word of the person.
    bare = SUBJECT_TOKEN.sub(" ", own)
    own_words = own == untagged
    return _is_unsubscribe(bare, own_words=own_words) or (
        own_words and asks_to_stop(bare, words_max=_SUBJECT_WORDS_MAX)
    )


def _asks_by_text(text: str) -> bool:
    first = next((line for line in text.splitlines() if words_of(line)), "")
    return (
        _is_unsubscribe(first, own_words=True)
        or asks_to_stop(first, words_max=_LINE_WORDS_MAX)
        or asks_to_stop(text, words_max=_TEXT_WORDS_MAX)
    )


def _is_unsubscribe(line: str, *, own_words: bool) -> bool:
    words = words_of(line)
    if own_words and len(words) <= 1 + WORDS_AFTER_STOP_MAX and words[:1] in _UNMISTAKABLE:
        return True
    return words in _UNSUBSCRIBE_WORDS or keyword_of(line, alone=True) is Keyword.STOP
