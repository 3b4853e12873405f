"""What one run of an import has recorded itself: a mark for each row, written in the transaction of its event.

A row that is there already may be of anybody: of another import, or of the sender under the same key. Only what the run has
marked is its own, whatever keys the row was recorded under.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from eventstore.command import Before
from eventstore.idempotency import HASH_BYTES, KEPT_DIGEST_BYTES, IdempotencyKey
from ledger.assembly import Tenant
from ledger.import_outcomes import Done, rows_there
from ledger.record import Recorded

_MARKED = """
SELECT key_hash, position, events FROM idempotency_records WHERE tenant = $1 AND key_hash = ANY($2::bytea[])
"""


def is_mark(tenant: Tenant, key_hash: bytes, kept_digest: bytes) -> bool:
    """Whether a kept record is a mark: its digest comes from its own key, and says so under the tenant's."""
    [digest] = _digests(tenant, [key_hash])
    return len(kept_digest) >= KEPT_DIGEST_BYTES and digest.startswith(kept_digest)


def _digests(tenant: Tenant, marks: Sequence[bytes]) -> list[bytes]:
    return [one[:HASH_BYTES] for one in tenant.idempotency_hash.each(b"import-run-mark\0", marks)]


class HasMarks(Protocol):
    """A capture, or a row that blocks an address, with a mark for each of its row keys."""

    @property
    def marks(self) -> tuple[IdempotencyKey, ...]:
        """Its marks."""
        ...


@dataclass(frozen=True, slots=True)
class RunMarks:
    """The marks of one run, which `run` stands for: a keyed hash that nobody else has."""

    tenant: Tenant
    run: bytes = field(repr=False)

    def of(self, application: str | None, row_keys: Sequence[str]) -> tuple[IdempotencyKey, ...]:
        """The mark of each of these row keys of an application."""
        begin = b"import-run\0" + self.run + f"{application or ''}\0".encode()
        hashes = self.tenant.idempotency_hash.each(begin, [key.encode("utf-8", "replace") for key in row_keys])
        marks = [one[:HASH_BYTES] for one in hashes]
        return tuple(map(IdempotencyKey, marks, _digests(self.tenant, marks)))

    async def tell_own(self, asked: Mapping[int, HasMarks], done: list[Done]) -> None:
        """Of those asked, by their numbers in `done`, say which rows that are there already this run has recorded itself.

        Raises StoreUnavailable.
        """
        there = {
            number: answer
            for number in asked
            if isinstance(answer := done[number], Recorded) and not answer.own and rows_there(answer)
        }
        if not there:
            return
        hashes = list({mark.key_hash for number in there for mark in asked[number].marks})
        async with self.tenant.ledger.connection() as connection:
            rows = await connection.fetch(_MARKED, self.tenant.id, hashes)
        found = {row[0]: Before(row[1], row[2]) for row in rows}
        for number, answer in there.items():
            own = tuple(found.get(mark.key_hash) for mark in asked[number].marks)
            if any(one is not None for one in own):
                done[number] = replace(answer, own=own)
