"""The tools over standard input and output, for agents that start their tools as a process: each call goes to a server's `/mcp`.

The process holds a key and an address, nothing else: no database and no master key stand beside the agent.
"""

from collections.abc import Mapping
from typing import Any

import anyio
import httpx
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

from web.agent_tools.protocol import CALL, error, failed, refused, wrong_message
from web.agent_tools.server import agent_server

_TIMEOUT_S = 30.0
_Incoming = MemoryObjectReceiveStream[SessionMessage | Exception]
_Outgoing = MemoryObjectSendStream[SessionMessage]


class Bridge:
    """Calls the tools of one server with one key."""

    def __init__(self, client: httpx.AsyncClient, url: str, key: str) -> None:
        self._client = client
        self._url = url
        self._headers = {"authorization": f"Bearer {key}", "accept": "application/json, text/event-stream"}

    async def call(self, name: str, arguments: Mapping[str, Any]) -> types.CallToolResult:
        """The server's result; an error result where there is none."""
        message = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": CALL,
            "params": {"name": name, "arguments": dict(arguments)},
        }
        try:
            response = await self._client.post(self._url, json=message, headers=self._headers)
        except (httpx.HTTPError, UnicodeError) as error:
            return failed(f"The server of the tools did not answer ({type(error).__name__}); call again.")
        try:
            answer = response.json()
            if response.status_code == httpx.codes.OK and "result" in answer:
                return types.CallToolResult.model_validate(answer["result"])
            why = str(answer["error"]["message"]).removeprefix("DO NOT SEND. ")
        except (ValueError, KeyError, TypeError, ValidationError):
            why = "what it answered is not of this protocol"
            if response.status_code == httpx.codes.NOT_FOUND:
                why = f"there are no tools at {self._url}; give its own address as --url, to which /mcp is added"
        return failed(f"The server of the tools refused (status {response.status_code}): {why}.")


async def serve_stdio(url: str, key: str) -> None:
    """Serve the tools until standard input ends."""
    # Proxies and certificates are those of the agent's machine. A redirect is not followed: the key stays with its server.
    async with httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
        server = agent_server(Bridge(client, url, key).call)
        async with stdio_server() as (incoming, outgoing):
            await _serve(server, incoming, outgoing)


async def _serve(server: Server[Any, Any], incoming: _Incoming, outgoing: _Outgoing) -> None:
    """Run the server behind what looks at each message on its way, in and out."""
    to_server, server_incoming = anyio.create_memory_object_stream[SessionMessage | Exception]()
    server_outgoing, from_server = anyio.create_memory_object_stream[SessionMessage]()

    async def inward() -> None:
        async with to_server:
            async for item in incoming:
                said = {} if isinstance(item, Exception) else item.message.root.model_dump(mode="json", by_alias=True)
                # An answer to a request of the server's own has no method.
                wrong = wrong_message(said) if isinstance(item, Exception) or "method" in said else None
                if wrong is None:
                    await to_server.send(item)
                else:
                    await outgoing.send(_message(refused(said, wrong)))

    async def outward() -> None:
        async for item in from_server:
            root = item.message.root
            if isinstance(root, types.JSONRPCError):
                item = _message(error(root.id, root.error.code))
            await outgoing.send(item)
        await outgoing.aclose()

    async with anyio.create_task_group() as running:
        running.start_soon(inward)
        running.start_soon(outward)
        await server.run(server_incoming, server_outgoing, server.create_initialization_options())


def _message(said: Mapping[str, Any]) -> SessionMessage:
    return SessionMessage(types.JSONRPCMessage.model_validate(said))
