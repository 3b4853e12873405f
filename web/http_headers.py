"""Headers of a request, read from where ASGI has them: what is asked for is few, and decoded only then."""

from starlette.types import Scope


def header_values(scope: Scope, name: bytes) -> list[str]:
    """The values of a header, one for each time that it is given. `name` is in lower case."""
    return [value.decode("latin-1") for given, value in scope["headers"] if given == name]


def header(scope: Scope, name: bytes) -> str | None:
    """The value of a header, its lines joined as HTTP has it; None where it is not given. `name` is in lower case."""
    values = header_values(scope, name)
    return ", ".join(values) if values else None
