"""c15t's backend: what it is asked, and the server of `npm/c15t.mjs` that answers."""

import contextlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import asyncpg

from benchmarks.peers.npm_packages import NPM
from benchmarks.serving import free_port, load, process

DATABASE = "c15t"
_TYPE = "marketing_communications"


def installed() -> bool:
    """Whether node and its packages are there."""
    return shutil.which("node") is not None and (NPM / "node_modules" / "@c15t").is_dir()


async def make_database(owner: Mapping[str, Any]) -> None:
    """Make its database anew on the server that `owner` connects to; the server's own migrations do the rest."""
    connection = await asyncpg.connect(**owner)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()


class C15t:
    """The server, until the context that it is entered into ends."""

    def __init__(self, stack: contextlib.ExitStack, owner: Mapping[str, Any]) -> None:
        port = free_port()
        arguments = (str(NPM / "c15t.mjs"), str(owner["host"]), str(port))
        stack.enter_context(process(*arguments, port=port, program=shutil.which("node") or "node"))
        self._url = f"http://127.0.0.1:{port}"

    def know(self, addresses: Sequence[str]) -> None:
        """Record one consent for each, so that there is something to check."""
        load(f"{self._url}/api/subjects", 4, "", *[_consent(address) for address in addresses], seconds=3)

    def checks(self, addresses: Sequence[str], seconds: float) -> dict[str, float]:
        """`GET /api/consents/check` of known addresses, 16 connections."""
        asked = [f"/api/consents/check?{urlencode({'externalId': one, 'type': _TYPE})}" for one in addresses]
        return load(self._url, 16, "", *asked, seconds=seconds)

    def records(self, seconds: float) -> dict[str, float]:
        """`POST /api/subjects` of new ones, 64 connections."""
        return load(f"{self._url}/api/subjects", 64, "", _consent("c{n}@example.org"), seconds=seconds)


def _consent(address: str) -> str:
    return json.dumps({
        "type": _TYPE,
        "subjectId": "sub_{word}",
        "domain": "example.org",
        "externalSubjectId": address,
        "identityProvider": "email",
        "givenAt": int(time.time() * 1_000),
        "preferences": {"marketing": True},
        "metadata": {},
    })  # fmt: skip
