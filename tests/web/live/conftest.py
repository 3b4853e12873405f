"""A server of the application on a socket, a key that may follow, and clients."""

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from ledger.api_keys import create_key
from ledger.assembly import Ledger, Tenant

sys.path.insert(0, str(Path(__file__).parent))

from following import Running, Socket, running  # noqa: E402 - from beside this file


@pytest.fixture
async def served(ledger: Ledger) -> AsyncIterator[Running]:
    async with running(ledger) as server:
        yield server


@pytest.fixture
async def key(tenant: Tenant) -> str:
    return await create_key(tenant, "follower", ["read"])


@pytest.fixture
def socket(served: Running) -> Callable[..., Socket]:
    def connect(key: str | None = None, **options: Any) -> Socket:
        return Socket(served.websocket_url, key, **options)

    return connect
