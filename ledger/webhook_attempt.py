"""One attempt to deliver one event: what is sent, how it is signed (Standard Webhooks), and what the answer means."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from standardwebhooks import Webhook as Signer

from domain.webhooks import retry_after
from ledger.outgoing import NotAnswered, OutgoingClient
from ledger.webhook_rows import SecretRow, Webhook

TIMEOUT_S = 15.0
_GONE = 410


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent of an event: its id, the same at every attempt, and the JSON text."""

    id: str
    body: str


@dataclass(frozen=True, slots=True)
class Took:
    """The receiver took it."""

    status: int
    at: datetime


@dataclass(frozen=True, slots=True)
class TookNot:
    """The receiver did not take it: why, when it wants to be asked again, and whether never again."""

    said: str
    asked: timedelta | None = None
    gone: bool = False


def signatures(secrets: Sequence[SecretRow], message: Message, at: datetime) -> str:
    """The header `webhook-signature`: one signature by each secret that is valid then."""
    valid = [row for row in secrets if row.valid_until is None or row.valid_until > at]
    return " ".join(Signer(row.secret).sign(message.id, at, message.body) for row in valid)


async def attempt(
    client: OutgoingClient,
    webhook: Webhook,
    secrets: Sequence[SecretRow],
    message: Message,
    clock: Callable[[], datetime],
) -> Took | TookNot:
    """Send it once."""
    at = clock()
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message.id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signatures(secrets, message, at),
    }
    try:
        answer = await client.post(webhook.url, message.body.encode(), headers)
    except NotAnswered as error:
        return TookNot(str(error))
    if 200 <= answer.status < 300:
        return Took(answer.status, clock())
    if 300 <= answer.status < 400:
        return TookNot(f"it answered {answer.status}: redirects are not followed; give the URL that it leads to")
    if answer.status == _GONE:
        return TookNot("it answered 410: it wants no more", gone=True)
    return TookNot(f"it answered {answer.status}", retry_after(answer.retry_after, clock()))


Send = Callable[[Message], Awaitable[Took | TookNot]]
