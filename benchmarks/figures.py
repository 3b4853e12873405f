"""Figures beside promises: one row each, printed as it is measured, and as a table at the end."""

from dataclasses import dataclass, field

from benchmarks.rounds import Spread


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

    def beside(self, what: str, promised: float, ours: Spread, its: Spread | None, *, how: str) -> None:
        """Note how many times as much as a peer we do; `how` says how to install one that is not there."""
        if its is None:
            self.add(what, f"{promised:g} x", f"not measured: `{how}` installs it")
            return
        ratio = ours.over(its)
        self.add(what, f"{promised:g} x", f"{ratio.text('.2f')} x (it: {its.text()}/s)", kept=ratio.median >= promised)

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
