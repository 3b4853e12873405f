"""What checks need from the store: for each blind index a contact point and where it stands, in one snapshot."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from domain.standing import NOTHING_KNOWN, Standing
from eventstore.personal.vault import Connected
from projections import current_consent
from projections.current_consent import Found, HeadSeen, Rows


@dataclass(frozen=True, slots=True)
class LookUp:
    """What one question needs; the topic '' is the purpose itself."""

    blind_indexes: Sequence[bytes]
    purposes: tuple[str, ...]
    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the store held, for each blind index of a question."""

    head: HeadSeen
    rows: Sequence[Rows]

    @property
    def found(self) -> Sequence[tuple[UUID | None, Standing]]:
        """The contact point and where it stands, for each."""
        return [stood(rows) for rows in self.rows]


def stood(rows: Rows) -> tuple[UUID | None, Standing]:
    """The contact point that rows are of, and where it stands."""
    if not rows:
        return None, NOTHING_KNOWN
    found = Found(rows)
    return found.contact_point, found.standing()


async def look_up(
    connection: Connected, tenant: int, asked: Sequence[LookUp], *, timeout_s: float | None = None
) -> list[Seen]:
    """What several questions need, by one statement; each may be given what its neighbours need, too.

    Raises TimeoutError after `timeout_s`; without it, after the time of any statement.
    """
    blind_indexes = [index for look in asked for index in look.blind_indexes]
    purposes = list({purpose for look in asked for purpose in look.purposes})
    topics = list({topic for look in asked for topic in look.topics})
    head, rows = await current_consent.rows_by_blind_index(
        connection, tenant, blind_indexes, purposes, topics, timeout_s=timeout_s
    )
    seen: list[Seen] = []
    start = 0
    for look in asked:
        end = start + len(look.blind_indexes)
        seen.append(Seen(head, rows[start:end]))
        start = end
    return seen
