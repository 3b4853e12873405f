"""The transaction of a change to a webhook: locked, decided, written, and kept with who, when and why.

Each change raises the webhook's version, at which whoever delivers lets go of it and takes it up as it is now.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.refusals import Refusal, RefusalCode
from domain.text import clean_text
from domain.webhooks import OLD_SECRET_VALID
from eventstore.personal.vault import Connected
from eventstore.read import EntryFilter
from ledger import webhook_rows
from ledger.assembly import Caller, Tenant
from ledger.idempotency import first_answer, stored_key
from ledger.webhook_rows import EarlierFilter, Webhook

REASON_CHARS_MAX = 500
EARLIER_FILTERS_MAX = 4


@dataclass(frozen=True, slots=True)
class Changed:
    """A webhook after a change, and the secret that the change made, if any: shown to nobody later."""

    webhook: Webhook
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class After:
    """What a change leads to: the webhook, what of it is kept as its history, and the secret that it made."""

    webhook: Webhook
    details: Mapping[str, Any]
    secret: str | None = field(default=None, repr=False)


async def change_webhook(
    tenant: Tenant,
    caller: Caller,
    webhook: UUID,
    command: str,
    kind: str,
    fields: Mapping[str, Any],
    reason: str | None,
    idempotency_key: str | None,
    change: Callable[[Connected, Webhook], Awaitable[After]],
    expected_version: int | None = None,
) -> Changed:
    """Let `change` decide on a webhook that nobody else changes meanwhile, and write what it decided.

    Raises what `change` raises, and Refusal: NOT_FOUND, VERSION_CONFLICT, IDEMPOTENCY_CONFLICT, INVALID for the reason and
    where the caller is another application.
    """
    reason = clean_reason(reason)
    key = stored_key(tenant, caller.application, idempotency_key, command, fields)
    async with tenant.ledger.connection() as connection, connection.transaction():
        before = await webhook_rows.lock(connection, tenant, webhook)
        if before is None:
            raise no_webhook()
        of_its_own(caller, before.application, "webhook")
        newest: int = await connection.fetchval(
            "SELECT max(number) FROM webhook_secrets WHERE tenant = $1 AND webhook = $2", tenant.id, webhook
        )
        # Only a rotation makes a secret, and its answer names it.
        made = newest + 1 if kind == "SECRET_ROTATED" else 0
        earlier = await first_answer(connection, tenant, key, answer_of(webhook, made))
        if earlier is not None:
            return await answered_again(connection, tenant, earlier)
        if expected_version is not None and expected_version != before.version:
            raise Refusal(
                RefusalCode.VERSION_CONFLICT,
                f"the webhook is at version {before.version} by now; read it again",
                ("expectedVersion",),
            )
        changed = await change(connection, before)
        after = changed.webhook
        await connection.execute(
            "UPDATE webhooks SET origin = $3, sealed_url = $4, filter = $5, personal = $6, status = $7, round = $8,"
            " position = $9, held_position = $10, held_because = $11, held_at = $12, version = version + 1"
            " WHERE tenant = $1 AND webhook = $2",
            tenant.id,
            webhook,
            after.origin,
            webhook_rows.sealed_url(tenant, webhook, after.url),
            webhook_rows.filter_text(after.filter, after.earlier),
            after.personal,
            after.status,
            after.round,
            after.position,
            after.held_position,
            after.held_because,
            after.held_at,
        )
        version, now = before.version + 1, tenant.ledger.clock()
        await note(connection, tenant, caller, webhook, version, kind, changed.details, reason, now)
        return Changed(await existing(connection, tenant, webhook), changed.secret)


async def rewound(connection: Connected, tenant: Tenant, webhook: Webhook) -> int:
    """Forget what waits for another try, to be read again: the position before all of it.

    What is behind that position and was delivered is told from the rest by its row of this round.
    """
    lowest = await connection.fetchval(
        "WITH gone AS (DELETE FROM webhook_unfinished WHERE tenant = $1 AND webhook = $2 RETURNING position)"
        " SELECT min(position) FROM gone",
        tenant.id,
        webhook.id,
    )
    return webhook.position if lowest is None else min(webhook.position, lowest - 1)


def of_its_own(caller: Caller, application: str, field: str) -> None:
    """That who manages an application's webhook is that application; a caller without one is the operator.

    What is taken there counts as its knowledge, and who has its secret can say anything to it in our name.
    Raises Refusal INVALID.
    """
    if caller.application not in (None, application):
        raise Refusal(
            RefusalCode.INVALID,
            f"what a webhook delivers is taken as its application's own word, so only a key of {application} makes or"
            " changes it",
            (field,),
        )


def still_judging(before: Webhook, wanted: EntryFilter, position: int, size: int) -> tuple[EarlierFilter, ...]:
    """The filters that go on beside `wanted`, so that nothing recorded so far and not sent is dropped by the change.

    `position`: up to where everything was sent. Raises Refusal TOO_MANY.
    """
    if wanted.is_empty():
        return ()
    last: dict[str, EarlierFilter] = {}
    for one in (*before.earlier, EarlierFilter(size - 1, before.filter)):
        # The newest comes last, and reaches furthest.
        last[webhook_rows.filter_text(one.filter)] = one
    last.pop(webhook_rows.filter_text(wanted), None)
    kept = tuple(one for one in last.values() if one.to_position > position)
    if len(kept) > EARLIER_FILTERS_MAX:
        raise Refusal(
            RefusalCode.TOO_MANY,
            f"events wait that {EARLIER_FILTERS_MAX} earlier filters let pass; let them be sent before the next change",
            ("filter",),
        )
    return kept


async def note(
    connection: Connected,
    tenant: Tenant,
    caller: Caller,
    webhook: UUID,
    version: int,
    kind: str,
    details: Mapping[str, Any],
    reason: str | None,
    now: datetime,
) -> None:
    """Keep a change for good."""
    await connection.execute(
        "INSERT INTO webhook_changes (tenant, webhook, version, changed_at, application, kind, details, reason)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        tenant.id,
        webhook,
        version,
        now,
        caller.application,
        kind,
        json.dumps(details, sort_keys=True),
        reason,
    )


def answer_of(webhook: UUID, secret_number: int) -> str:
    """What is kept as a command's first answer: the webhook, and the number of the secret that it made, or 0."""
    return f"{webhook}:{secret_number}"


async def answered_again(connection: Connected, tenant: Tenant, answer: str) -> Changed:
    """What a command answered before: the webhook as it is now, and the secret that was made, for as long as it is new."""
    name, _, number = answer.partition(":")
    webhook = await existing(connection, tenant, UUID(name))
    now = tenant.ledger.clock()
    for row in await webhook_rows.signing_secrets(connection, tenant, webhook.id):
        if row.number == int(number) and row.valid_until is None and now - row.created_at < OLD_SECRET_VALID:
            return Changed(webhook, row.secret)
    return Changed(webhook)


async def existing(connection: Connected, tenant: Tenant, webhook: UUID) -> Webhook:
    """The webhook as it is now. Raises Refusal NOT_FOUND."""
    found = await webhook_rows.find(connection, tenant, webhook)
    if found is None:
        raise no_webhook()
    return found


def no_webhook() -> Refusal:
    """The refusal of an id that names none, or one that was deleted."""
    return Refusal(RefusalCode.NOT_FOUND, "there is no webhook with this id", ("webhook",))


def clean_reason(reason: str | None) -> str | None:
    """Why, in words that stay. Raises Refusal INVALID."""
    return clean_text(reason, field="reason", chars_max=REASON_CHARS_MAX)
