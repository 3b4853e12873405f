"""Whether this process lives (`/healthz`) and whether it can answer (`/readyz`)."""

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from eventstore.database import StoreUnavailable
from ledger.health import store_state

_READY_TIMEOUT_S = 3.0


async def healthz(_request: Request) -> Response:
    """The process runs its loop; it says nothing about the database, which restarting this process would not mend."""
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> Response:
    """The database answers in time, and is as this code knows it."""
    try:
        state = await asyncio.wait_for(store_state(request.app.state.ledger), _READY_TIMEOUT_S)
    except (StoreUnavailable, TimeoutError):
        return _not_ready("the database does not answer")
    if not state.current:
        return _not_ready("the database is at another version than this Consentry; `consentry migrate` updates it")
    return JSONResponse({"status": "ready"})


def _not_ready(reason: str) -> Response:
    return JSONResponse({"status": "unavailable", "reason": reason}, status_code=503, headers={"retry-after": "1"})
