"""The inline projection: current consent and what else a check needs, written in the append's own transaction.

So what was recorded is what the next check sees. The group is folded here first: one statement may touch a row only once.
A rebuild folds the log with the very same fold and statements. The row that is there gives way only to a greater precedence
(effectiveAt, restrictiveness, position), the one that `domain.consent` defines, so the outcome does not depend on the order
of arrival.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from domain.bounces import Bounce, Bounced, ends_bounce
from domain.consent import RESTRICTIVENESS, ConsentRecord
from domain.double_opt_in import Request, levels_of, request_of
from domain.events import CURRENT_VERSIONS, ConsentCaptured, EventType
from domain.suppression import is_persons_opt_in
from domain.upcasting import upcast
from eventstore.array_literal import array_literal
from projections.happened import Happened
from projections.projection import Projection
from tlog.entry import Entry, instant_text

_CURRENT_CONSENT = """
, projected AS (
    INSERT INTO {table} AS held
        (tenant, contact_point, channel, purpose, topic, unit, value, restrictiveness, effective_at, recorded_at,
         valid_until, position)
    SELECT moved.tenant, u.contact_point, u.channel, u.purpose, coalesce(u.topic, ''), u.unit, u.value,
           u.restrictiveness, u.effective_at, u.recorded_at, u.valid_until, u.position
    FROM moved, unnest(
        ${}::text::uuid[], ${}::text::text[], ${}::text::text[], ${}::text::text[], ${}::text::text[], ${}::text::text[],
        ${}::text::smallint[], ${}::text::timestamptz[], ${}::text::timestamptz[], ${}::text::timestamptz[],
        ${}::text::bigint[]
    ) AS u (contact_point, channel, purpose, topic, unit, value, restrictiveness, effective_at, recorded_at,
            valid_until, position)
    ON CONFLICT (tenant, contact_point, purpose, topic, unit) DO UPDATE
    SET value = excluded.value, restrictiveness = excluded.restrictiveness, effective_at = excluded.effective_at,
        recorded_at = excluded.recorded_at, valid_until = excluded.valid_until, position = excluded.position
    WHERE (excluded.effective_at, excluded.restrictiveness, excluded.position)
        > (held.effective_at, held.restrictiveness, held.position)
)
"""
_PERSONS_OPT_INS = """
, opted_in AS (
    INSERT INTO {table} AS held (tenant, contact_point, purpose, topic, effective_at)
    SELECT moved.tenant, u.contact_point, u.purpose, coalesce(u.topic, ''), u.effective_at
    FROM moved, unnest(${}::text::uuid[], ${}::text::text[], ${}::text::text[], ${}::text::timestamptz[])
        AS u (contact_point, purpose, topic, effective_at)
    ON CONFLICT (tenant, contact_point, purpose, topic) DO UPDATE
    SET effective_at = greatest(held.effective_at, excluded.effective_at)
)
"""
_REQUESTS = """
, requested_opt_in AS (
    INSERT INTO {table} AS held
        (tenant, contact_point, purpose, topic, requested_at, position, expires_at)
    SELECT moved.tenant, u.contact_point, u.purpose, coalesce(u.topic, ''), u.requested_at, u.position, u.expires_at
    FROM moved, unnest(${}::text::uuid[], ${}::text::text[], ${}::text::text[], ${}::text::timestamptz[],
                       ${}::text::bigint[], ${}::text::timestamptz[])
        AS u (contact_point, purpose, topic, requested_at, position, expires_at)
    ON CONFLICT (tenant, contact_point, purpose, topic) DO UPDATE
    SET requested_at = excluded.requested_at, position = excluded.position, expires_at = excluded.expires_at
)
"""
_BOUNCES = """
, bounced AS (
    INSERT INTO {table} (tenant, contact_point, bounced_at, position, ended_at)
    SELECT moved.tenant, u.* FROM moved,
        unnest(${}::text::uuid[], ${}::text::timestamptz[], ${}::text::bigint[], ${}::text::timestamptz[]) AS u
    ON CONFLICT (tenant, contact_point) DO UPDATE
    SET bounced_at = excluded.bounced_at, position = excluded.position, ended_at = excluded.ended_at
), reached AS (
    UPDATE {table} b SET ended_at = greatest(b.ended_at, u.effective_at)
    FROM moved, unnest(${}::text::uuid[], ${}::text::timestamptz[]) AS u (contact_point, effective_at)
    WHERE b.tenant = moved.tenant AND b.contact_point = u.contact_point AND b.bounced_at < u.effective_at
)
"""
_CAPTURED = EventType.CONSENT_CAPTURED
_CURRENT = CURRENT_VERSIONS[_CAPTURED]


def captured(entry: Entry) -> ConsentCaptured | None:
    """The consent that an entry captured, or None for an entry of another type."""
    if entry.type != EventType.CONSENT_CAPTURED:
        return None
    if entry.effective_at is None:
        raise ValueError("a capture without effectiveAt")
    return ConsentCaptured.from_data(upcast(entry.type, entry.version, entry.data), entry.effective_at)


def consent_record(entry: Entry) -> ConsentRecord | None:
    """The record of consent that an entry made, or None for an entry of another type."""
    capture = captured(entry)
    return None if capture is None else capture.record(entry.position, entry.recorded_at)


class Folded(NamedTuple):
    """What a group of entries leads to, before any row that is there already: one row a key, in the order of the log."""

    records: dict[tuple[Hashable, str, str | None, str], tuple[Any, ...]]
    opt_ins: dict[tuple[Hashable, str, str | None], datetime]
    requests: dict[tuple[Hashable, str, str | None], Request]
    bounced: dict[Hashable, Bounced]
    reached: dict[Hashable, datetime]


def fold(entries: Iterable[Happened]) -> Folded:
    """Fold a group of entries: one statement may touch a row only once."""
    records: dict[tuple[Hashable, str, str | None, str], tuple[Any, ...]] = {}
    opt_ins: dict[tuple[Hashable, str, str | None], datetime] = {}
    requests: dict[tuple[Hashable, str, str | None], Request] = {}
    bounced: dict[Hashable, Bounced] = {}
    reached: dict[Hashable, datetime] = {}
    for entry in entries:
        if entry.type != _CAPTURED:
            if entry.type == EventType.CONTACT_POINT_BOUNCED and entry.data["bounce"] == Bounce.HARD:
                # What came before in this group is taken in here.
                bounced[entry.stream] = Bounced(entry.recorded_at, entry.position)
                reached.pop(entry.stream, None)
            if entry.type == EventType.DOUBLE_OPT_IN_REQUESTED:
                # In log order, so the latest of a group stands.
                request = request_of(entry.data, entry.recorded_at, entry.position)
                requests.update({(entry.stream, *level): request for level in levels_of(entry.data)})
            continue
        data = entry.data if entry.version == _CURRENT else upcast(entry.type, entry.version, entry.data)
        key = (entry.stream, data["purpose"], data.get("topic"), data["unit"])
        value = data["value"]
        held = records.get(key)
        # The precedence of `domain.consent`, on plain tuples: this runs for every event.
        precedence = (entry.effective_at, RESTRICTIVENESS[value], entry.position)
        if held is None or precedence > held[0]:
            records[key] = (precedence, data["channel"], value, entry.recorded_at, data.get("validUntil"))
        if is_persons_opt_in(entry.actor, value) and entry.effective_at is not None:
            level = key[:3]
            opt_ins[level] = max(opt_ins.get(level, entry.effective_at), entry.effective_at)
        if entry.effective_at is not None and ends_bounce(entry.actor, data["source"], value):
            if entry.stream in bounced:
                bounced[entry.stream] = bounced[entry.stream].after_opt_in(entry.effective_at)
            else:
                reached[entry.stream] = max(reached.get(entry.stream, entry.effective_at), entry.effective_at)
    return Folded(records, opt_ins, requests, bounced, reached)


def _records(folded: Folded) -> list[Any]:
    keys, rows = list(folded.records), list(folded.records.values())
    return [
        array_literal([key[0] for key in keys]),
        array_literal([row[1] for row in rows]),
        array_literal([key[1] for key in keys]),
        array_literal([key[2] for key in keys]),
        array_literal([key[3] for key in keys]),
        array_literal([row[2] for row in rows]),
        array_literal([row[0][1] for row in rows]),
        array_literal([instant_text(row[0][0]) for row in rows]),
        array_literal([instant_text(row[3]) for row in rows]),
        array_literal([row[4] for row in rows]),
        array_literal([row[0][2] for row in rows]),
    ]


def _opt_ins(folded: Folded) -> list[Any]:
    return [
        array_literal([level[0] for level in folded.opt_ins]),
        array_literal([level[1] for level in folded.opt_ins]),
        array_literal([level[2] for level in folded.opt_ins]),
        array_literal([instant_text(effective_at) for effective_at in folded.opt_ins.values()]),
    ]


def _requests(folded: Folded) -> list[Any]:
    requests = folded.requests.values()
    return [
        array_literal([level[0] for level in folded.requests]),
        array_literal([level[1] for level in folded.requests]),
        array_literal([level[2] for level in folded.requests]),
        array_literal([instant_text(request.requested_at) for request in requests]),
        array_literal([request.position for request in requests]),
        array_literal([instant_text(request.expires_at) for request in requests]),
    ]


def _bounces(folded: Folded) -> list[Any]:
    bounced = folded.bounced.values()
    return [
        array_literal(list(folded.bounced)),
        array_literal([instant_text(one.bounced_at) for one in bounced]),
        array_literal([one.position for one in bounced]),
        array_literal([one.ended_at and instant_text(one.ended_at) for one in bounced]),
        array_literal(list(folded.reached)),
        array_literal([instant_text(effective_at) for effective_at in folded.reached.values()]),
    ]


def _projection(
    name: str, key: tuple[str, ...], ctes: str, parameters: int, columns: Callable[[Folded], list[Any]]
) -> Projection:
    return Projection(
        name=name,
        key=key,
        group=("contact_point", "uuid"),
        ctes=ctes,
        parameters=parameters,
        fold=lambda entries: columns(fold(entries)),
        inline=True,
    )


_LEVEL = ("contact_point", "purpose", "topic")
CURRENT_CONSENT = _projection("current_consent", (*_LEVEL, "unit"), _CURRENT_CONSENT, 11, _records)
PERSONS_OPT_INS = _projection("persons_opt_ins", _LEVEL, _PERSONS_OPT_INS, 4, _opt_ins)
DOUBLE_OPT_IN_REQUESTS = _projection("double_opt_in_requests", _LEVEL, _REQUESTS, 6, _requests)
BOUNCES = _projection("bounces", ("contact_point",), _BOUNCES, 6, _bounces)
INLINE = (CURRENT_CONSENT, PERSONS_OPT_INS, DOUBLE_OPT_IN_REQUESTS, BOUNCES)


_STATEMENTS = {projection.name: projection.ctes.replace("{table}", projection.name) for projection in INLINE}


class InlineCurrentConsent:
    """Keeps all of INLINE; an `eventstore.command.InlineProjection`."""

    def parts(self, entries: Sequence[Entry]) -> list[tuple[str, list[Any]]]:
        """The statements for the rows that a group of entries leads to, each with its parameters."""
        folded = fold(entries)
        parts: list[tuple[str, list[Any]]] = []
        if folded.records:
            parts.append((_STATEMENTS[CURRENT_CONSENT.name], _records(folded)))
        if folded.opt_ins:
            parts.append((_STATEMENTS[PERSONS_OPT_INS.name], _opt_ins(folded)))
        if folded.requests:
            parts.append((_STATEMENTS[DOUBLE_OPT_IN_REQUESTS.name], _requests(folded)))
        if folded.bounced or folded.reached:
            parts.append((_STATEMENTS[BOUNCES.name], _bounces(folded)))
        return parts
