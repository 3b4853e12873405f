"""Headers of a request, read from where ASGI has them. They are sorted by name once, and decoded only when asked for."""

from starlette.types import Scope

_KEY = "consentry.headers"


def header_values(scope: Scope, name: bytes) -> list[str]:
    """The values of a header, one for each time that it is given. `name` is in lower case."""
    return [value.decode("latin-1") for given, value in scope["headers"] if given == name]


def header(scope: Scope, name: bytes) -> str | None:
    """The value of a header, its lines joined as HTTP has it; None where it is not given. `name` is in lower case."""
    by_name: dict[bytes, bytes] | None = scope.get(_KEY)
    if by_name is None:
        by_name = scope[_KEY] = _joined(scope["headers"])
    value = by_name.get(name)
    return None if value is None else value.decode("latin-1")


def _joined(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    by_name = dict(headers)
    if len(by_name) < len(headers):
        by_name.clear()
        for name, value in headers:
            by_name[name] = by_name[name] + b", " + value if name in by_name else value
    return by_name
