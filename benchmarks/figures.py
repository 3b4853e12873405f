"""Figures beside promises: one row each, printed as it is measured, and as a table at the end."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Figure:
    """One promise and what was measured."""

    what: str
    promised: str
    measured: str
    kept: bool | None


@dataclass(slots=True)
class Figures:
    """All figures of a run."""

    rows: list[Figure] = field(default_factory=list[Figure])

    def add(self, what: str, promised: str, measured: str, *, kept: bool | None = None) -> None:
        """Note a figure; `kept` is None for a peer or a figure without a promise."""
        figure = Figure(what, promised, measured, kept)
        self.rows.append(figure)
        print(_row(figure), flush=True)

    def table(self) -> str:
        """All of them as a Markdown table."""
        return "\n".join(["| what | promised | measured | kept |", "|---|---|---|---|", *map(_row, self.rows)])


def _row(figure: Figure) -> str:
    kept = {True: "yes", False: "**no**", None: ""}[figure.kept]
    return f"| {figure.what} | {figure.promised} | {figure.measured} | {kept} |"


def percentile(times_s: list[float], share: float) -> float:
    """The time within which `share` of them lie, in milliseconds."""
    ordered = sorted(times_s)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1_000
