"""Managing webhooks: made, changed, paused, resumed, their secrets rotated, sent again from a position, deleted.

Each change keeps when, by which application and why, in the same transaction. It raises the webhook's version, at which
whoever delivers lets go of it and takes it up as it is now.
"""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from domain.catalogue_commands import UNCHANGED, Unchanged
from domain.refusals import Refusal, RefusalCode
from domain.text import clean_key
from domain.webhooks import OLD_SECRET_VALID, WebhookStatus, receiver_url
from eventstore import read
from eventstore.personal.vault import Connected
from eventstore.read import EVERYTHING, EntryFilter
from ledger import webhook_rows
from ledger.assembly import Caller, Tenant
from ledger.history import EventFilter, cursor_position, entry_filter
from ledger.idempotency import first_answer, stored_key
from ledger.webhook_change import (
    After,
    Changed,
    answer_of,
    answered_again,
    change_webhook,
    clean_reason,
    existing,
    no_webhook,
    note,
    of_its_own,
    rewound,
    still_judging,
)
from ledger.webhook_rows import Webhook

WEBHOOKS_MAX = 50
SECRETS_MAX = 5
_LOCK_CLASS = 0x3B00C5


async def create_webhook(
    tenant: Tenant,
    caller: Caller,
    *,
    url: str,
    application: str | None = None,
    event_filter: EventFilter | None = None,
    personal: bool = False,
    after: str | None = None,
    from_position: int | None = None,
    reason: str | None = None,
    idempotency_key: str | None = None,
) -> Changed:
    """Make a webhook of the caller's own application; it starts with what is recorded from now on, unless told.

    Raises Refusal, StoreUnavailable.
    """
    fields = {
        "url": url, "application": application, "filter": event_filter, "personal": personal, "after": after,
        "fromPosition": from_position, "reason": reason,
    }  # fmt: skip
    receiver = receiver_url(url, http_allowed=bool(tenant.ledger.webhook_networks))
    owner = application if application is not None else caller.application
    if owner is None:
        raise Refusal(RefusalCode.INVALID, "application is needed, for no application asks", ("application",))
    owner = clean_key(owner, field="application")
    of_its_own(caller, owner, "application")
    wanted = await _filter(tenant, event_filter)
    _may_carry_personal(caller, personal=personal)
    reason = clean_reason(reason)
    first = _first(tenant, after, from_position)
    webhook_id, secret = uuid4(), webhook_rows.new_secret()
    key = stored_key(tenant, caller.application, idempotency_key, "createWebhook", fields)
    async with tenant.ledger.connection() as connection, connection.transaction():
        # Two at once would both pass the limit.
        await connection.execute("SELECT pg_advisory_xact_lock($1, $2)", _LOCK_CLASS, tenant.id)
        earlier = await first_answer(connection, tenant, key, answer_of(webhook_id, 1))
        if earlier is not None:
            return await answered_again(connection, tenant, earlier)
        known = await connection.fetchval(
            "SELECT EXISTS (SELECT FROM applications WHERE tenant = $1 AND key = $2)", tenant.id, owner
        )
        if not known:
            raise Refusal(RefusalCode.NOT_FOUND, "there is no application with this key", ("application",))
        count = await connection.fetchval(
            "SELECT count(*) FROM webhooks WHERE tenant = $1 AND deleted_at IS NULL", tenant.id
        )
        if count >= WEBHOOKS_MAX:
            raise Refusal(RefusalCode.TOO_MANY, f"a tenant has at most {WEBHOOKS_MAX} webhooks", ())
        size = (await read.head(connection, tenant.id)).size
        if first is not None and first > size:
            raise _beyond_the_end(size)
        now = tenant.ledger.clock()
        await connection.execute(
            "INSERT INTO webhooks (tenant, webhook, application, origin, sealed_url, filter, personal, status, version,"
            " round, position, delivered, failed, created_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, 1, $9, 0, 0, $10)",
            tenant.id,
            webhook_id,
            owner,
            receiver.origin,
            webhook_rows.sealed_url(tenant, webhook_id, receiver.text),
            webhook_rows.filter_text(wanted),
            personal,
            WebhookStatus.ACTIVE,
            (size if first is None else first) - 1,
            now,
        )
        await webhook_rows.add_secret(connection, tenant, webhook_id, secret)
        details = {"application": owner, "personal": personal, "filter": webhook_rows.filter_fields(wanted)}
        await note(connection, tenant, caller, webhook_id, 1, "CREATED", details, reason, now)
        made = await existing(connection, tenant, webhook_id)
    return Changed(made, secret)


