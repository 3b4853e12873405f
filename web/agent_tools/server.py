"""A server of the Model Context Protocol with our tools; who runs a tool, and over what transport, is given."""

from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from typing import Any

from mcp import types
from mcp.server.lowlevel import Server

from web.agent_tools.tools import INSTRUCTIONS, TOOLS

NAME = "consentry"
CallTool = Callable[[str, Mapping[str, Any]], Awaitable[types.CallToolResult]]


def agent_server(call: CallTool) -> Server[Any, Any]:
    """The server; `call` runs a tool by its name and gives a result whatever happens."""
    server = Server[Any, Any](NAME, version=version(NAME), instructions=INSTRUCTIONS)

    async def list_tools(_: types.ListToolsRequest) -> types.ServerResult:
        return types.ServerResult(types.ListToolsResult(tools=[tool.definition for tool in TOOLS.values()]))

    async def run(request: types.CallToolRequest) -> types.ServerResult:
        return types.ServerResult(await call(request.params.name, request.params.arguments or {}))

    # Not by the library's decorators: they word errors themselves, and quote what was sent.
    server.request_handlers[types.ListToolsRequest] = list_tools
    server.request_handlers[types.CallToolRequest] = run
    return server
