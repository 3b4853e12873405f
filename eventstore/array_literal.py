"""PostgreSQL array literals, for the hot path of the append.

The driver encodes an array element by element in Python; a literal is one join. Every text is quoted, so a key that is
called `null` stays text; one that holds a quote or a backslash is refused, for no key or instant does.
"""

from collections.abc import Collection, Sequence
from typing import cast
from uuid import UUID


def array_literal(elements: Sequence[object]) -> str:
    """`elements` as an array literal; None is NULL. Raises ValueError for text that would need escapes."""
    if not elements:
        return "{}"
    try:
        # What is no text is found out by the join itself.
        inner = '","'.join(cast(Sequence[str], elements))
    except TypeError:
        return _with_others(elements)
    if "\\" in inner or inner.count('"') != 2 * (len(elements) - 1):
        raise ValueError(_REFUSED)
    return f'{{"{inner}"}}'


def plain_literal(elements: Sequence[int | UUID]) -> str:
    """Numbers and ids as an array literal: nothing in them needs quotes."""
    return f"{{{','.join(map(str, elements))}}}"


def bytes_literal(elements: Collection[bytes]) -> str:
    """Bytes as an array literal."""
    return "{" + ",".join([f'"\\\\x{element.hex()}"' for element in elements]) + "}"


_REFUSED = "an element that has no place in an array literal"


def _with_others(elements: Sequence[object]) -> str:
    literal = "{" + ",".join(["NULL" if element is None else f'"{element}"' for element in elements]) + "}"
    if "\\" in literal or literal.count('"') != 2 * (len(elements) - sum(element is None for element in elements)):
        raise ValueError(_REFUSED)
    return literal
