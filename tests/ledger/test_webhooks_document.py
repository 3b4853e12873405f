"""The examples of docs/webhooks.md run: its receiver takes what is sent, and its documents are answered."""

import asyncio
import os
import re
import socket
import sys
from pathlib import Path

from eventstore.database import DatabaseAddress
from ledger import webhook_lists, webhooks
from ledger.acknowledgements import acknowledgements_of
from ledger.api_keys import create_key
from ledger.assembly import Caller
from schema.context import RequestContext
from schema.schema import build_schema
from tests.conftest import APPLICATION
from tests.ledger.test_webhook_delivery import made, own_tenant, record, settled, until, working

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "webhooks.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


async def test_the_receiver_in_the_document_takes_what_is_sent(
    database: DatabaseAddress, data_dir: Path, tmp_path: Path
) -> None:
    [example] = blocks("python")
    (tmp_path / "receiver.py").write_text(example)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with own_tenant(database, data_dir) as tenant:
        hook = await made(tenant, f"http://127.0.0.1:{port}/")
        assert hook.secret is not None
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(tmp_path / "receiver.py"),
            env={**os.environ, "WEBHOOK_SECRET": hook.secret, "PORT": str(port)},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            async with working(tenant):
                position = await record(tenant, "ann@example.org")
                line = await asyncio.wait_for(process.stdout.readline(), 30)
                assert line.decode().strip() == f"opted out of commercial at position {position}"
                await settled(tenant, hook.webhook)
                assert [one.application for one in (await acknowledgements_of(tenant, [position]))[position]] == [
                    "tests"
                ]
                # A secret that it does not have: it takes nothing more.
                await webhooks.rotate_webhook_secret(tenant, APPLICATION, webhook=hook.webhook.id, revoke_old=True)

                async def refused() -> bool:
                    await record(tenant, "bea@example.org")
                    page = await webhook_lists.deliveries(tenant, hook.webhook.id, unfinished_only=True)
                    return any(row.said == "it answered 401" for _, row in page.items)

                await until(refused)
        finally:
            process.kill()
            await process.wait()


async def test_every_document_is_answered(database: DatabaseAddress, data_dir: Path) -> None:
    async with own_tenant(database, data_dir) as tenant:
        await create_key(tenant, "mailer", ["read"])
        for document in blocks("graphql"):
            asking = RequestContext(tenant, Caller("mailer", APPLICATION.scopes))
            result = await build_schema().execute(document, context_value=asking)
            assert result.errors is None
            assert all(not shown.get("errors") for shown in (result.data or {}).values())
