"""The peer of the endpoint: the same schema behind Strawberry's own ASGI view. `strawberry_view.py DATA_DIR PORT`."""

import sys
from pathlib import Path
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL

from ledger.api_keys import SCOPES
from ledger.assembly import Caller, LedgerConfig, open_ledger
from schema.context import RequestContext
from schema.schema import build_schema
from web.event_loop import run


async def serve(data_dir: Path, port: int) -> None:
    async with open_ledger(LedgerConfig(data_dir=data_dir)) as ledger:
        tenant = await ledger.tenant_by_id(1)

        class View(GraphQL[Any, Any]):
            async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Any:
                return RequestContext(tenant, Caller("bench", frozenset(SCOPES)))

        config = uvicorn.Config(View(build_schema()), host="127.0.0.1", port=port, log_level="error", access_log=False)
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    # As ours, and as uvicorn recommends: on uvloop.
    run(serve(Path(sys.argv[1]), int(sys.argv[2])))