async def update_webhook(
    tenant: Tenant,
    caller: Caller,
    *,
    webhook: UUID,
    expected_version: int | None = None,
    url: str | None | Unchanged = UNCHANGED,
    event_filter: EventFilter | None | Unchanged = UNCHANGED,
    personal: bool | None | Unchanged = UNCHANGED,
    status: WebhookStatus | None | Unchanged = UNCHANGED,
    reason: str | None = None,
    idempotency_key: str | None = None,
) -> Changed:
    """Change a webhook: what is left out stays, a filter of None passes everything. ACTIVE resumes one that is held.

    A narrower filter is for what is recorded from now on: what waits to be sent by then is sent all the same.

    Raises Refusal, StoreUnavailable.
    """
    given: dict[str, Any] = {
        name: value
        for name, value in (("url", url), ("filter", event_filter), ("personal", personal), ("status", status))
        if not isinstance(value, Unchanged)
    }
    for name, value in given.items():
        if value is None and name != "filter":
            raise Refusal(RefusalCode.INVALID, f"{name} cannot be cleared", (name,))
    if status is WebhookStatus.HELD:
        raise Refusal(RefusalCode.INVALID, "status is ACTIVE or PAUSED; a webhook is held by itself", ("status",))
    http_allowed = bool(tenant.ledger.webhook_networks)
    receiver = receiver_url(url, http_allowed=http_allowed) if isinstance(url, str) else None
    wanted = None if isinstance(event_filter, Unchanged) else await _filter(tenant, event_filter)
    fields = {
        "webhook": str(webhook), "expectedVersion": expected_version, "reason": reason,
        # A filter that is cleared is something else than one that was left out.
        **given, **({"filter": "cleared"} if event_filter is None else {}),
    }  # fmt: skip

    async def change(connection: Connected, before: Webhook) -> After:
        after = replace(
            before,
            url=receiver.text if receiver else before.url,
            origin=receiver.origin if receiver else before.origin,
            filter=before.filter if wanted is None else wanted,
            personal=personal if isinstance(personal, bool) else before.personal,
            status=status if isinstance(status, WebhookStatus) else before.status,
        )
        # Whoever may not read what is personal must not lead it elsewhere, either.
        if (after.url, after.filter, after.personal) != (before.url, before.filter, before.personal):
            _may_carry_personal(caller, personal=after.personal)
        resumed = status is WebhookStatus.ACTIVE
        if resumed:
            after = replace(after, held_position=None, held_because=None, held_at=None)
        if resumed or after.filter != before.filter:
            after = replace(after, position=await rewound(connection, tenant, before))
        if after.filter != before.filter:
            size = (await read.head(connection, tenant.id)).size
            after = replace(after, earlier=still_judging(before, after.filter, after.position, size))
        details: dict[str, Any] = {name: value for name, value in given.items() if name in ("personal", "status")}
        if receiver is not None:
            details["url"] = "changed"
        if wanted is not None:
            details["filter"] = webhook_rows.filter_fields(after.filter)
        return After(after, details)

    return await change_webhook(
        tenant, caller, webhook, "updateWebhook", "UPDATED", fields, reason, idempotency_key, change, expected_version
    )


async def redeliver_webhook(
    tenant: Tenant,
    caller: Caller,
    *,
    webhook: UUID,
    after: str | None = None,
    from_position: int | None = None,
    reason: str | None = None,
    idempotency_key: str | None = None,
) -> Changed:
    """Send everything again from a position on; what is held or paused is sent again, too. Nothing can be skipped.

    Raises Refusal, StoreUnavailable.
    """
    first = _first(tenant, after, from_position)
    if first is None:
        raise Refusal(RefusalCode.INVALID, "after or fromPosition is needed", ("fromPosition",))
    fields = {"webhook": str(webhook), "after": after, "fromPosition": from_position, "reason": reason}

    async def change(connection: Connected, before: Webhook) -> After:
        if first > before.position + 1:
            raise Refusal(
                RefusalCode.INVALID,
                f"fromPosition is at most {before.position + 1}: what was not sent yet cannot be skipped",
                ("fromPosition" if after is None else "after",),
            )
        position = min(await rewound(connection, tenant, before), first - 1)
        changed = replace(
            before, status=WebhookStatus.ACTIVE, round=before.round + 1, position=position,
            held_position=None, held_because=None, held_at=None,
        )  # fmt: skip
        return After(changed, {"fromPosition": position + 1})

    return await change_webhook(
        tenant, caller, webhook, "redeliverWebhook", "REDELIVERED", fields, reason, idempotency_key, change
    )


