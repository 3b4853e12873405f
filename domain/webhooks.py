"""The rules of webhooks: which URLs may be told, what a filter may say, when to try again, and when to hold.

    ACTIVE --updateWebhook--> PAUSED --updateWebhook--> ACTIVE
    ACTIVE --an event failed for three days, or the receiver answered 410--> HELD --updateWebhook, redeliverWebhook--> ACTIVE

Nothing is ever dropped: what is held or paused stands still at its position.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import urlsplit

from domain.refusals import Refusal, RefusalCode

URL_CHARS_MAX = 2_000
HELD_AFTER = timedelta(days=3)
OLD_SECRET_VALID = timedelta(hours=24)
_LABEL_CHARS_MAX = 63
_FIRST_DELAY_S = 5.0
_DELAY_FACTOR = 3
_DELAY_MAX_S = 4 * 3_600.0
_RETRY_AFTER_MAX_S = 24 * 3_600.0
_JITTER = 0.2


class WebhookStatus(StrEnum):
    """Whether events are sent."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    HELD = "HELD"


@dataclass(frozen=True, slots=True)
class Retry:
    """What follows a failure: the next attempt, or None where the webhook is held."""

    at: datetime | None


def retry(
    *, attempts: int, first_failed_at: datetime, now: datetime, jitter: float, asked: timedelta | None = None
) -> Retry:
    """What follows the failure of attempt number `attempts`; `jitter` is from 0 to 1, `asked` what the receiver wants.

    The last attempt is at the end of the three days, not before.
    """
    end = first_failed_at + HELD_AFTER
    if now >= end:
        return Retry(None)
    # The exponent is bounded: three to the power of a thousand is no float.
    delay_s = min(_FIRST_DELAY_S * _DELAY_FACTOR ** min(attempts - 1, 20), _DELAY_MAX_S)
    delay_s *= 1 + _JITTER * (2 * jitter - 1)
    if asked is not None:
        delay_s = max(delay_s, min(asked.total_seconds(), _RETRY_AFTER_MAX_S))
    return Retry(min(now + timedelta(seconds=delay_s), end))


def retry_after(text: str | None, now: datetime) -> timedelta | None:
    """What `Retry-After` asks for (RFC 9110 section 10.2.3): seconds or a date; None for anything else."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return timedelta(seconds=int(text))
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return at - now if at.tzinfo is not None and at > now else None


@dataclass(frozen=True, slots=True)
class ReceiverUrl:
    """Where a webhook is sent: the URL, which may hold a credential, and what of it may be shown."""

    text: str
    origin: str

    def __repr__(self) -> str:
        return f"ReceiverUrl({self.origin!r})"


def receiver_url(text: str, *, http_allowed: bool) -> ReceiverUrl:
    """A URL that a webhook may be sent to. Raises Refusal INVALID, which quotes nothing of it.

    Whether its address may be asked is decided anew at each connection; here only what can never be is refused.
    """
    schemes = ("https", "http") if http_allowed else ("https",)
    wanted = " or ".join(f"{scheme}://host/path" for scheme in schemes)
    refusal = Refusal(
        RefusalCode.INVALID,
        f"url must be {wanted}, in printable ASCII, without a fragment, at most {URL_CHARS_MAX} characters",
        ("url",),
    )
    if len(text) > URL_CHARS_MAX or not all("!" <= character <= "~" for character in text) or "#" in text:
        raise refusal
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise refusal from None
    if parts.scheme not in schemes or not host or port == 0 or "\\" in text:
        raise refusal
    if ":" not in host and not all(0 < len(label) <= _LABEL_CHARS_MAX for label in host.removesuffix(".").split(".")):
        raise refusal
    shown = f"[{host}]" if ":" in host else host
    if ":" in host:
        try:
            ip_address(host)
        except ValueError:
            raise refusal from None
    return ReceiverUrl(text, f"{parts.scheme}://{shown}" + ("" if port is None else f":{port}"))
