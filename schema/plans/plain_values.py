"""Which values a resolver gives are just values: neither awaited, nor raised, nor read asynchronously.

It is asked for every value of an answer, so it is remembered by class; a class that may answer for each of its instances
on its own is asked each time.
"""

from types import GeneratorType, NoneType
from typing import Any

from graphql.pyutils import is_awaitable

# Classes of a program are few, so nothing is ever taken out.
PLAIN: set[type] = {NoneType, str, int, float, bool, bytes, list, tuple, dict}


def must_be_awaited(value: Any) -> bool:
    """Whether the value is awaitable. To be asked where its class is not among PLAIN."""
    if is_awaitable(value):
        return True
    _remember(value)
    return False


def raised(value: Any) -> None:
    """Raise the value if it is an exception, as the executor does with what a resolver gives back."""
    if isinstance(value, Exception):
        raise value
    _remember(value)


def _remember(value: Any) -> None:
    class_ = value.__class__
    if (
        type(value) is class_
        and class_ is not GeneratorType
        and not issubclass(class_, Exception)
        and not hasattr(class_, "__await__")
        and not hasattr(class_, "__aiter__")
        and not hasattr(class_, "__getattr__")
        and class_.__getattribute__ is object.__getattribute__
    ):
        PLAIN.add(class_)
