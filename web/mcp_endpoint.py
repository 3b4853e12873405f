"""`/mcp`: the tools for agents over streamable HTTP, for API keys. Stateless: each request is answered by itself, as JSON.

The protocol's library is loaded with the first request: a server that no agent asks does not pay for it.
"""

import asyncio
from collections.abc import Mapping
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
from web.plain_http import body_of, json_object
from web.request_observer import request_record

MESSAGE_BYTES_MAX = 64 * 1024
_INVALID_REQUEST = -32600


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
            body = await body_of(request, MESSAGE_BYTES_MAX)
            # The library takes what is no JSON for a failure of its own.
            json_object(body)
        except LimitExceeded as limit:
            await _error(413, str(limit), {"connection": "close"})(scope, receive, send)
            return
        except NotServed as refused:
            await _error(refused.status, refused.error["message"], refused.headers)(scope, receive, send)
            return
        record = request_record(scope)
        tools = await asyncio.to_thread(import_module, "web.agent_tools.tools")
        servers = await asyncio.to_thread(import_module, "web.agent_tools.server")
        managers = await asyncio.to_thread(import_module, "mcp.server.streamable_http_manager")

        async def call(name: str, arguments: Mapping[str, Any]) -> Any:
            record.operation = name if name in tools.TOOLS else None
            return await tools.call_tool(tenant, caller, name, arguments, record.request_id)

        # One manager a request: it ends with the request, and nothing of a caller is left for the next.
        manager = managers.StreamableHTTPSessionManager(servers.agent_server(call), json_response=True, stateless=True)
        async with manager.run():
            await manager.handle_request(scope, _read_already(body, receive), send)

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
