"""Questions to the bits of `selection`: which contact points of a channel pass, as chunks, counts and positions.

A question is a `Mask`: SQL over bit(8192) made of constants, with the keys that it is about as parameters. Contact points
that the bits alone cannot tell of (`unsure`) are left out of a mask and told apart: the caller looks at each of them.

Where a mask holds nobody who is not in one kind of bits, only chunks that have that kind are looked at: who looks for one
contact point of a million reads one chunk.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from domain.consent import ConsentValue
from eventstore.personal.vault import Connected
from projections.selection import CHUNK_BITS, LEVEL_KINDS, Kind, LevelKey

_NONE = f"repeat('0', {CHUNK_BITS})::bit({CHUNK_BITS})"
NEXT_CHUNKS = 4
_PRESENT = (
    "present.tenant = $1 AND present.channel = $2 AND present.purpose = '' AND present.topic = ''"
    f" AND present.unit = '' AND present.kind = '{Kind.PRESENT}'"
)
_OPT_IN_ONLY = frozenset((ConsentValue.OPTED_IN,))


@dataclass(frozen=True, slots=True)
class LevelAsked:
    """A purpose or topic, with the units whose records count there, the first that has one winning.

    `other_units`: where none of `units` has a record, one of another unit counts; which, the bits cannot tell.
    """

    key: LevelKey
    units: Sequence[str]
    other_units: bool


@dataclass(frozen=True, slots=True)
class Mask:
    """Bits as an expression of SQL; `within` is the kind of bits, by its alias, outside of which there are none."""

    bits: str
    within: str | None = None

    def without(self, other: "Mask") -> "Mask":
        """Who is in this one and not in the other."""
        return Mask(f"({self.bits}) & ~({other.bits})", self.within)


@dataclass(frozen=True, slots=True)
class Passing:
    """Which contact points pass: where every level's value is in `sending` (or, negated, where one is not), and where the
    value at the last level is `value`; what is None is not asked."""

    sending: frozenset[ConsentValue] | None = None
    negated: bool = False
    value: ConsentValue | None = None


class Masks:
    """The tables that a question joins, and the masks over them. One for one statement."""

    def __init__(
        self,
        tenant: int,
        channel: str,
        levels: Sequence[LevelAsked],
        *,
        seen: Sequence[tuple[str, str, str]] | None = None,
    ) -> None:
        """`seen`: only contact points with a record at one of these (purpose, topic, unit); None is everyone."""
        self._arguments: list[Any] = [tenant, channel]
        self.tenant = tenant
        # By alias, in the order of joining: how it is joined, and, for one kind of bits, which rows it is.
        self._joins: dict[str, str] = {}
        self._conditions: dict[str, str] = {}
        self._levels = [self._level(level) for level in levels]
        self._bounced = self._join("", "", "", Kind.BOUNCED)
        returned = self._join("", "", "", Kind.RETURNED)
        others = [unsure for _, _, unsure in self._levels if unsure]
        self._unsure = " | ".join([returned, *others])
        self._present = "present.bits" if seen is None else f"present.bits & {self._any_record(seen)}"
        self.unsure = Mask(f"{self._present} & ({self._unsure})", None if others else self._alias_of(returned))

    def passing(self, passing: Passing) -> Mask:
        """The contact points that pass, without those that are unsure."""
        parts = [self._present, f"~({self._unsure})"]
        opted_in, opted_out, _ = self._levels[-1]
        within = None
        if passing.sending == _OPT_IN_ONLY and not passing.negated:
            within = self._alias_of(opted_in)
        elif passing.value in (ConsentValue.OPTED_IN, ConsentValue.OPTED_OUT):
            within = self._alias_of(opted_in if passing.value is ConsentValue.OPTED_IN else opted_out)
        if passing.sending is not None:
            sends = self._sends(passing.sending)
            parts.append(f"~({sends})" if passing.negated else f"({sends})")
        if passing.value is not None:
            parts.append(
                {
                    ConsentValue.OPTED_IN: f"({opted_in})",
                    ConsentValue.OPTED_OUT: f"({opted_out})",
                    ConsentValue.NOT_SET: f"~({opted_in} | {opted_out})",
                }[passing.value]
            )
        return Mask(" & ".join(parts), within)

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

    @property
    def arguments(self) -> Sequence[object]:
        """What the statements are given."""
        return tuple(self._arguments)

    async def counts(
        self, connection: Connected, mask: Mask, *, chunks: Sequence[int] | None = None
    ) -> Sequence[tuple[int, int]]:
        """(chunk, how many contact points a mask holds there), of these chunks, or of all; none of a chunk that is not there."""
        counted = f"SELECT present.chunk, bit_count({mask.bits})"
        if chunks is None:
            rows = await connection.fetch(f"{counted} {self.joined(mask)}", *self._arguments)
        else:
            rows = await connection.fetch(f"{counted} {self._at_chunks()}", *self._arguments, list(chunks))
        return [(row[0], row[1]) for row in rows]

    async def held(self, connection: Connected, mask: Mask, positions: Sequence[int]) -> int:
        """How many of these positions a mask holds."""
        number = len(self._arguments) + 2
        statement = (
            f"WITH masks AS MATERIALIZED (SELECT present.chunk, {mask.bits} AS bits {self._at_chunks()})"
            f" SELECT count(*) FROM unnest(${number}::bigint[]) AS asked (position)"
            f" JOIN masks ON masks.chunk = asked.position / {CHUNK_BITS}"
            f" WHERE get_bit(masks.bits, (asked.position % {CHUNK_BITS})::int) = 1"
        )
        chunks = sorted({position // CHUNK_BITS for position in positions})
        return int(await connection.fetchval(statement, *self._arguments, chunks, list(positions)))

    async def next_chunks(
        self, connection: Connected, mask: Mask, *, chunk: int
    ) -> Sequence[tuple[int, asyncpg.BitString]]:
        """(chunk, bits) of the next NEXT_CHUNKS that are there, from this one on, in order; in some there may be nobody."""
        first = len(self._arguments) + 1
        # In the order of the index that says which chunks there are: a sort would want all of them first.
        chunks = f"{mask.within or 'present'}.chunk"
        statement = (
            f"SELECT {chunks}, {mask.bits} {self.joined(mask)} AND {chunks} >= ${first}"
            f" ORDER BY {chunks} LIMIT {NEXT_CHUNKS}"
        )
        return [(row[0], row[1]) for row in await connection.fetch(statement, *self._arguments, chunk)]

    async def chunks(
        self, connection: Connected, mask: Mask, chunks: Sequence[int]
    ) -> Sequence[tuple[int, asyncpg.BitString]]:
        """The same of these chunks."""
        statement = f"SELECT present.chunk, {mask.bits} {self._at_chunks()} ORDER BY present.chunk"
        return [(row[0], row[1]) for row in await connection.fetch(statement, *self._arguments, list(chunks))]

    def joined(self, mask: Mask) -> str:
        """The tables that a mask is about, joined by chunk."""
        if mask.within is None:
            return f"FROM selection_bits AS present{''.join(self._joins.values())} WHERE {_PRESENT}"
        others = "".join(join for alias, join in self._joins.items() if alias != mask.within)
        condition = self._conditions[mask.within]
        return (
            f"FROM selection_bits AS {mask.within} CROSS JOIN LATERAL (SELECT present.* FROM selection_bits AS present"
            f" WHERE {_PRESENT} AND present.chunk = {mask.within}.chunk LIMIT 1) AS present{others} WHERE {condition}"
        )

    def _at_chunks(self) -> str:
        """The same at the chunks that the argument after all others names."""
        return (
            f"FROM unnest(${len(self._arguments) + 1}::bigint[]) AS named (chunk)"
            f" CROSS JOIN LATERAL (SELECT present.* FROM selection_bits AS present WHERE {_PRESENT}"
            f" AND present.chunk = named.chunk LIMIT 1) AS present{''.join(self._joins.values())}"
        )

    def _alias_of(self, expression: str) -> str | None:
        """The alias that an expression is the plain bits of."""
        return next((alias for alias in self._conditions if expression == _bits_of(alias)), None)

    def _any_record(self, seen: Sequence[tuple[str, str, str]]) -> str:
        alias = f"b{len(self._joins)}"
        first = len(self._arguments) + 1
        # Not among the texts that `_parameter` finds again.
        self._arguments += [list(column) for column in zip(*seen, strict=True)] or [[], [], []]
        kinds = ", ".join(f"'{kind}'" for kind in LEVEL_KINDS)
        self._joins[alias] = (
            f" LEFT JOIN LATERAL (SELECT bit_or(o.bits) AS bits"
            f" FROM unnest(${first}::text[], ${first + 1}::text[], ${first + 2}::text[]) AS level (purpose, topic, unit)"
            f" CROSS JOIN LATERAL (SELECT s.bits FROM selection_bits s WHERE s.tenant = $1 AND s.channel = $2"
            f" AND s.purpose = level.purpose AND s.topic = level.topic AND s.unit = level.unit"
            f" AND s.kind IN ({kinds}) AND s.chunk = present.chunk OFFSET 0) AS o) AS {alias} ON true"
        )
        return _bits_of(alias)

    def _parameter(self, value: str) -> str:
        if value not in self._arguments[2:]:
            self._arguments.append(value)
        return f"${self._arguments.index(value, 2) + 1}"

    def _join(self, purpose: str, topic: str, unit: str, kind: Kind) -> str:
        """Join one kind of bits; the expression of its chunk."""
        alias = f"b{len(self._joins)}"
        condition = self._conditions[alias] = (
            f"{alias}.tenant = $1 AND {alias}.channel = $2 AND {alias}.purpose = {self._parameter(purpose)}"
            f" AND {alias}.topic = {self._parameter(topic)} AND {alias}.unit = {self._parameter(unit)}"
            f" AND {alias}.kind = '{kind}'"
        )
        # With LIMIT it is a probe for each chunk; as a plain join, all chunks may be read again for each of them.
        self._joins[alias] = (
            f" LEFT JOIN LATERAL (SELECT {alias}.bits FROM selection_bits AS {alias}"
            f" WHERE {condition} AND {alias}.chunk = present.chunk LIMIT 1) AS {alias} ON true"
        )
        return _bits_of(alias)

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
        self._joins[alias] = (
            f" LEFT JOIN LATERAL (SELECT bit_or(o.bits) AS bits FROM selection_bits o WHERE o.tenant = $1"
            f" AND o.channel = $2 AND o.purpose = {self._parameter(level.key[0])}"
            f" AND o.topic = {self._parameter(level.key[1])} AND o.chunk = present.chunk"
            f" AND o.unit NOT IN ({', '.join(self._parameter(unit) for unit in level.units)})) AS {alias} ON true"
        )
        return opted_in, opted_out, f"({_bits_of(alias)} & ~({seen}))"


def _bits_of(alias: str) -> str:
    return f"coalesce({alias}.bits, {_NONE})"
