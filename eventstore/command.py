"""What is asked of a log: a command, the events that it decides on, what it is told before, and how it is answered."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from eventstore.idempotency import IdempotencyKey
from eventstore.read import StoredEntry
from tlog.entry import Entry


class IndexColumns(NamedTuple):
    """What is kept beside an entry to find it by; each says what the entry says."""

    channel: str | None = None
    purpose: str | None = None
    topic: str | None = None
    value: str | None = None
    source: str | None = None


NO_COLUMNS = IndexColumns()


class SubjectErasing(Exception):
    """The contact point is being erased: nothing is written there until that is complete. Complete it, and ask again."""

    def __init__(self, contact_point: UUID) -> None:
        super().__init__("the contact point is being erased")
        self.contact_point = contact_point


class SubjectGone(Exception):
    """The contact point that a step of an erasure names is not there (any more), or was not asked to be erased."""


class ErasureStep(Enum):
    """The two steps of erasing a contact point. The second destroys its key, and its event is the certificate."""

    REQUEST = "request"
    COMPLETE = "complete"


class Draft(NamedTuple):
    """An event that a command decided on, before the log numbers it. `evidence` is personal and goes to the vault.

    Named tuples here as in `entry`: one of each kind is made for every event.
    """

    type: str
    version: int
    data: Mapping[str, Any]
    effective_at: datetime | None
    actor: str
    columns: IndexColumns = NO_COLUMNS
    evidence: bytes | None = None
    notice: tuple[bytes, str] | None = None

    def __repr__(self) -> str:
        return f"Draft({self.type})"


class Subject(NamedTuple):
    """The contact point that a command is about: found by its blind index, or made with its first event."""

    channel: str
    address: str
    blind_index: bytes

    def __repr__(self) -> str:
        return f"Subject({self.channel})"


class Before(NamedTuple):
    """Where what an idempotency key stands for was recorded."""

    position: int
    events: int


@dataclass(slots=True, kw_only=True)
class Circumstances:
    """What a command's `decide` may look at, as it stands at the head that the command is written on; set for each try.

    `parts` are keys that each stand for a part of what the command is made of; those that are new are kept with its events.
    """

    parts: tuple[IdempotencyKey, ...] = ()
    # For each part where it was recorded before, or None.
    known: tuple[Before | None, ...] = ()
    # The events of the same group, before this command, in the same stream.
    earlier: tuple[Entry, ...] = ()


def decided(*drafts: Draft) -> Callable[[datetime], Sequence[Draft]]:
    """The `decide` of a command whose events are known whatever the log holds."""

    def decide(_: datetime) -> Sequence[Draft]:
        return drafts

    return decide


class Command(NamedTuple):
    """What a caller wants appended to one stream.

    `decide` is handed the instant that the log records, and gives the events or raises the caller's refusal. `stream`
    names a fixed stream, `subject` a contact point's. A command that `moves_catalogue` is written in a group of its own,
    so that whatever is decided after it sees it; so is a step of an erasure, which names its contact point as the `stream`
    and `suppression`, what still blocks the address, as the certificate's event has it.

    `marks` are kept with its events as keys are, and decide nothing: whose they are can find by them what became of the command.
    There is one for each part, kept where that is new, or else for the command.

    A command that `suppresses` a blind index has one event that says what blocks that address, and since when. It is written to
    the address's contact point; where there is none, to a stream of its own, as of an erased one: no address is known of it.
    """

    decide: Callable[[datetime], Sequence[Draft]]
    application: str | None
    subject: Subject | None = None
    stream: UUID | None = None
    idempotency: IdempotencyKey | None = None
    moves_catalogue: bool = False
    erasure: ErasureStep | None = None
    circumstances: Circumstances | None = None
    suppresses: bytes | None = None
    marks: tuple[IdempotencyKey, ...] = ()

    @property
    def alone(self) -> bool:
        """Whether it is written in a group of its own."""
        return self.moves_catalogue or self.erasure is not None


class Appended(NamedTuple):
    """The events of a command, as they stand in the log; `repeated` where its idempotency key had recorded them before."""

    entries: tuple[StoredEntry, ...]
    repeated: bool


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a command would lead to now: this many events, or none since its key had recorded them before, at `position`."""

    events: int
    repeated: bool
    position: int | None = None


Records = dict[bytes, tuple[bytes, int, int]]
"""By the hash of an idempotency key: the digest of its command, where its events are, and how many."""


class SeenRecords(Protocol):
    """Keeps the records of a rehearsal."""

    def among(self, key_hashes: Sequence[bytes]) -> Records:
        """Those of these keys."""
        ...

    def keep(self, records: Records) -> None:
        """Keep more of them."""
        ...


class InlineProjection(Protocol):
    """A read model written in the append's transaction."""

    def parts(self, entries: Sequence[Entry]) -> Sequence[tuple[str, list[Any]]]:
        """What a group of entries, in log order, leads to: statements, as `, name AS (...)`, that select from `moved` (one row
        with `tenant`, or none), each `{}` being the number of one of these parameters, in order."""
        ...
