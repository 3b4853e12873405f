"""Receipts: a signed statement of a decision that its holder keeps, and anyone can check (formats in docs/proofs.md).

The question stands in it as a keyed digest, which only the ledger can check, and without the address: a receipt names a
contact point by its id, so that with the log at hand a stranger decides again and compares.
"""

import asyncio
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from domain.addresses import Channel
from domain.decision import Reason
from domain.time import format_instant
from ledger.answers import Answer, explain
from ledger.assembly import Tenant
from ledger.checkpoints import attested_root
from ledger.signing import sign_statement, signing_key
from tlog import canonical_json
from tlog.note import encode_base64

RECEIPT = "consentry/receipt@v1"
_SIGNATURES_PER_TURN = 50


class Answered(NamedTuple):
    """An answer, with what its question named besides: the channel, and a time of knowledge where it gave one."""

    answer: Answer
    channel: Channel
    known_at: datetime | None


async def receipts(tenant: Tenant, answered: Sequence[Answered]) -> list[str]:
    """The receipt of each answer; the same statements for any number of them. Raises what signing raises."""
    await explain([one.answer for one in answered])
    positions = {one.answer.position for one in answered}
    asked = [(one.answer.contact_point, one.answer.position) for one in answered]
    known = [(stream, position) for stream, position in dict.fromkeys(asked) if stream is not None]
    # A receipt names a size and a root, as a checkpoint does: what may not be signed there may not be signed here.
    roots = {position: await attested_root(tenant, position + 1) for position in positions}
    async with tenant.ledger.connection() as connection:
        rows = await connection.fetch(
            "SELECT asked.stream, asked.position, latest.number"
            " FROM unnest($2::uuid[], $3::bigint[]) AS asked (stream, position)"
            " CROSS JOIN LATERAL (SELECT e.number FROM log_entries e WHERE e.tenant = $1 AND e.stream = asked.stream"
            "  AND e.position <= asked.position ORDER BY e.position DESC LIMIT 1) AS latest",
            tenant.id,
            [stream for stream, _ in known],
            [position for _, position in known],
        )
    events = {(row[0], row[1]): row[2] + 1 for row in rows}
    key = await signing_key(tenant)
    signed: list[str] = []
    for one in answered:
        answer = one.answer
        data = _stated(tenant, one, roots[answer.position])
        if answer.contact_point is not None:
            number = events[answer.contact_point, answer.position]
            data["contactPoint"] = {"stream": str(answer.contact_point), "events": number}
        signed.append(sign_statement(key, RECEIPT, data))
        if len(signed) % _SIGNATURES_PER_TURN == 0:
            await asyncio.sleep(0)
    return signed


def _stated(tenant: Tenant, answered: Answered, root: bytes) -> dict[str, Any]:
    answer = answered.answer
    subject = answer.subject
    decision = answer.decision
    question: dict[str, Any] = {
        "channel": str(answered.channel),
        "profile": subject.profile.key,
        "purpose": subject.purpose.key,
        "asOf": format_instant(answer.as_of),
    }
    if subject.topic is not None:
        question["topic"] = subject.topic.key
    if subject.asked_unit is not None:
        question["businessUnit"] = subject.asked_unit
    if answered.known_at is not None:
        question["knownAt"] = format_instant(answered.known_at)
    asked = canonical_json.encode({**question, "address": answer.address.encode("utf-8", "replace").decode()})
    question["digest"] = encode_base64(hmac.digest(tenant.keys.receipts, asked, hashlib.sha256))
    return {
        "question": question,
        "allowed": decision.allowed,
        "trackingAllowed": answer.tracking_allowed,
        "reasons": [_reason(reason) for reason in decision.reasons],
        "position": answer.position,
        "root": encode_base64(root),
        "catalogueVersion": answer.catalogue_position,
        "decidedAt": format_instant(answer.decided_at),
    }


def _reason(reason: Reason) -> dict[str, Any]:
    stated: dict[str, Any] = {
        "code": str(reason.code),
        "purpose": reason.purpose,
        "value": str(reason.value),
        "enforcement": str(reason.enforcement),
    }
    if reason.topic is not None:
        stated["topic"] = reason.topic
    if reason.record is not None:
        stated["position"] = reason.record.position
    return stated
