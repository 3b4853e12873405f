"""Which values a resolver gives are just values: neither awaited, nor raised, nor read asynchronously.

It is asked for every value of an answer, so it is remembered by class; a class that may answer for each of its instances
on its own is asked each time.
"""

from types import GeneratorType, NoneType
from typing import Any

from graphql.pyutils import is_awaitable

# Py_TPFLAGS_HEAPTYPE
_HEAP_TYPE = 1 << 9
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
        and not any(_answers_by_itself(base) for base in class_.__mro__)
    ):
        PLAIN.add(class_)


def _answers_by_itself(class_: type) -> bool:
    """Whether code in Python says which attributes an instance has."""
    is_written_in_python = class_.__flags__ & _HEAP_TYPE
    return bool(is_written_in_python) and ("__getattribute__" in vars(class_) or "__getattr__" in vars(class_))
