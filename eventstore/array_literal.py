"""PostgreSQL array literals, for the hot path of the append.

The driver encodes an array element by element in Python; a literal is one join. Every element is quoted, so a key that is
called `null` stays text; an element that holds a quote or a backslash is refused, for no number, id, key or instant does.
"""

from collections.abc import Sequence


def array_literal(elements: Sequence[object]) -> str:
    """`elements` as an array literal; None is NULL. Raises ValueError for text that would need escapes."""
    literal = "{" + ",".join(["NULL" if element is None else f'"{element}"' for element in elements]) + "}"
    if "\\" in literal or literal.count('"') != 2 * (len(elements) - sum(element is None for element in elements)):
        raise ValueError("an element that has no place in an array literal")
    return literal
