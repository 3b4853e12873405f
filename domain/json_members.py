"""JSON objects with each member once: of two values under one name, one would be dropped, and it may be the opt-out."""

from typing import Any


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The members of an object, for `json.loads(..., object_pairs_hook=each_once)`. Raises ValueError where one is twice."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members
