"""What counts as a regress: a ratio below what is kept by more than its tolerance, whatever the machine."""

import tomllib

from benchmarks.rounds import Spread, alternate
from benchmarks.short import Ratio, compared, kept, text_of

KEPT = {"a to b": Ratio(2.0, 0.25), "c to d": Ratio(0.5, 0.1)}


def spread(*values: float) -> Spread:
    return Spread(values)


def test_within_the_tolerance_is_no_regress() -> None:
    lines, regressed = compared({"a to b": spread(1.0, 1.5, 3.0), "c to d": spread(0.9)}, KEPT)
    assert regressed == []
    assert sum("yes" in line for line in lines) == 2


def test_a_median_below_the_tolerance_is_a_regress() -> None:
    lines, regressed = compared({"a to b": spread(1.0, 1.49, 9.0), "c to d": spread(0.44)}, KEPT)
    assert regressed == ["a to b", "c to d"]
    assert sum("**behind**" in line for line in lines) == 2


def test_a_peer_that_is_not_installed_is_told_and_is_no_regress() -> None:
    lines, regressed = compared({"c to d": spread(0.5)}, KEPT)
    assert regressed == []
    assert any("a to b" in line and "not measured" in line for line in lines)


def test_what_is_kept_is_what_was_measured_and_the_rest_stays() -> None:
    text = text_of({"c to d": spread(0.6, 0.7, 0.8), "new": spread(3.0)}, KEPT)
    assert {name: (one["ratio"], one["tolerance"]) for name, one in tomllib.loads(text).items()} == {
        "a to b": (2.0, 0.25), "c to d": (0.7, 0.1), "new": (3.0, 0.3),
    }  # fmt: skip


def test_the_file_of_the_repository_can_be_read() -> None:
    assert all(0 < one.tolerance < 1 and one.value > 0 for one in kept().values())


def test_a_ratio_is_taken_round_by_round() -> None:
    assert spread(10, 1, 100).over(spread(5, 0.5, 50)) == spread(2, 2, 2)


async def test_every_other_round_goes_the_other_way() -> None:
    order: list[str] = []

    def contender(name: str) -> object:
        async def one() -> float:
            order.append(name)
            return float(len(order))

        return one

    measured = await alternate({"x": contender("x"), "y": contender("y")}, 3)  # type: ignore[dict-item]
    assert "".join(order) == "xyyxxy"
    assert measured == {"x": spread(1, 4, 5), "y": spread(2, 3, 6)}
