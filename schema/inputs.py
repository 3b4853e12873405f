"""Arguments that a caller may leave out. A default of null would stand in the schema, where the contract has none."""

from typing import Any, TypeVar

from strawberry import UNSET

from domain.catalogue_commands import UNCHANGED, Unchanged

T = TypeVar("T")

LEFT_OUT: Any = UNSET


def given(value: T | None) -> T | None:
    """What was given; None where it was left out."""
    return None if value is UNSET else value


def change(value: T | None) -> T | None | Unchanged:
    """What an update was given; UNCHANGED where it was left out, for null clears."""
    return UNCHANGED if value is UNSET else value
