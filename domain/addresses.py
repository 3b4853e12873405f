"""Addresses: normalise or refuse. Two spellings of one address must become one, or an opt-out would be lost.

EMAIL: trimmed, NFC, IDNA domain, casefolded. SMS and VOICE: E.164 with its +. PUSH and CUSTOM: as they are, trimmed.
What normalisation gives is what the blind index is made over, so a change here would need every address to be indexed
anew: the tests pin its results. No message or repr holds an address.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache

import idna
import phonenumbers

from domain.refusals import Refusal, RefusalCode

ADDRESS_CHARS_MAX = 400
LOCAL_PART_OCTETS_MAX = 64  # RFC 5321 section 4.5.3.1.1
EMAIL_OCTETS_MAX = 254  # RFC 5321 section 4.5.3.1.3: a path of 256 octets with its angle brackets


class Channel(StrEnum):
    """How a message goes."""

    EMAIL = "EMAIL"
    SMS = "SMS"
    VOICE = "VOICE"
    PUSH = "PUSH"
    CUSTOM = "CUSTOM"


# Dot-separated labels that IDNA leaves as they are: letters, digits and inner hyphens, none of which starts as an
# A-label does or has its hyphens in the third and fourth place, and a last one that is not all digits.
_LABEL = r"(?!..--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_ATOM = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]"
_PLAIN = rf"{_ATOM}++(?:\.{_ATOM}++)*+@(?:{_LABEL}\.)+(?!\d+$){_LABEL}"
_PLAIN_EMAIL = re.compile(_PLAIN, re.ASCII)
# One match for each line, which has the line where it is plain and as short as it may be before the @, else nothing.
_PLAIN_LINES = re.compile(rf"^(?:((?=[^@\n]{{1,{LOCAL_PART_OCTETS_MAX}}}@){_PLAIN})|.*)$", re.ASCII | re.MULTILINE)
_BLANK_OR_CONTROL = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]")
_TRIMMED = " \t\r\n\v\f\u00a0\u2007\u202f\u3000\ufeff"


def normalise(channel: Channel, address: str) -> str:
    """The one spelling of an address of this channel. Raises Refusal INVALID_ADDRESS."""
    if channel is Channel.EMAIL and len(address) <= EMAIL_OCTETS_MAX:
        # Nearly all are plain, and batches bring thousands: what matches has nothing to trim, to fold or to encode.
        lowered = address.lower()
        if _PLAIN_EMAIL.fullmatch(lowered) and lowered.find("@") <= LOCAL_PART_OCTETS_MAX:
            return lowered
    if len(address) > ADDRESS_CHARS_MAX + 2 * ADDRESS_CHARS_MAX:
        raise _refusal(f"an address has at most {ADDRESS_CHARS_MAX} characters")
    trimmed = address.strip(_TRIMMED)
    if not trimmed:
        raise _refusal("the address is empty")
    if len(trimmed) > ADDRESS_CHARS_MAX:
        raise _refusal(f"an address has at most {ADDRESS_CHARS_MAX} characters")
    return _NORMALISERS[channel](trimmed)


def normalise_all(channel: Channel, addresses: Sequence[str]) -> list[str | None]:
    """What `normalise` gives for each; None is the place of one that it refuses."""
    if channel is not Channel.EMAIL or max(map(len, addresses), default=0) > EMAIL_OCTETS_MAX:
        return [_or_none(channel, address) for address in addresses]
    lines = _PLAIN_LINES.findall("\n".join(addresses).lower())
    if len(lines) != len(addresses):
        # None at all, or one with a line break in it: then a line is not an address.
        return [_or_none(channel, address) for address in addresses]
    return [line or _or_none(channel, address) for line, address in zip(lines, addresses, strict=True)]


def _or_none(channel: Channel, address: str) -> str | None:
    try:
        return normalise(channel, address)
    except Refusal:
        return None


def _email(trimmed: str) -> str:
    lowered = trimmed.lower()
    normalised = lowered if _PLAIN_EMAIL.fullmatch(lowered) else _any_email(trimmed)
    local, _, _ = normalised.partition("@")
    if len(local.encode()) > LOCAL_PART_OCTETS_MAX or len(normalised.encode()) > EMAIL_OCTETS_MAX:
        raise _refusal("the e-mail address is longer than mail systems take")
    return normalised


def _any_email(trimmed: str) -> str:
    """The whole rule, for what is not plain ASCII."""
    local, at, domain = trimmed.rpartition("@")
    if not at or not local or not domain or "@" in local:
        raise _refusal("an e-mail address is a name, one @ and a domain")
    try:
        # Folded until it no longer changes: NFC after casefold can leave what casefold would change again.
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", local).casefold())
        folded = unicodedata.normalize("NFC", folded.casefold())
        folded.encode()
    except UnicodeEncodeError as error:
        raise _refusal("the address is not valid Unicode text") from error
    if _BLANK_OR_CONTROL.search(folded) or folded.startswith(".") or folded.endswith(".") or ".." in folded:
        raise _refusal("the part before the @ has blanks, control characters or misplaced dots")
    if any(character in '()<>[]:;,\\"' for character in folded):
        raise _refusal("the part before the @ has a character that addresses do not have")
    return f"{folded}@{_domain(domain)}"


@lru_cache(maxsize=1_000)
def _domain(domain: str) -> str:
    try:
        encoded = idna.encode(unicodedata.normalize("NFC", domain).casefold(), uts46=True).decode("ascii").lower()
        # Each A-label must be what its own Unicode form gives, or one domain had two spellings.
        encoded = idna.encode(idna.decode(encoded), uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError) as error:
        raise _refusal("the part after the @ is not a domain name") from error
    if "." not in encoded or encoded.endswith(".") or encoded.rpartition(".")[2].isdigit():
        raise _refusal("the part after the @ is not a domain name")
    return encoded


def _phone(trimmed: str) -> str:
    try:
        number = phonenumbers.parse(trimmed, None)
    except phonenumbers.NumberParseException as error:
        raise _refusal("a phone number is written with + and its country code, such as +4930123456") from error
    if not trimmed.startswith(("+", "\uff0b")) or number.extension:
        raise _refusal("a phone number is written with + and its country code, and without an extension")
    if not phonenumbers.is_possible_number(number):
        raise _refusal("no country has phone numbers of this length")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _opaque(trimmed: str) -> str:
    try:
        trimmed.encode()
    except UnicodeEncodeError as error:
        raise _refusal("the address is not valid Unicode text") from error
    if any(unicodedata.category(character) == "Cc" for character in trimmed):
        raise _refusal("an address has no control characters")
    return trimmed


_NORMALISERS: Mapping[Channel, Callable[[str], str]] = {
    Channel.EMAIL: _email,
    Channel.SMS: _phone,
    Channel.VOICE: _phone,
    Channel.PUSH: _opaque,
    Channel.CUSTOM: _opaque,
}


def _refusal(message: str) -> Refusal:
    return Refusal(RefusalCode.INVALID_ADDRESS, message, ("address",))
