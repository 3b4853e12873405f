"""What the writer of a mail wrote: its text without what it quotes, and without signatures. Pure.

Programs mark a quotation in many ways. What is not recognised as one stays, so a short text of the writer's may look long.
"""

import html
import re
from email.message import Message

from domain.sms_keywords import words_of
from ledger.mail_parts import header, leaves, text_of

_TEXT_CHARS_MAX = 10_000
_ORIGINAL = re.compile(
    r"\W*(?:original message|original appointment|ursprüngliche nachricht|originalnachricht|message d'origine"
    r"|message original|mensaje original|forwarded message|begin forwarded message|weitergeleitete nachricht"
    r"|message transféré|mensaje reenviado|الرسالة الأصلية)\W*",
    re.IGNORECASE,
)
_RULE = re.compile(r"\s*_{10,}\s*")
_SAID_BY = re.compile(r".*(?:\bwrote|\bschrieb|\ba écrit|\bescribió|كتب)\b.{0,200}:\s*", re.IGNORECASE)
_FROM = re.compile(r"\*?(?:from|von|de|من)\s?:\*?\s?\S.*", re.IGNORECASE)
_FIELD = re.compile(r"\*?[^\W\d_][^:<>]{1,15}:\*?\s?\S.*")
_OF_THE_DEVICE = re.compile(
    r"(?:sent from|get outlook for|von meinem|gesendet von|envoyé (?:de|depuis)|enviado desde|أُ?رسل من)\b.{0,80}",
    re.IGNORECASE,
)
# Where mail programs begin what they quote in HTML.
_QUOTE_MARKS = re.compile(
    r"<blockquote|<div[^<>]{0,200}(?:gmail_quote|yahoo_quoted|moz-cite-prefix|divRplyFwdMsg|appendonsend|OLK_SRC_BODY)",
    re.IGNORECASE,
)

_NO_CHARACTER = re.compile(r"&#0*[1-9][0-9]{7,};?")
_UNSHOWN = re.compile(r"<(style|script|head)\b", re.IGNORECASE | re.ASCII)
_UNSHOWN_ENDS = {name: re.compile(rf"</{name}\s*>", re.IGNORECASE | re.ASCII) for name in ("style", "script", "head")}


def own_text(message: Message) -> str:
    """The text of the first part that has words of the writer's own; empty where there is none."""
    texts = [part for part in leaves(message) if part.get_content_type() == "text/plain"]
    for part in (*texts, *(part for part in leaves(message) if part.get_content_type() == "text/html")):
        if (header(part, "Content-Disposition") or "").lower().startswith("attachment"):
            continue
        text = text_of(part)[:_TEXT_CHARS_MAX]
        own = own_of(_text_of_html(text) if part.get_content_type() == "text/html" else text)
        if words_of(own):
            return own
    return ""


def own_of(text: str) -> str:
    """A text without its quotations and signatures."""
    lines = text.splitlines()
    kept: list[str] = []
    for number, line in enumerate(lines):
        bare = line.strip()
        if bare == "--" or _ORIGINAL.fullmatch(bare) or _RULE.fullmatch(bare):
            break
        following = next((later.strip() for later in lines[number + 1 : number + 4] if later.strip()), "")
        if _FROM.fullmatch(bare) and _FIELD.fullmatch(following):
            break
        if _SAID_BY.fullmatch(bare[:400]):
            if not following.startswith(">"):
                break
            continue
        if not bare.startswith(">") and not _OF_THE_DEVICE.fullmatch(bare):
            kept.append(line.rstrip())
    return "\n".join(kept).strip()


def _text_of_html(text: str) -> str:
    mark = _QUOTE_MARKS.search(text)
    if mark is not None:
        # Whoever writes below what they quote is heard, too.
        end = text.lower().rfind("</blockquote")
        text = text[: mark.start()] + "\n" + (text[end:] if end > mark.start() else "")
    without = without_unshown(text)
    lines = re.sub(r"<(?:br|/?p|/?div|/?tr|/?h[1-6]|/?blockquote|li)\b[^<>]*>", "\n", without, flags=re.IGNORECASE)
    # No character has so long a number, and the library fails at one of thousands of digits.
    return html.unescape(_NO_CHARACTER.sub("\N{REPLACEMENT CHARACTER}", re.sub(r"<[^<>]*>", "", lines)))


def without_unshown(text: str) -> str:
    """HTML without the elements that no reader sees, of those that are closed. Looks through the text once, or once more."""
    kept: list[str] = []
    at, searched_from, unclosed = 0, 0, set[str]()
    while (start := _UNSHOWN.search(text, searched_from)) is not None:
        name = start[1].lower()
        end = None if name in unclosed else _UNSHOWN_ENDS[name].search(text, start.end())
        if end is None:
            # Then it has no end further on, either.
            unclosed.add(name)
            searched_from = start.end()
            continue
        kept.append(text[at : start.start()])
        at = searched_from = end.end()
    return "".join((*kept, text[at:]))
