"""Links to a page of a profile's own: a web address with placeholders, which a sender's values fill for each message."""

import re
from urllib.parse import urlsplit

from domain.refusals import Refusal, RefusalCode
from domain.text import clean_text

LINK_CHARS_MAX = 2_000
OURS = ("messageid", "purposeid", "topicid")
_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_NOT_IN_HOST = ("@", "{", "}", "\\")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


def external_link(value: str | None) -> str | None:
    """A link as it is held; None for none. Raises Refusal INVALID: what is wrong with it, and what would be right.

    A placeholder of another name than ours is an attribute, which the sender passes with each message.
    """
    link = clean_text(value, field="externalLink", chars_max=LINK_CHARS_MAX)
    if link is None:
        return None
    for name in _PLACEHOLDER.findall(link):
        _check(name)
    if "{{" in (rest := _PLACEHOLDER.sub("", link)) or "}}" in rest:
        raise _refusal("externalLink has a placeholder that is not closed: write it as {{name}}")
    try:
        parts = urlsplit(link)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in link
        # Where it leads is not for a sender's attributes to say, nor a password for everybody to read.
        good = good and not any(sign in parts.netloc for sign in _NOT_IN_HOST) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise _refusal("externalLink must be an http or https URL, its host without user, password or placeholder")
    return link


def _check(name: str) -> None:
    if name in OURS:
        return
    meant = re.sub(r"[^a-z]", "", name.lower())
    if meant in OURS:
        raise _refusal(f"externalLink has the placeholder {{{{{name}}}}}: write {{{{{meant}}}}}")
    if _NAME.fullmatch(name) is None:
        raise _refusal(
            "externalLink has a placeholder that is none: it is {{messageid}}, {{purposeid}}, {{topicid}}, or the name of an "
            "attribute that you pass with each message, a letter and up to 63 letters, digits, _ . or -"
        )


def _refusal(message: str) -> Refusal:
    return Refusal(RefusalCode.INVALID, message, ("externalLink",))
