"""What a projection is: a table that is a fold of the log, whoever keeps it (the append itself, a follower, a rebuild).

The fold is pure: entries in log order give the parameters of one statement. The statement takes account of them in a table
of the projection's shape, by row and key. However the log is cut into groups, the table comes out the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from projections.happened import Happened


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
