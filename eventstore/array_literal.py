"""PostgreSQL array literals of numbers, ids, keys, enumeration members and instants, for the hot path of the append.

The driver encodes an array element by element in Python; a literal is one join. Only for elements whose text needs no
quoting: digits, UUIDs, `domain.text.KEY_FORM`, members of enumerations, instants. Anything else is refused.
"""

import re
from collections.abc import Sequence

_PLAIN = re.compile(r"\{[A-Za-z0-9_:.+,-]*\}", re.ASCII)


def array_literal(elements: Sequence[object]) -> str:
    """`elements` as an array literal; None is NULL. Raises ValueError for text that would need quotes."""
    literal = "{" + ",".join(["NULL" if element is None else str(element) for element in elements]) + "}"
    if _PLAIN.fullmatch(literal) is None:
        raise ValueError("an element that has no place in an array literal")
    return literal
