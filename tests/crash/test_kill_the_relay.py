"""`consentry relay nats` as a process of its own: killed midway, two at once, and told to stop."""

import asyncio
import signal
import sys
from pathlib import Path

from domain.addresses import Channel
from domain.consent import ConsentValue
from eventstore import read
from ledger.assembly import Caller, LedgerConfig, open_ledger
from ledger.record import Capture, record_consents
from ledger.tenants import create_tenant
from tests.crash.server import COMMAND, ROOT, environment
from tests.nats_server import messages, nats_server

STREAM = "consentry-acme"


async def relay(options: list[str], url: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, "relay", "nats", "--url", url, "--tenant", "acme", *options,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, env=environment(), cwd=ROOT,
    )  # fmt: skip


async def test_relays_that_are_killed_leave_a_stream_that_the_next_one_completes(
    where: tuple[list[str], LedgerConfig], tmp_path: Path
) -> None:
    options, config = where
    async with nats_server(tmp_path / "nats") as nats, open_ledger(config) as ledger, nats.client() as client:
        tenant = await create_tenant(ledger, "acme", "Acme")
        caller = Caller(None, frozenset())

        async def record(name: str) -> int:
            captures = [
                Capture(
                    channel=Channel.EMAIL,
                    address=f"{name}{n}@example.org",
                    purpose="commercial",
                    value=ConsentValue.OPTED_OUT,
                )
                for n in range(1_000)
            ]
            await record_consents(tenant, caller, captures)
            async with ledger.connection() as connection:
                return (await read.head(connection, tenant.id)).size

        async def until_it_holds(number: int) -> None:
            """Each message announces itself: return when one with this number or more has."""
            async with asyncio.timeout(60):
                while int((await heard.next_msg(60)).headers["Consentry-Position"]) + 1 < number:
                    pass

        heard = await client.subscribe("consentry.acme.>")
        size = await record("first")
        killed = await relay(options, nats.url)
        await until_it_holds(size // 2)
        killed.kill()
        await killed.communicate()
        one, other = await relay(options, nats.url), await relay(options, nats.url)
        size = await record("second")
        await until_it_holds(size - 300)
        one.kill()
        await one.communicate()
        size = await record("third")
        await until_it_holds(size)
        other.send_signal(signal.SIGTERM)
        _, said = await asyncio.wait_for(other.communicate(), 20)
        assert other.returncode == 0, said.decode()
        assert b"holds the log up to position" in said
        assert b"Traceback" not in said
        async with ledger.connection() as connection:
            log = await read.forward(connection, tenant.id, limit=10_000)
        found = await messages(client, STREAM)
        assert [(number - 1, body) for number, _, body, _ in found] == [(one.position, one.raw) for one in log]


async def test_what_cannot_be_is_said_in_a_sentence(where: tuple[list[str], LedgerConfig], tmp_path: Path) -> None:
    options, config = where
    async with nats_server(tmp_path / "nats") as nats, open_ledger(config) as ledger, nats.client() as client:
        await create_tenant(ledger, "acme", "Acme")
        await client.jetstream().add_stream(name=STREAM, subjects=["consentry.acme.other"])
        for given, url, code, sentence in (
            ([], nats.url, 1, "acme: stream consentry-acme must have the one subject consentry.acme.>"),
            ([], "http://127.0.0.1", 2, "--url: a URL such as nats://127.0.0.1:4222"),
            ([], "nats://ann:secret@127.0.0.1", 2, "--url: credentials do not belong there"),
            (["--subject-prefix", "a.*"], nats.url, 2, "--subject-prefix: letters"),
            (["--stream", "a b"], nats.url, 2, "--stream: letters"),
            (["--creds", str(tmp_path / "none.creds")], nats.url, 2, "--creds: the file cannot be read"),
            (["--tls-ca", "none.pem"], nats.url, 2, "--tls-ca: only with a --url that begins with tls://"),
            (["--tls-ca", str(tmp_path / "none.pem")], "tls://127.0.0.1", 2, "--tls-ca: no certificates can be read"),
        ):
            process = await relay([*options, *given], url)
            _, said = await asyncio.wait_for(process.communicate(), 30)
            assert process.returncode == code, said.decode()
            assert sentence in said.decode()
            assert "secret" not in said.decode()
            assert "Traceback" not in said.decode()
