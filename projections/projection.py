"""What a projection is: a table that is a fold of the log, whoever keeps it (the append itself, a follower, a rebuild).

The fold is pure: entries in log order give the parameters of one statement. The statement takes account of them in a table
of the projection's shape, by row and key. However the log is cut into groups, the table comes out the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from eventstore.personal.vault import Connected
from projections.happened import Happened


class Follower(Protocol):
    """What follows the log: it takes account of entries in the transaction that moves its checkpoint.

    `may_leave_out` says that an event which cannot be taken account of may be left out: never where a decision rests on it.
    """

    @property
    def name(self) -> str:
        """Under which its checkpoint is kept, and its lease."""
        ...

    @property
    def may_leave_out(self) -> bool:
        """Whether it may go on without an event."""
        ...

    async def take(self, connection: Connected, tenant: int, entries: Sequence[Happened]) -> None:
        """Take account of entries, in log order, in the caller's transaction."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """A projection, named as its table.

    `ctes` are statements, as `, name AS (...)`, that select from `moved` (one row with `tenant`, or none) and write into the
    table `{table}`; each `{}` is the number of a parameter. `group` is the second column of the key and its type: rows are
    compared and swapped by it. `may_leave_out` says that an event which cannot be taken account of may be left out: never where
    a decision rests on the table.
    """

    name: str
    key: tuple[str, ...]
    group: tuple[str, str]
    ctes: str
    parameters: int
    fold: Callable[[Sequence[Happened]], list[Any]]
    inline: bool
    may_leave_out: bool = False

    @property
    def rebuilt(self) -> str:
        """The table where it is rebuilt."""
        return f"rebuilt_{self.name}"

    def numbered(self, first_parameter: int, *, table: str) -> str:
        """`ctes`, for this table, with parameters numbered from `first_parameter`."""
        return self.ctes.format(*range(first_parameter, first_parameter + self.parameters), table=table)

    async def take(self, connection: Connected, tenant: int, entries: Sequence[Happened]) -> None:
        """Take account of entries in the table that is read, in the caller's transaction."""
        statement = f"WITH moved AS (SELECT $1::int AS tenant){self.numbered(2, table=self.name)} SELECT 1"
        await connection.execute(statement, tenant, *self.fold(entries))
