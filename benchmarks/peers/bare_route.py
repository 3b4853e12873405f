"""The peer of the checks: Starlette, one route, one SQL statement a request, nothing else. `bare_route.py DATA_DIR PORT`.

POST / takes {"addresses": [...]} and answers what current_consent holds for each, by the same blind index as ours: it finds
the same rows, and knows nothing of catalogue, reasons, suppressions, positions or keys.
"""

import sys
from pathlib import Path

import asyncpg
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ledger.assembly import LedgerConfig, open_ledger
from web.event_loop import run

SQL = """
SELECT asked.number, c.value FROM unnest($1::bytea[]) WITH ORDINALITY AS asked (blind_index, number)
LEFT JOIN vault_subjects s ON s.tenant = 1 AND s.blind_index = asked.blind_index
LEFT JOIN current_consent c
    ON c.tenant = 1 AND c.contact_point = s.contact_point AND c.purpose = 'commercial' AND c.topic = ''
ORDER BY asked.number
"""


async def serve(data_dir: Path, port: int) -> None:
    async with open_ledger(LedgerConfig(data_dir=data_dir)) as ledger:
        blind_index = (await ledger.tenant_by_id(1)).blind_index
        pool = await asyncpg.create_pool(**ledger.address.service, min_size=2, max_size=10)

        async def check(request: Request) -> JSONResponse:
            body = await request.json()
            indexes = [blind_index("EMAIL", item.strip().lower()) for item in body["addresses"]]
            rows = await pool.fetch(SQL, indexes)
            return JSONResponse([{"allowed": row[1] != "OPTED_OUT", "value": row[1]} for row in rows])

        app = Starlette(routes=[Route("/", check, methods=["POST"])])
        config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", access_log=False)
        await uvicorn.Server(config).serve()
        await pool.close()


if __name__ == "__main__":
    # As ours, and as uvicorn recommends: on uvloop.
    run(serve(Path(sys.argv[1]), int(sys.argv[2])))
