"""The tools over standard input and output, for agents that start their tools as a process: each call goes to a server's `/mcp`.

The process holds a key and an address, nothing else: no database and no master key stand beside the agent.
"""

from collections.abc import Mapping
from typing import Any

import httpx
from mcp import types
from mcp.server.stdio import stdio_server
from pydantic import ValidationError

from web.agent_tools.server import agent_server
from web.agent_tools.tools import failed

_TIMEOUT_S = 30.0


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
            "method": "tools/call",
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
        return failed(f"The server of the tools refused (status {response.status_code}): {why}.")


async def serve_stdio(url: str, key: str) -> None:
    """Serve the tools until standard input ends."""
    # Proxies and certificates are those of the agent's machine. A redirect is not followed: the key stays with its server.
    async with httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
        server = agent_server(Bridge(client, url, key).call)
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())
