"""Another's judgement: `auditServer` of the npm package graphql-http against the endpoint on a real socket."""

import asyncio
import contextlib
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from toy import toy_app

from ledger.api_keys import create_key
from ledger.assembly import Ledger, Tenant
from web.app import create_app

_FOLDER = Path(__file__).with_name("graphql_over_http")
_AUDITS = 61


@pytest.fixture(scope="session")
def audit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("graphql-http audits: node and npm are not installed")
    folder = tmp_path_factory.mktemp("audit")
    for file in _FOLDER.iterdir():
        if file.is_file():
            shutil.copy(file, folder)
    installed = subprocess.run(
        [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder, capture_output=True, timeout=120
    )
    if installed.returncode != 0:
        pytest.skip("graphql-http audits: npm cannot get the package here")
    return folder


@contextlib.asynccontextmanager
async def listening(app: Starlette) -> AsyncIterator[str]:
    """The application on a socket of its own."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_config=None))
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign] - pytest keeps its own
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


@pytest.mark.parametrize("application", ["toy", "consentry"])
async def test_graphql_http_finds_nothing_to_complain_about(
    audit_folder: Path, ledger: Ledger, tenant: Tenant, application: str
) -> None:
    app = toy_app() if application == "toy" else create_app(ledger)
    key = await create_key(tenant, "audit", ["check"])
    async with listening(app) as url:
        audit = await asyncio.create_subprocess_exec(
            "node", "audit.mjs", f"{url}/graphql", key, cwd=audit_folder, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await asyncio.wait_for(audit.communicate(), 60)
    results = json.loads(output)
    assert [result for result in results if result["status"] != "ok"] == []
    assert len(results) == _AUDITS
