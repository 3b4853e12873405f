"""Which failures say that an address is dead: the registry of enhanced status codes, row by row."""

import pytest

from domain.bounces import PERMANENT_FAILURES, Bounce, bounce_of

HARD, SOFT = Bounce.HARD, Bounce.SOFT
TABLE = [
    ("5.0.0", HARD), ("5.1.0", HARD), ("5.1.1", HARD), ("5.1.2", HARD), ("5.1.3", HARD), ("5.1.4", HARD),
    ("5.1.5", SOFT), ("5.1.6", HARD), ("5.1.7", SOFT), ("5.1.8", SOFT), ("5.1.9", SOFT), ("5.1.10", HARD),
    ("5.2.0", SOFT), ("5.2.1", HARD), ("5.2.2", SOFT), ("5.2.3", SOFT), ("5.2.4", SOFT),
    ("5.3.0", SOFT), ("5.3.1", SOFT), ("5.3.2", SOFT), ("5.3.3", SOFT), ("5.3.4", SOFT), ("5.3.5", SOFT), ("5.3.6", SOFT),
    ("5.4.0", SOFT), ("5.4.1", SOFT), ("5.4.2", SOFT), ("5.4.3", SOFT), ("5.4.4", HARD), ("5.4.5", SOFT), ("5.4.6", SOFT),
    ("5.4.7", SOFT),
    ("5.5.0", SOFT), ("5.5.1", SOFT), ("5.5.2", SOFT), ("5.5.3", SOFT), ("5.5.4", SOFT), ("5.5.5", SOFT), ("5.5.6", SOFT),
    ("5.6.0", SOFT), ("5.6.1", SOFT), ("5.6.2", SOFT), ("5.6.3", SOFT), ("5.6.4", SOFT), ("5.6.5", SOFT), ("5.6.7", SOFT),
    ("5.7.0", SOFT), ("5.7.1", SOFT), ("5.7.2", SOFT), ("5.7.7", SOFT), ("5.7.13", SOFT), ("5.7.20", SOFT), ("5.7.26", SOFT),
    ("5.7.17", HARD), ("5.7.18", HARD),
    ("5.1.99", HARD), ("5.8.0", HARD), ("5.99.99", HARD), ("4.1.1", SOFT), ("4.2.1", SOFT), ("4.2.2", SOFT), ("4.4.4", SOFT),
]  # fmt: skip


@pytest.mark.parametrize(("status", "bounce"), TABLE)
def test_a_failure_is_hard_only_where_the_address_is_dead(status: str, bounce: Bounce) -> None:
    assert bounce_of(status) is bounce


def test_every_row_is_told_here() -> None:
    codes = {status.partition(".")[2] for status, _ in TABLE if status.startswith("5.")}
    assert PERMANENT_FAILURES.keys() <= codes | {code.partition(".")[0] for code in codes}
