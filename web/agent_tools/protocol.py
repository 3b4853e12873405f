"""The protocol's own errors in words that an agent cannot misread: whatever is no answer of a tool starts with DO NOT SEND.

The protocol's library words its errors for programmers, quotes what was sent, and lets a call without an id pass for a
notification, which nobody answers. What is wrong with a message is so found before it, and what it says is said anew.
"""

from collections.abc import Mapping
from typing import Any

from mcp import types

from web.agent_tools.answers import DO_NOT_SEND

NO_ID = "server-error"
CALL = "tools/call"
_NOTIFICATIONS = "notifications/"
_WORDS: Mapping[int, str] = {
    types.PARSE_ERROR: "the message is not of this protocol",
    types.INVALID_REQUEST: "the message is not of this protocol",
    types.METHOD_NOT_FOUND: "there is no such method here; tools are listed by tools/list and called by tools/call",
    types.INVALID_PARAMS: "the parameters are not those of the method",
}


def wrong_message(message: Mapping[str, Any]) -> str | None:
    """What is wrong with a message, quoting nothing of it; None where it may be handed on."""
    method, params = message.get("method"), message.get("params")
    if message.get("jsonrpc") != "2.0" or not isinstance(method, str):
        return "a message has jsonrpc, which is 2.0, and a method"
    if not method.startswith(_NOTIFICATIONS) and id_of(message) == NO_ID:
        return "a request has an id, a text or a whole number: without one nobody is answered, and nothing is done"
    if params is not None and not isinstance(params, Mapping):
        return "params must be an object"
    return _wrong_call(params or {}) if method == CALL else None


def _wrong_call(params: Mapping[str, Any]) -> str | None:
    if not isinstance(params.get("name"), str):
        return "params must hold the name of a tool, a text, and its arguments"
    if not isinstance(params.get("arguments"), Mapping | None):
        return "arguments must be an object"
    return None


def id_of(message: Mapping[str, Any]) -> str | int:
    """The id of a request; one of ours where it has none that can be answered."""
    given = message.get("id")
    return given if isinstance(given, str | int) and not isinstance(given, bool) else NO_ID


def refused(message: Mapping[str, Any], why: str) -> dict[str, Any]:
    """The answer to a message that is not handed on: of a call the result, which an agent reads as it stands."""
    if message.get("method") == CALL and id_of(message) != NO_ID:
        result = failed(f"{why}.").model_dump(by_alias=True, mode="json", exclude_none=True)
        return {"jsonrpc": "2.0", "id": id_of(message), "result": result}
    return error(id_of(message), types.INVALID_REQUEST, why)


def failed(why: str) -> types.CallToolResult:
    """An error as a result that nobody takes for a permission."""
    return types.CallToolResult(content=[types.TextContent(type="text", text=f"{DO_NOT_SEND}. {why}")], isError=True)


def error(id: str | int, code: int, why: str | None = None) -> dict[str, Any]:
    """An error of the protocol; in the words for its code, where there are none of its own."""
    said = why or _WORDS.get(code, "the request was not answered")
    return {"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": f"{DO_NOT_SEND}. {said}"}}
