"""The scalars of the contract: how each is read, how it is written, and what is said where it cannot be read."""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, NewType

import strawberry
from graphql import GraphQLError, ValueNode, value_from_ast_untyped
from strawberry.types.scalar import ScalarDefinition

from domain.refusals import Refusal
from domain.time import format_instant, parse_instant

LONG_MAX = 2**53 - 1  # what a JSON number holds exactly, wherever it is read

Long = NewType("Long", int)
Bytes = NewType("Bytes", bytes)
JSON = NewType("JSON", object)

_WHOLE = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)


def _read_instant(value: Any) -> datetime:
    if not isinstance(value, str):
        raise _malformed("a DateTime is text such as 2026-03-01T12:00:00Z")
    try:
        return parse_instant(value, field="the instant")
    except Refusal as refusal:
        raise _malformed(refusal.message) from None


def _read_long(value: Any) -> int:
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LONG_MAX:
        raise _malformed(f"a Long is a whole number from 0 to {LONG_MAX}, as a number or as text")
    return value


def _read_bytes(value: Any) -> bytes:
    try:
        return b64decode(value, validate=True)
    except (Base64Error, TypeError, ValueError):
        raise _malformed("Bytes are text in Base64 (RFC 4648 section 4), padding included") from None


def _write_bytes(value: bytes) -> str:
    return b64encode(value).decode("ascii")


def _in_document(read: Callable[[Any], Any]) -> Callable[..., Any]:
    """The same for a value that stands in the document itself: the error tells its line and column."""

    def parse(node: ValueNode, variables: dict[str, Any] | None = None) -> Any:
        try:
            return read(value_from_ast_untyped(node, variables))
        except GraphQLError as error:
            raise GraphQLError(error.message, node, extensions=error.extensions) from None

    return parse


def _malformed(what_would_be_right: str) -> GraphQLError:
    # Never with the value itself: it may be personal, and errors are logged.
    return GraphQLError(what_would_be_right, extensions={"code": "BAD_USER_INPUT"})


SCALARS: Mapping[object, ScalarDefinition] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description="RFC 3339 instant with offset; answers are UTC with microseconds.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        # Thousands of decisions of one call were taken at one instant.
        serialize=lru_cache(maxsize=64)(format_instant),
        parse_value=_read_instant,
        parse_literal=_in_document(_read_instant),
    ),
    Long: strawberry.scalar(
        name="Long",
        description=(
            "A non-negative whole number beyond 32 bits, written as a JSON number up to 2^53-1; "
            "read as number or string."
        ),
        parse_value=_read_long,
        parse_literal=_in_document(_read_long),
    ),
    Bytes: strawberry.scalar(
        name="Bytes",
        description="Base64, RFC 4648 section 4.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc4648#section-4",
        serialize=_write_bytes,
        parse_value=_read_bytes,
        parse_literal=_in_document(_read_bytes),
    ),
    JSON: strawberry.scalar(name="JSON", description="Any JSON value."),
}
