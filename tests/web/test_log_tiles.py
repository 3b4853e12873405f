"""The log as C2SP tiles over HTTP: read by a reader that trusts nothing, and asked for in wrong ways."""

import gzip
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from httpx import AsyncClient, Response
from toy import asking

from domain.addresses import Channel
from domain.consent import ConsentValue
from ledger.api_keys import SCOPES, create_key
from ledger.assembly import Caller, Ledger, Tenant
from ledger.record import Capture, record_consents
from ledger.signing import verifier_keys
from tlog.checkpoint import open_checkpoint
from tlog.entry import decode
from tlog.tile_reader import TileReader
from tlog.tiles import tiles_of
from web.app import create_app


@dataclass
class LogClient:
    client: AsyncClient
    tenant: Tenant
    key: str

    async def get(self, path: str, **headers: str) -> Response:
        return await self.client.get(
            f"/log/{self.tenant.key}/{path}",
            headers={"authorization": f"Bearer {self.key}", "accept-encoding": "identity", **headers},
        )


@pytest.fixture
async def log(ledger: Ledger, tenant: Tenant, caller: Caller) -> AsyncIterator[LogClient]:
    captures = [
        Capture(channel=Channel.EMAIL, address=f"a{n}@example.org", purpose="commercial", value=ConsentValue.OPTED_OUT)
        for n in range(300)
    ]
    await record_consents(tenant, caller, captures)
    async with asking(create_app(ledger)) as client:
        yield LogClient(client, tenant, await create_key(tenant, "auditor", ["audit"]))


async def test_a_reader_that_trusts_nothing_reads_the_whole_log(log: LogClient) -> None:
    response = await log.get("checkpoint")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    checkpoint, _ = open_checkpoint(response.content, await verifier_keys(log.tenant))
    assert checkpoint.size == 307
    files: dict[str, bytes] = {}
    for tile in tiles_of(checkpoint.size):
        for path in (tile.path(), tile.path().replace("tile/0/", "tile/entries/")):
            got = await log.get(path)
            assert (got.status_code, got.headers["content-type"]) == (200, "application/octet-stream"), path
            files[path] = got.content
    entries = list(TileReader(files.__getitem__, checkpoint).verified_entries())
    assert [decode(entry).position for entry in entries] == list(range(307))


async def test_tiles_are_cached_for_ever_and_the_checkpoint_is_asked_for_anew(log: LogClient) -> None:
    tile = await log.get("tile/0/000")
    assert tile.headers["cache-control"] == "private, max-age=31536000, immutable"
    again = await log.get("tile/0/000", **{"if-none-match": tile.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert hashlib.sha256(tile.content).hexdigest()[:32] in tile.headers["etag"]
    assert (await log.get("checkpoint")).headers["cache-control"] == "private, no-cache"
    plain = await log.get("tile/entries/000")
    zipped = await log.client.get(
        f"/log/{log.tenant.key}/tile/entries/000",
        headers={"authorization": f"Bearer {log.key}", "accept-encoding": "gzip"},
    )
    assert zipped.headers["content-encoding"] == "gzip"
    assert zipped.content == plain.content, "httpx has unzipped it"
    assert len(gzip.compress(plain.content)) < len(plain.content) / 2
    assert zipped.headers["etag"] != plain.headers["etag"]


@pytest.mark.parametrize(
    ("accepted", "zipped"),
    [
        ("gzip", True), ("GZip", True), ("x-gzip", True), ("*", True), ("br, gzip;q=0.001", True), ("br;q=0, *;q=0.5", True),
        ("gzip ; q=1.000", True), ("gzip;Q=0.5,identity;q=0.5", True), ("identity;q=0, *", True), ("*;q=0, gzip", True),
        ("gzip;q=0", False), ("gzip; q=0.000", False), ("gzip;q=0, *", False), ("x-gzip;q=0, *", False), ("*;q=0", False),
        ("", False), ("identity", False), ("br", False), ("gzipped", False), ("gzip;q=0.5, identity", False),
        ("gzip;q=2", False), ("gzip;q=-1", False), ("gzip;q=nan", False), ("gzip;q=", False), ("gzip;gzip", False),
    ],
)  # fmt: skip
async def test_entries_are_zipped_for_whoever_takes_that(log: LogClient, accepted: str, zipped: bool) -> None:
    response = await log.get("tile/entries/000", **{"accept-encoding": accepted})
    assert response.status_code == 200
    assert (response.headers.get("content-encoding") == "gzip") is zipped
    assert response.headers["vary"] == "accept-encoding"
    assert len(response.content) > 10_000, "httpx has unzipped it"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("tile/0/001", 404), ("tile/0/001.p/52", 404), ("tile/0/001.p/255", 404), ("tile/1/000", 404), ("tile/1/000.p/2", 404),
        ("tile/2/000.p/1", 404), ("tile/entries/001", 404), ("tile/entries/002.p/1", 404), ("tile/63/000.p/1", 404),
        ("tile/0/x001/234/567", 400), ("tile/0/x999/x999/x999/x999/x999/x999/x999/999", 400), ("tile/0/x000/000", 400),
        ("tile/64/000", 400), ("tile/00/000", 400), ("tile/-1/000", 400), ("tile/0/0", 400), ("tile/0/0000", 400),
        ("tile/0/000.p/0", 400), ("tile/0/000.p/256", 400), ("tile/0/000.p/01", 400), ("tile/0/000.p/", 400),
        ("tile/0/000.p", 400), ("tile/0/..%2f..%2fcheckpoint", 400), ("tile/0/%30%30%30", 400), ("tile", 400),
        ("tile/0/\u0660\u0660\u0660", 400), ("tile/0/000/", 400), ("x" * 5000, 400), ("tile/0/000%00", 400), ("checkpoint/", 400),
    ],
)  # fmt: skip
async def test_what_is_no_tile_is_refused_in_words(log: LogClient, path: str, status: int) -> None:
    response = await log.get(path)
    assert response.status_code == status
    [error] = response.json()["errors"]
    assert error["extensions"]["code"] == ("NOT_FOUND" if status == 404 else "BAD_USER_INPUT")
    assert "tile" in error["message"]


async def test_partial_tiles_that_were_stay_there(log: LogClient) -> None:
    whole = (await log.get("tile/0/000")).content
    assert (await log.get("tile/0/000.p/255")).content == whole[: 255 * 32]
    assert (await log.get("tile/1/000.p/1")).status_code == 200


async def test_only_who_may_audit_this_log_reads_it(log: LogClient, ledger: Ledger) -> None:
    from ledger.tenants import create_tenant

    foreign = await create_tenant(ledger, f"{log.tenant.key}-foreign", "Foreign")
    others = [scope for scope in SCOPES if scope != "audit"]
    for path in ("checkpoint", "tile/0/000", "tile/entries/000", "tile/none"):
        anonymous = await log.client.get(f"/log/{log.tenant.key}/{path}")
        assert anonymous.status_code == 401
        without = await create_key(log.tenant, "sender", others)
        assert (await LogClient(log.client, log.tenant, without).get(path)).status_code == 403
        stranger = LogClient(log.client, log.tenant, await create_key(foreign, "auditor", ["audit"]))
        there, nowhere = (
            await stranger.get(path),
            await stranger.client.get(f"/log/nowhere/{path}", headers={"authorization": f"Bearer {stranger.key}"}),
        )
        assert (there.status_code, there.content) == (nowhere.status_code, nowhere.content) == (404, there.content)
