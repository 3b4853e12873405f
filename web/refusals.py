"""Every no of the ledger put into a GraphQL error: `extensions.code` of the contract, and what belongs to it.

What is not expected shows nothing but an id, which stands in the log beside where it happened.
"""

import logging
import secrets
from typing import Any

from graphql import GraphQLError

from domain.refusals import LimitExceeded, NotYetAvailable, Refusal, RefusalCode
from eventstore.database import StoreUnavailable
from ledger.going_back import LogWentBack
from schema.refusals import Forbidden
from web.admission import Overloaded
from web.graphql_limits import LimitReached

CODES = frozenset(
    {
        "GRAPHQL_PARSE_FAILED",
        "GRAPHQL_VALIDATION_FAILED",
        "BAD_USER_INPUT",
        "UNAUTHENTICATED",
        "FORBIDDEN",
        "NOT_FOUND",
        "INACTIVE",
        "LIMIT_EXCEEDED",
        "NOT_YET_AVAILABLE",
        "UNAVAILABLE",
        "CONFLICT",
        "PERSISTED_QUERY_NOT_FOUND",
        "PERSISTED_QUERY_NOT_SUPPORTED",
        "SLOW_CONSUMER",
        "INTERNAL",
    }
)
# In a mutation these stand in the payload; a query that meets one says it here. All others are the caller's input.
_CODE_OF_REFUSAL = {
    RefusalCode.NOT_FOUND: "NOT_FOUND",
    RefusalCode.INACTIVE: "INACTIVE",
    RefusalCode.VERSION_CONFLICT: "CONFLICT",
    RefusalCode.IDEMPOTENCY_CONFLICT: "CONFLICT",
}
# Messages of GraphQL's own quote the input, however long it is.
_MESSAGE_CHARS_MAX = 1_000
_log = logging.getLogger("consentry.web.refusals")

STORE_UNAVAILABLE = (
    "the store does not answer; nothing can be said now, ask again. What was to be recorded may or may not be: ask that again"
    " with the same idempotency key"
)


def error_entry(code: str, message: str, **extensions: object) -> dict[str, Any]:
    """An entry of `errors` that is about the request as a whole."""
    return {"message": _short(message), "extensions": {"code": code, **extensions}}


def document_error(error: GraphQLError, code: str) -> dict[str, Any]:
    """An entry for what is wrong with the document."""
    return _located(error, error_entry(code, error.message))


def limit_error(reached: LimitReached) -> dict[str, Any]:
    """An entry for a request that asks for more than one may."""
    extensions: dict[str, object] = {"limit": reached.limit, "allowed": reached.allowed}
    if reached.given is not None:
        extensions["given"] = reached.given
    return error_entry("LIMIT_EXCEEDED", reached.message, **extensions)


def field_error(error: GraphQLError, request_id: str) -> dict[str, Any]:
    """An entry for what a field raised, or what could not be made of its arguments."""
    cause = error.original_error
    extensions = dict(error.extensions or {})
    if extensions.get("code") in CODES:
        return _located(error, {"message": _short(error.message), "extensions": extensions})
    if isinstance(cause, GraphQLError) and cause.nodes:
        # Arguments that only their variables' values made wrong are found when the field is run.
        return _located(error, error_entry("BAD_USER_INPUT", error.message))
    return _located(error, exception_entry(cause or error, request_id))


def exception_entry(error: Exception, request_id: str) -> dict[str, Any]:
    """An entry for an exception: the expected ones in their words, any other as an id that is in the log."""
    expected = _expected(error)
    if expected is not None:
        return expected
    error_id = secrets.token_hex(8)
    _log.error("unexpected", exc_info=error, extra={"fields": {"error_id": error_id, "request_id": request_id}})
    return error_entry("INTERNAL", "something went wrong here; the id is in the log", id=error_id)


def _expected(error: Exception) -> dict[str, Any] | None:
    match error:
        case Refusal():
            code = _CODE_OF_REFUSAL.get(error.code, "BAD_USER_INPUT")
            return error_entry(code, error.message, path=list(error.path))
        case LimitExceeded():
            return error_entry(
                "LIMIT_EXCEEDED", str(error), limit=error.limit, allowed=error.allowed, given=error.given
            )
        case Forbidden():
            return error_entry("FORBIDDEN", str(error), scope=error.scope)
        case NotYetAvailable():
            return error_entry("NOT_YET_AVAILABLE", str(error), position=error.position)
        case Overloaded():
            return error_entry("UNAVAILABLE", "too much is asked at once; ask again in a moment")
        case LogWentBack():
            return error_entry("UNAVAILABLE", "this log is older than what was signed of it: nothing can be allowed")
        case StoreUnavailable():
            return error_entry("UNAVAILABLE", STORE_UNAVAILABLE)
        case _:
            return None


def _located(error: GraphQLError, entry: dict[str, Any]) -> dict[str, Any]:
    if error.locations:
        entry["locations"] = [location.formatted for location in error.locations]
    if error.path is not None:
        entry["path"] = list(error.path)
    return entry


def _short(message: str) -> str:
    return message if len(message) <= _MESSAGE_CHARS_MAX else message[:_MESSAGE_CHARS_MAX] + "…"
