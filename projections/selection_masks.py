"""Questions to the bits of `selection`: which contact points of a channel pass, as chunks, counts and positions.

A question is a `Mask`: SQL over bit(8192) made of constants, with the keys that it is about as parameters. Contact points
that the bits alone cannot tell of (`unsure`) are left out of a mask and told apart: the caller looks at each of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from domain.consent import ConsentValue
from eventstore.personal.vault import Connected
from projections.selection import CHUNK_BITS, Kind, LevelKey, positions_in

_NONE = f"repeat('0', {CHUNK_BITS})::bit({CHUNK_BITS})"


@dataclass(frozen=True, slots=True)
class LevelAsked:
    """A purpose or topic, with the units whose records count there, the first that has one winning.

    `other_units`: where none of `units` has a record, one of another unit counts; which, the bits cannot tell.
    """

    key: LevelKey
    units: Sequence[str]
    other_units: bool


@dataclass(frozen=True, slots=True)
class Passing:
    """Which contact points pass: where every level's value is in `sending` (or, negated, where one is not), and where the
    value at the last level is `value`; what is None is not asked."""

    sending: frozenset[ConsentValue] | None = None
    negated: bool = False
    value: ConsentValue | None = None


class Masks:
    """The tables that a question joins, and the masks over them. One for one statement."""

    def __init__(self, tenant: int, channel: str, levels: Sequence[LevelAsked]) -> None:
        self._arguments: list[Any] = [tenant, channel]
        self._joins: list[str] = []
        self._levels = [self._level(level) for level in levels]
        self._bounced = self._join("", "", "", Kind.BOUNCED)
        returned = self._join("", "", "", Kind.RETURNED)
        self.unsure = " | ".join([returned, *(unsure for _, _, unsure in self._levels if unsure)])

    def passing(self, passing: Passing) -> str:
        """The mask of the contact points that pass, without those that are unsure."""
        parts = ["present.bits", f"~({self.unsure})"]
        if passing.sending is not None:
            sends = self._sends(passing.sending)
            parts.append(f"~({sends})" if passing.negated else f"({sends})")
        if passing.value is not None:
            opted_in, opted_out, _ = self._levels[-1]
            parts.append(
                {
                    ConsentValue.OPTED_IN: f"({opted_in})",
                    ConsentValue.OPTED_OUT: f"({opted_out})",
                    ConsentValue.NOT_SET: f"~({opted_in} | {opted_out})",
                }[passing.value]
            )
        return " & ".join(parts)

    def _sends(self, sending: frozenset[ConsentValue]) -> str:
        parts = [f"~{self._bounced}"]
        for opted_in, opted_out, _ in self._levels:
            if ConsentValue.OPTED_IN not in sending:
                raise ValueError("every enforcement model lets an opt-in pass")
            if ConsentValue.NOT_SET not in sending:
                parts.append(f"({opted_in})")
            elif ConsentValue.OPTED_OUT not in sending:
                parts.append(f"~({opted_out})")
        return " & ".join(parts)

    async def count(self, connection: Connected, mask: str, without: Sequence[int]) -> int:
        """How many contact points a mask holds, those at the positions `without` left aside."""
        number = len(self._arguments) + 1
        statement = (
            f"WITH masks AS MATERIALIZED (SELECT present.chunk, {mask} AS bits {self._from()})"
            " SELECT (SELECT coalesce(sum(bit_count(bits)), 0) FROM masks)"
            f" - (SELECT count(*) FROM unnest(${number}::bigint[]) AS aside (position)"
            f" JOIN masks ON masks.chunk = position / {CHUNK_BITS}"
            f" WHERE get_bit(masks.bits, (position % {CHUNK_BITS})::int) = 1)"
        )
        return int(await connection.fetchval(statement, *self._arguments, list(without)))

    async def positions(
        self, connection: Connected, mask: str, *, after: int, limit: int, without: frozenset[int] = frozenset()
    ) -> list[int]:
        """The first `limit` positions greater than `after` that a mask holds, in order."""
        first = len(self._arguments) + 1
        statement = (
            f"SELECT chunk, bits FROM (SELECT present.chunk, {mask} AS bits {self._from()}"
            f" AND present.chunk >= ${first} ORDER BY present.chunk OFFSET 0) AS masks"
            f" WHERE bit_count(bits) > 0 LIMIT ${first + 1}"
        )
        found: list[int] = []
        chunk = max(after, 0) // CHUNK_BITS
        while len(found) < limit:
            # A chunk that is there holds one at least, so this is seldom asked twice.
            chunks_max = min(limit - len(found) + 1, _CHUNKS_MAX)
            rows = await connection.fetch(statement, *self._arguments, chunk, chunks_max)
            for number, bits in rows:
                found += [at for at in positions_in(number, bits) if at > after and at not in without]
                chunk = number + 1
                if len(found) >= limit:
                    return found[:limit]
            if len(rows) < chunks_max:
                break
        return found

    def _from(self) -> str:
        return (
            "FROM selection_bits AS present"
            + "".join(self._joins)
            + " WHERE present.tenant = $1 AND present.channel = $2 AND present.purpose = '' AND present.topic = ''"
            f" AND present.unit = '' AND present.kind = '{Kind.PRESENT}'"
        )

    def _parameter(self, value: str) -> str:
        if value not in self._arguments[2:]:
            self._arguments.append(value)
        return f"${self._arguments.index(value, 2) + 1}"

    def _join(self, purpose: str, topic: str, unit: str, kind: Kind) -> str:
        """Join one kind of bits; the expression of its chunk."""
        alias = f"b{len(self._joins)}"
        self._joins.append(
            f" LEFT JOIN selection_bits AS {alias} ON {alias}.tenant = $1 AND {alias}.channel = $2"
            f" AND {alias}.purpose = {self._parameter(purpose)} AND {alias}.topic = {self._parameter(topic)}"
            f" AND {alias}.unit = {self._parameter(unit)} AND {alias}.kind = '{kind}' AND {alias}.chunk = present.chunk"
        )
        return f"coalesce({alias}.bits, {_NONE})"

    def _level(self, level: LevelAsked) -> tuple[str, str, str]:
        """(opted in, opted out, unsure) at a level: the first unit that has a record wins."""
        opted_in, opted_out, seen = "", "", ""
        for number, unit in enumerate(level.units):
            here_in = self._join(*level.key, unit, Kind.OPTED_IN)
            here_out = self._join(*level.key, unit, Kind.OPTED_OUT)
            last = number == len(level.units) - 1 and not level.other_units
            anything = here_in if last else f"{here_in} | {here_out} | {self._join(*level.key, unit, Kind.NOT_SET)}"
            if not number:
                opted_in, opted_out, seen = here_in, here_out, anything
            else:
                opted_in = f"{opted_in} | ({here_in} & ~({seen}))"
                opted_out = f"{opted_out} | ({here_out} & ~({seen}))"
                seen = f"{seen} | {anything}"
        if not level.other_units:
            return opted_in, opted_out, ""
        alias = f"b{len(self._joins)}"
        self._joins.append(
            f" LEFT JOIN LATERAL (SELECT bit_or(o.bits) AS bits FROM selection_bits o WHERE o.tenant = $1"
            f" AND o.channel = $2 AND o.purpose = {self._parameter(level.key[0])}"
            f" AND o.topic = {self._parameter(level.key[1])} AND o.chunk = present.chunk"
            f" AND o.unit NOT IN ({', '.join(self._parameter(unit) for unit in level.units)})) AS {alias} ON true"
        )
        return opted_in, opted_out, f"(coalesce({alias}.bits, {_NONE}) & ~({seen}))"


_CHUNKS_MAX = 64
