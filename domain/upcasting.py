"""Reading old versions of events: each step turns the data of one version into that of the next. Nothing is rewritten."""

from collections.abc import Callable, Mapping
from typing import Any

from domain.events import CURRENT_VERSIONS, EventType

ROOT_UNIT = "root"


class UnknownEventVersion(Exception):
    """The log holds an event of a type or version that this code is too old for: nothing can be answered from it."""


def _consent_captured_1(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Version 1 knew no business units, and only applications with a server key could write."""
    return {**data, "unit": ROOT_UNIT, "trust": "SERVER_KEY"}


_STEPS: Mapping[tuple[EventType, int], Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
    (EventType.CONSENT_CAPTURED, 1): _consent_captured_1,
}


def upcast(type_name: str, version: int, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """`data` in the current version of its type. Raises UnknownEventVersion."""
    try:
        event_type = EventType(type_name)
    except ValueError as error:
        raise UnknownEventVersion(f"events of type {type_name} are not known here") from error
    current = CURRENT_VERSIONS[event_type]
    if not 1 <= version <= current:
        raise UnknownEventVersion(f"version {version} of {type_name} is not known here")
    while version < current:
        data = _STEPS[event_type, version](data)
        version += 1
    return data