async def rotate_webhook_secret(
    tenant: Tenant,
    caller: Caller,
    *,
    webhook: UUID,
    revoke_old: bool = False,
    reason: str | None = None,
    idempotency_key: str | None = None,
) -> Changed:
    """Give a webhook a new secret; the old ones sign beside it for 24 hours, unless they are revoked at once.

    Raises Refusal, StoreUnavailable.
    """
    fields = {"webhook": str(webhook), "revokeOld": revoke_old, "reason": reason}
    secret = webhook_rows.new_secret()

    async def change(connection: Connected, before: Webhook) -> After:
        now = tenant.ledger.clock()
        number = await webhook_rows.add_secret(connection, tenant, before.id, secret)
        if revoke_old:
            await connection.execute(
                "DELETE FROM webhook_secrets WHERE tenant = $1 AND webhook = $2 AND number < $3",
                tenant.id,
                before.id,
                number,
            )
            return After(before, {"oldSecrets": "revoked"}, secret)
        await connection.execute(
            "UPDATE webhook_secrets SET valid_until = coalesce(valid_until, $4)"
            " WHERE tenant = $1 AND webhook = $2 AND number < $3",
            tenant.id,
            before.id,
            number,
            now + OLD_SECRET_VALID,
        )
        await connection.execute(
            "DELETE FROM webhook_secrets WHERE tenant = $1 AND webhook = $2 AND valid_until <= $3",
            tenant.id,
            before.id,
            now,
        )
        if len(await webhook_rows.signing_secrets(connection, tenant, before.id)) > SECRETS_MAX:
            raise Refusal(
                RefusalCode.TOO_MANY, f"at most {SECRETS_MAX} secrets sign at once; revoke the old ones", ("revokeOld",)
            )
        return After(before, {}, secret)

    return await change_webhook(
        tenant, caller, webhook, "rotateWebhookSecret", "SECRET_ROTATED", fields, reason, idempotency_key, change
    )


async def delete_webhook(
    tenant: Tenant,
    caller: Caller,
    *,
    webhook: UUID,
    reason: str | None = None,
    idempotency_key: str | None = None,
) -> None:
    """End a webhook. Its URL and secrets are destroyed; what it delivered, and when, stays.

    Raises Refusal, StoreUnavailable.
    """
    reason = clean_reason(reason)
    fields = {"webhook": str(webhook), "reason": reason}
    key = stored_key(tenant, caller.application, idempotency_key, "deleteWebhook", fields)
    async with tenant.ledger.connection() as connection, connection.transaction():
        before = await webhook_rows.lock(connection, tenant, webhook)
        earlier = await first_answer(connection, tenant, key, answer_of(webhook, 0))
        if before is None:
            if earlier is not None:
                return
            raise no_webhook()
        of_its_own(caller, before.application, "webhook")
        now = tenant.ledger.clock()
        await connection.execute(
            "UPDATE webhooks SET deleted_at = $3, sealed_url = '', version = version + 1"
            " WHERE tenant = $1 AND webhook = $2",
            tenant.id,
            webhook,
            now,
        )
        await connection.execute("DELETE FROM webhook_secrets WHERE tenant = $1 AND webhook = $2", tenant.id, webhook)
        await connection.execute(
            "DELETE FROM webhook_unfinished WHERE tenant = $1 AND webhook = $2", tenant.id, webhook
        )
        await note(connection, tenant, caller, webhook, before.version + 1, "DELETED", {}, reason, now)


async def _filter(tenant: Tenant, event_filter: EventFilter | None) -> EntryFilter:
    if event_filter is None:
        return EVERYTHING
    try:
        return entry_filter(await tenant.latest_catalogue(), event_filter)
    except Refusal as refusal:
        raise refusal.under("filter") from None


def _may_carry_personal(caller: Caller, *, personal: bool) -> None:
    if personal and "read:personal" not in caller.scopes:
        raise Refusal(
            RefusalCode.INVALID,
            "to have personal data sent, and to change where it goes, needs a key with the scope read:personal",
            ("includePersonal",),
        )


def _first(tenant: Tenant, after: str | None, from_position: int | None) -> int | None:
    """The first position to be sent, from a cursor or a position; None where neither is given."""
    if after is not None and from_position is not None:
        raise Refusal(RefusalCode.INVALID, "give after or fromPosition, not both", ("fromPosition",))
    return from_position if after is None else cursor_position(tenant, after, "after") + 1


def _beyond_the_end(size: int) -> Refusal:
    return Refusal(
        RefusalCode.INVALID,
        f"the log ends before position {size}, so that is the last to begin with",
        ("fromPosition",),
    )
