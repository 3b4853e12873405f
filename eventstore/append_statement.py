"""The one statement that writes a group, and its parameters: sql/append.sql with the parts that the group has something for.

Most groups have no notices, no double opt-ins, no bounces: to leave these out saves the database a third of what a small
group costs. The driver encodes an array element by element in Python, so there are hardly any: numbers, ids and texts go as
array literals, and bytes as one piece, out of which the statement cuts each one's part: by their width where all have the
same, or else by where they start and how long they are.
"""

from collections.abc import Collection, Sequence
from itertools import accumulate
from typing import Any

from eventstore.append_group import Group
from eventstore.array_literal import array_literal, plain_literal
from eventstore.command import ErasureStep, InlineProjection
from eventstore.idempotency import HASH_BYTES as KEY_HASH_BYTES
from eventstore.idempotency import KEPT_DIGEST_BYTES
from eventstore.personal.blind_index import BLIND_INDEX_BYTES
from eventstore.personal.keyring import WRAPPED_KEY_BYTES
from eventstore.sql import statement
from tlog.hashing import HASH_BYTES

_APPEND = statement("append")
_RECORDS = statement("append_records")
_SUBJECTS = statement("append_subjects")
_ITEMS = statement("append_items")
_NOTICES = statement("append_notices")
_NODES = statement("append_nodes")
_ERASURE = statement("append_erasure")
_SUPPRESSIONS = statement("append_suppressions")
_PARTS = "-- parts"
_FIRST_OF_PARTS = 22

Part = tuple[str, list[Any]]
"""Statements, as `, name AS (...)`, that select from `moved`; each `{}` is the number of one of these parameters, in order."""


class AppendStatement:
    """Makes the statement for groups of one tenant's log."""

    def __init__(self, tenant: int, projection: InlineProjection) -> None:
        self._tenant = tenant
        self._projection = projection
        self._texts: dict[tuple[str, ...], str] = {}

    def of(self, group: Group) -> tuple[str, list[Any]]:
        """(the statement that writes a group, its parameters)."""
        entries = [stored.entry for stored in group.entries]
        parts = [*_parts(group), *self._projection.parts(entries)]
        key = tuple([text for text, _ in parts])
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = _numbered(parts)
        head, after, columns = group.head, group.after, group.columns
        arguments = [
            self._tenant,
            head.size,
            head.epoch,
            after.size,
            after.frontier,
            after.root,
            after.recorded_at,
            after.catalogue_position,
            plain_literal([entry.stream for entry in entries]),
            plain_literal([entry.number for entry in entries]),
            array_literal([entry.type for entry in entries]),
            array_literal([column.channel for column in columns]),
            array_literal([column.purpose for column in columns]),
            array_literal([column.topic for column in columns]),
            array_literal([column.value for column in columns]),
            array_literal([column.source for column in columns]),
            array_literal([entry.application for entry in entries]),
            *_places([stored.raw for stored in group.entries]),
            b"".join([stored.raw for stored in group.entries]),
            _of_width([stored.leaf_hash for stored in group.entries], HASH_BYTES),
        ]
        for _, more in parts:
            arguments += more
        return text, arguments


def _numbered(parts: Sequence[Part]) -> str:
    number = _FIRST_OF_PARTS
    texts: list[str] = []
    for text, arguments in parts:
        if text.count("{}") != len(arguments):
            raise ValueError("a part of the statement has another number of parameters")
        texts.append(text.format(*range(number, number + len(arguments))))
        number += len(arguments)
    return _APPEND.replace(_PARTS, "".join(texts))


def _parts(group: Group) -> list[Part]:
    parts: list[Part] = []
    if group.records:
        records = group.records.values()
        parts.append(
            (
                _RECORDS,
                [
                    _of_width(group.records, KEY_HASH_BYTES),
                    _of_width([record[0][:KEPT_DIGEST_BYTES] for record in records], KEPT_DIGEST_BYTES),
                    plain_literal([record[1] for record in records]),
                    plain_literal([record[2] for record in records]),
                ],
            )
        )
    if group.subjects:
        subjects = group.subjects
        sealed = [subject.sealed_address for subject in subjects]
        parts.append(
            (
                _SUBJECTS,
                [
                    _of_width([subject.blind_index for subject in subjects], BLIND_INDEX_BYTES),
                    _of_width([subject.wrapped_key for subject in subjects], WRAPPED_KEY_BYTES),
                    b"".join(sealed),
                    *_places(sealed),
                    plain_literal([subject.contact_point for subject in subjects]),
                    array_literal([subject.channel for subject in subjects]),
                    plain_literal([subject.first_position for subject in subjects]),
                ],
            )
        )
    if group.items:
        sealed = [item.sealed for item in group.items]
        parts.append(
            (
                _ITEMS,
                [
                    b"".join(sealed),
                    *_places(sealed),
                    plain_literal([item.contact_point for item in group.items]),
                    plain_literal([item.position for item in group.items]),
                ],
            )
        )
    if group.notices:
        parts.append((_NOTICES, [_of_width(group.notices, HASH_BYTES), list(group.notices.values())]))
    if group.completed:
        nodes = group.completed
        parts.append(
            (
                _NODES,
                [
                    _of_width([node.hash for node in nodes], HASH_BYTES),
                    plain_literal([node.level for node in nodes]),
                    plain_literal([node.number for node in nodes]),
                ],
            )
        )
    if group.erasure is not None:
        parts.append((_ERASURE, _erasure(group)))
    if group.suppressions:
        parts.append((_SUPPRESSIONS, _suppressions(group)))
    return parts


def _erasure(group: Group) -> list[Any]:
    if group.erasure is None:
        return []
    step, contact_point, position, covers, salt = group.erasure
    requested = [contact_point] if step is ErasureStep.REQUEST else []
    completed = [contact_point] if step is ErasureStep.COMPLETE else []
    ids = plain_literal(completed)
    return [
        plain_literal(requested),
        plain_literal([position for _ in requested]),
        plain_literal(requested),
        ids,
        [covers for _ in completed],
        [salt for _ in completed],
        ids,
        ids,
        ids,
    ]


def _suppressions(group: Group) -> list[Any]:
    brought = group.suppressions
    of_nobody = [one for one in brought if one.of_nobody]
    return [
        [one.blind_index for one in brought],
        [one.event_id for one in brought],
        [one.since for one in brought],
        [one.covers for one in brought],
        [one.salt for one in brought],
        [one.stream for one in of_nobody],
        [one.channel for one in of_nobody],
        [one.position for one in of_nobody],
    ]


def _of_width(parts: Collection[bytes], width: int) -> bytes:
    """All of them, each of which has this width. Raises ValueError."""
    joined = b"".join(parts)
    if len(joined) != len(parts) * width:
        raise ValueError(f"not {width} bytes each")
    return joined


def _places(parts: Sequence[bytes]) -> tuple[str, str]:
    """(where each starts in all of them, counted from 1, and how long each is)."""
    lengths = list(map(len, parts))
    return plain_literal(list(accumulate(lengths, initial=1))[:-1]), plain_literal(lengths)
