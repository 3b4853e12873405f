"""The toy application, asked without a network."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from httpx import AsyncClient

sys.path.insert(0, str(Path(__file__).parent))

from toy import asking, toy_app  # noqa: E402 - from beside this file


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    async with asking(toy_app()) as client:
        yield client
