"""The parameters of the statement that writes a group (sql/append.sql, sql/append_erasure.sql), in the order of its numbers.

The driver encodes an array element by element in Python, so there are none: numbers, ids and texts go as array literals, and
bytes as one piece, out of which the statement cuts each one's part: by their width where all have the same, or else by
where they start and how long they are.
"""

from collections.abc import Collection, Sequence
from itertools import accumulate
from typing import Any

from eventstore.append_group import Group
from eventstore.array_literal import array_literal, plain_literal
from eventstore.command import ErasureStep
from eventstore.idempotency import HASH_BYTES as KEY_HASH_BYTES
from eventstore.idempotency import KEPT_DIGEST_BYTES
from eventstore.personal.blind_index import BLIND_INDEX_BYTES
from eventstore.personal.keyring import WRAPPED_KEY_BYTES
from tlog.hashing import HASH_BYTES

APPEND_PARAMETERS = 43
ERASURE_PARAMETERS = 9


def append_arguments(tenant: int, group: Group) -> list[Any]:
    """Those of sql/append.sql."""
    head, after = group.head, group.after
    entries = [stored.entry for stored in group.entries]
    columns, subjects, items = group.columns, group.subjects, group.items
    records = group.records.values()
    return [
        tenant,
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
        *_pieces([stored.raw for stored in group.entries]),
        _of_width([stored.leaf_hash for stored in group.entries], HASH_BYTES),
        _of_width(group.records, KEY_HASH_BYTES),
        _of_width([record[0][:KEPT_DIGEST_BYTES] for record in records], KEPT_DIGEST_BYTES),
        plain_literal([record[1] for record in records]),
        plain_literal([record[2] for record in records]),
        plain_literal([subject.contact_point for subject in subjects]),
        array_literal([subject.channel for subject in subjects]),
        _of_width([subject.blind_index for subject in subjects], BLIND_INDEX_BYTES),
        _of_width([subject.wrapped_key for subject in subjects], WRAPPED_KEY_BYTES),
        *_pieces([subject.sealed_address for subject in subjects]),
        plain_literal([subject.first_position for subject in subjects]),
        plain_literal([item.contact_point for item in items]),
        plain_literal([item.position for item in items]),
        *_pieces([item.sealed for item in items]),
        _of_width(group.notices, HASH_BYTES),
        list(group.notices.values()),
        plain_literal([node.level for node in group.completed]),
        plain_literal([node.number for node in group.completed]),
        _of_width([node.hash for node in group.completed], HASH_BYTES),
    ]


def erasure_arguments(group: Group) -> list[Any]:
    """Those of sql/append_erasure.sql; none where the group is no step of an erasure."""
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


def _of_width(parts: Collection[bytes], width: int) -> bytes:
    """All of them, each of which has this width. Raises ValueError."""
    joined = b"".join(parts)
    if len(joined) != len(parts) * width:
        raise ValueError(f"not {width} bytes each")
    return joined


def _pieces(parts: Sequence[bytes]) -> tuple[str, str, bytes]:
    """(where each starts, counted from 1, how long each is, all of them)."""
    lengths = list(map(len, parts))
    starts = list(accumulate(lengths, initial=1))[:-1]
    return plain_literal(starts), plain_literal(lengths), b"".join(parts)
