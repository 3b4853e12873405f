"""Alternating rounds: what is compared is measured in turn, several times, and told as a median with its spread.

Whatever else the machine does meanwhile then meets all of them alike, and a ratio is taken round by round: what a slow moment
did to both sides of it cancels out.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

ROUNDS = 5
Named = TypeVar("Named")


@dataclass(frozen=True, slots=True)
class Spread:
    """What was measured in each round, in the order of the rounds."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return median(self.values)

    def over(self, other: "Spread") -> "Spread":
        """The ratios to what was measured beside it, round by round."""
        return Spread(tuple(mine / its for mine, its in zip(self.values, other.values, strict=True)))

    def text(self, form: str = ",.0f") -> str:
        """Median and spread, as in `1,000 (900 to 1,100)`."""
        return f"{self.median:{form}} ({min(self.values):{form}} to {max(self.values):{form}})"


async def alternate(
    contenders: Mapping[Named, Callable[[], Awaitable[float]]], rounds: int = ROUNDS
) -> dict[Named, Spread]:
    """Measure each contender once a round; every other round in the opposite order."""
    values: dict[Named, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        order: Sequence[Named] = list(contenders) if number % 2 == 0 else list(contenders)[::-1]
        for name in order:
            values[name].append(await contenders[name]())
    return {name: Spread(tuple(measured)) for name, measured in values.items()}
