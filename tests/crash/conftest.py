"""A database of its own for servers that are killed."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ledger.assembly import LedgerConfig
from tests.conftest import own_database


@pytest.fixture
async def where(tmp_path: Path) -> AsyncIterator[tuple[list[str], LedgerConfig]]:
    """The options of a database of its own, and the same as a configuration."""
    url = os.environ.get("CONSENTRY_TEST_DATABASE_URL")
    if not url:
        yield ["--data-dir", str(tmp_path)], LedgerConfig(data_dir=tmp_path)
        return
    async with own_database(url) as own:
        yield (
            ["--data-dir", str(tmp_path), "--database-url", own],
            LedgerConfig(data_dir=tmp_path, database_url=own),
        )
