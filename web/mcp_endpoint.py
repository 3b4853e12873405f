"""`/mcp`: the tools for agents over streamable HTTP, for API keys. Stateless: each request is answered by itself, as JSON.

The protocol's library is loaded with the first request: a server that no agent asks does not pay for it.
"""

import asyncio
import json
from collections.abc import Mapping
from http import HTTPStatus
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from domain.refusals import LimitExceeded
from ledger.assembly import Ledger
from web.authentication import caller_of
from web.graphql_endpoint import NotServed
from web.plain_http import JSON, body_of, content_type, json_object
from web.request_observer import request_record

MESSAGE_BYTES_MAX = 64 * 1024
_INVALID_REQUEST = -32600
# What the library looks at in the head of a request.
_WORDS: Mapping[int, str] = {
    HTTPStatus.NOT_ACCEPTABLE: "the client has to accept application/json and text/event-stream",
    HTTPStatus.BAD_REQUEST: "the message, or the version of the protocol in its head, is not of this protocol",
}


class McpEndpoint:
    """The ASGI application for `/mcp`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one message."""
        request = Request(scope, receive)
        refusal = self._refused(request)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        try:
            tenant, caller = await caller_of(request.scope, self._ledger)
            content_type(request, JSON)
            body = await body_of(request, MESSAGE_BYTES_MAX)
            # The library takes what is no JSON for a failure of its own.
            message = json_object(body)
        except LimitExceeded as limit:
            await _error(413, str(limit), {"connection": "close"})(scope, receive, send)
            return
        except NotServed as refused:
            await _error(refused.status, refused.error["message"], refused.headers)(scope, receive, send)
            return
        record = request_record(scope)
        protocol = await asyncio.to_thread(import_module, "web.agent_tools.protocol")
        wrong = protocol.wrong_message(message)
        if wrong is not None:
            answer = protocol.refused(message, wrong)
            await JSONResponse(answer, 200 if "result" in answer else 400)(scope, receive, send)
            return
        tools = await asyncio.to_thread(import_module, "web.agent_tools.tools")
        servers = await asyncio.to_thread(import_module, "web.agent_tools.server")
        managers = await asyncio.to_thread(import_module, "mcp.server.streamable_http_manager")

        async def call(name: str, arguments: Mapping[str, Any]) -> Any:
            record.operation = name if name in tools.TOOLS else None
            return await tools.call_tool(tenant, caller, name, arguments, record.request_id)

        # One manager a request: it ends with the request, and nothing of a caller is left for the next.
        manager = managers.StreamableHTTPSessionManager(servers.agent_server(call), json_response=True, stateless=True)
        answered = _Answered()
        async with manager.run():
            await manager.handle_request(scope, _read_already(body, receive), answered.take)
        await answered.said_anew(protocol, protocol.id_of(message))(scope, receive, send)

    def _refused(self, request: Request) -> Response | None:
        """The answer to a request that is not looked at further.

        A browser says from which page a request comes: no page but our own may speak for an agent (DNS rebinding).
        """
        origins = request.headers.getlist("origin")
        if any(origin != _origin(self._ledger.public_url) for origin in origins):
            return _error(403, "requests of this origin are not answered")
        if request.method != "POST":
            return _error(405, "a message is posted; there are no sessions and no streams here", {"allow": "POST"})
        return None


class _Answered:
    """The library's answer, taken whole before it is sent: what is an error in it is said in our words."""

    def __init__(self) -> None:
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body = bytearray()

    async def take(self, message: Message) -> None:
        """One message of the answer."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
        else:
            self._body += message.get("body", b"")

    def said_anew(self, protocol: Any, id: str | int) -> Response:
        """The answer to be sent. A notification is accepted without one."""
        if self._status == HTTPStatus.ACCEPTED:
            return Response(status_code=self._status, headers=self._headers)
        try:
            answer = json.loads(self._body)
        except ValueError:
            answer = {}
        if self._status == HTTPStatus.OK and "result" in answer:
            return Response(bytes(self._body), self._status, headers=self._headers)
        code = answer.get("error", {}).get("code", _INVALID_REQUEST)
        return JSONResponse(protocol.error(id, code, _WORDS.get(self._status)), self._status or 500)


def _read_already(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error of JSON-RPC about the request as a whole, whose id is not known; an agent that reads it is told not to send."""
    error = {"code": _INVALID_REQUEST, "message": f"DO NOT SEND. {message}"}
    return JSONResponse({"jsonrpc": "2.0", "id": "server-error", "error": error}, status, headers=headers)
