"""The example in docs/reading-the-log.md works, and what the page says of lines and parameters is so."""

import re
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from domain.addresses import Channel
from domain.consent import ConsentValue
from ledger.api_keys import SCOPES, create_key
from ledger.assembly import Caller, LedgerConfig, open_ledger
from ledger.record import Capture, record_consents
from ledger.tenants import create_tenant
from tests.crash.server import Server

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "reading-the-log.md").read_text("utf-8")
REASON = "of three\u2028lines\u2029here"


@pytest.mark.skipif(sys.platform == "win32", reason="the server is told to stop by a signal")
async def test_the_example_follows_a_log(tmp_path: Path, caller: Caller) -> None:
    import asyncio

    [example] = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    handled: list[dict[str, Any]] = []
    names: dict[str, Any] = {"handle": handled.append}
    exec(example, names)  # noqa: S102 - the document's own example
    async with open_ledger(LedgerConfig(data_dir=tmp_path)) as ledger:
        tenant = await create_tenant(ledger, "acme", "Acme")
        key = await create_key(tenant, "follower", SCOPES)
        server = Server("--data-dir", str(tmp_path))
        await server.start()
        try:
            cursor = await asyncio.to_thread(names["read_on"], server.url, "acme", key, None)
            there = len(handled)
            assert there == 7
            capture = Capture(
                channel=Channel.EMAIL, address="ada@example.org", purpose="commercial", value=ConsentValue.OPTED_OUT,
                reason=REASON,
            )  # fmt: skip
            await record_consents(tenant, caller, [capture])
            cursor = await asyncio.to_thread(names["read_on"], server.url, "acme", key, cursor)
            assert await asyncio.to_thread(names["read_on"], server.url, "acme", key, cursor) == cursor
            async with httpx.AsyncClient(headers={"authorization": f"Bearer {key}"}) as client:
                path = f"{server.url}/log/acme/events.ndjson?type=ConsentCaptured&purpose=commercial"
                response = await client.get(path)
        finally:
            await server.stop()
    assert [event["position"] for event in handled] == list(range(there + 1))
    assert handled[-1]["reason"] == REASON
    # To a reader that knows every line end of Unicode, too.
    assert len(list(response.iter_lines())) == 1
    for member in response.json():
        assert f"`{member}`" in DOCUMENT, member
    for parameter in ("after", "type", "purpose"):
        assert f"| `{parameter}` |" in DOCUMENT
