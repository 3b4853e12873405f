"""After an erasure nothing yields the address: no table, tile, export, file beside the database, log line, or answer."""

import hashlib
import json
from base64 import b64encode
from pathlib import Path

import asyncpg
import httpx

from eventstore.database import open_database
from ledger.assembly import LedgerConfig
from tests.crash.server import Server, consentry

ADDRESS = "very.unusual.person@example.org"
SECRETS = [ADDRESS, "Unusual Person", "203.0.113.77", "UnusualBrowser", "unusual-id-7"]
SCOPES = ("check", "read", "read:personal", "write", "audit", "erase")
RECORD = f"""mutation {{ recordConsent(input: {{
  address: "{ADDRESS}", purpose: "commercial", value: OPTED_IN, reason: "I, Unusual Person, agree",
  actor: {{kind: RECIPIENT, id: "unusual-id-7"}}, idempotencyKey: "{ADDRESS}",
  evidence: {{ipAddress: "203.0.113.77", userAgent: "UnusualBrowser/1", noticeText: "Dear {ADDRESS}, agree?"}}
}}) {{ event {{ contactPoint {{ id }} }} errors {{ code }} }} }}"""
LOOK = f"""{{ checkConsent(input: {{address: "{ADDRESS}", purpose: "commercial"}}) {{ allowed receipt reasons {{ message }} }}
  contactPoint(address: "{ADDRESS}") {{ address consent(purpose: "commercial") {{ reason }} }} }}"""
ERASE = f"""mutation {{
  eraseContactPoint(input: {{address: "{ADDRESS}", reason: "asked"}}) {{ erasedEvents errors {{ code }} }}
}}"""
EVERYTHING = """query ($id: ID!) {
  node(id: $id) { ... on ContactPoint { address erasedAt consent(purpose: "commercial") { value reason }
    history { nodes { type data evidence reason entry actor { kind id } } } } }
  consentEvents { nodes { data evidence reason entry } }
}"""


def needles() -> list[bytes]:
    """What must not be found: the words themselves, and every unkeyed hash of the address."""
    found = [text.encode() for text in SECRETS]
    for spelling in (ADDRESS, f"EMAIL\0{ADDRESS}", f"EMAIL:{ADDRESS}", f"mailto:{ADDRESS}", f'"{ADDRESS}"'):
        for algorithm in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512"):
            digest = hashlib.new(algorithm, spelling.encode()).digest()
            found += [digest, digest.hex().encode(), b64encode(digest)]
    found += [b64encode(text.encode()).rstrip(b"=")[:-1] for text in SECRETS]
    return found


async def dumped(address: dict[str, object]) -> dict[str, bytes]:
    """Every table of the database, as text and in binary: its logical dump."""
    connection = await asyncpg.connect(**address)
    tables: dict[str, bytes] = {}
    try:
        for schema, table in await connection.fetch(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ):
            for form in ("text", "binary"):
                content = bytearray()

                async def keep(data: bytes, content: bytearray = content) -> None:
                    content.extend(data)

                await connection.copy_from_table(table, schema_name=schema, output=keep, format=form)
                tables[f"{schema}.{table} {form}"] = bytes(content)
    finally:
        await connection.close()
    return tables


async def test_nothing_yields_the_address(where: tuple[list[str], LedgerConfig], tmp_path: Path) -> None:
    options, config = where
    await consentry("tenants", "create", "demo", "--name", "Demo", *options)
    scopes = [part for scope in SCOPES for part in ("--scope", scope)]
    secret = await consentry("keys", "create", "--tenant", "demo", "--application", "w", *scopes, *options)
    log = tmp_path / "server.log"
    server = Server(*options, log=log)
    await server.start()
    found: dict[str, bytes] = {}
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {secret.strip()}"}, timeout=20) as client:

        async def ask(query: str, **variables: str) -> dict[str, object]:
            answer = await client.post(f"{server.url}/graphql", json={"query": query, "variables": variables})
            body = answer.json()
            assert "errors" not in body, body
            return body["data"]

        recorded = await ask(RECORD)
        contact_point = recorded["recordConsent"]["event"]["contactPoint"]["id"]  # type: ignore[index]
        seen = await ask(LOOK)
        assert seen["contactPoint"] == {"address": ADDRESS, "consent": {"reason": "I, Unusual Person, agree"}}
        found["receipt"] = seen["checkConsent"]["receipt"].encode()  # type: ignore[index]
        erased = await ask(ERASE)
        assert erased["eraseContactPoint"] == {"erasedEvents": 1, "errors": []}
        seen = await ask(LOOK)
        assert seen["contactPoint"] is None
        assert seen["checkConsent"]["allowed"] is False  # type: ignore[index]
        everything = await ask(EVERYTHING, id=contact_point)
        assert everything["node"]["address"] is None  # type: ignore[index]
        assert everything["node"]["history"]["nodes"][0]["evidence"] is None  # type: ignore[index]
        found["answers"] = json.dumps(everything).encode()
        for path in ("checkpoint", "tile/0/000.p/10", "tile/entries/000.p/10"):
            tile = await client.get(f"{server.url}/log/demo/{path}")
            assert tile.status_code == 200
            found[path] = tile.content
        refused = await client.post(f"{server.url}/graphql", json={"query": ERASE})
        assert refused.json()["data"]["eraseContactPoint"]["errors"] == [{"code": "ERASED"}]
    for form in ("ndjson", "log", "contact-point-consents"):
        found[form] = (await consentry("export", "--format", form, "--tenant", "demo", *options)).encode()
    found["replay"] = (await consentry("replay", "--tenant", "demo", *options)).encode()
    assert await server.stop() == 0
    async with open_database(data_dir=config.data_dir, database_url=config.database_url) as address:
        found |= await dumped(dict(address.owner))
    assert len([name for name in found if name.startswith("consentry.")]) >= 30
    for path in tmp_path.rglob("*"):
        if path.is_file() and "postgres" not in path.relative_to(tmp_path).parts:
            found[str(path)] = path.read_bytes()
    assert str(log) in found
    for name, content in found.items():
        for needle in needles():
            assert needle not in content, (name, needle)
            assert needle.hex().encode() not in content, (name, needle)
