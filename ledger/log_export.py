"""The whole log for others: as JSON lines with a proof for each entry, and as C2SP tiles (formats in docs/proofs.md)."""

import json
from collections.abc import AsyncIterator

from eventstore import read, tree
from eventstore.read import Head
from ledger.assembly import Tenant
from ledger.checkpoints import checkpoint
from ledger.signing import verifier_keys
from tlog.note import encode_base64
from tlog.tiles import TILE_WIDTH, Tile, encode_entries, tile_available

FORMAT = "consentry-log"
VERSION = 1
_PAGE_ENTRIES = 256


async def log_lines(tenant: Tenant) -> AsyncIterator[str]:
    """Every entry up to the present checkpoint, in log order, after a line about the log. Memory is constant."""
    keys = await verifier_keys(tenant)
    signed = await checkpoint(tenant)
    size = signed.checkpoint.size
    yield json.dumps(
        {
            "format": FORMAT,
            "version": VERSION,
            "origin": signed.checkpoint.origin,
            "verifierKeys": [key.text() for key in keys],
            "checkpoint": signed.note,
            "entries": size,
        }
    )
    for start in range(0, size, _PAGE_ENTRIES):
        count = min(_PAGE_ENTRIES, size - start)
        async with tenant.ledger.connection() as connection:
            page = await read.raw_forward(connection, tenant.id, after=start - 1, limit=count)
            # Neighbours share most of their proofs: made together, each node is read, hashed and written out once.
            proofs = await tree.inclusion_proofs(connection, tenant.id, range(start, start + count), size)
        texts = {node: f'"{encode_base64(node)}"' for node in {node for proof in proofs.values() for node in proof}}
        for position, raw in page:
            # As json.dumps writes it: neither numbers nor base64 hold anything to escape.
            proof = ", ".join([texts[node] for node in proofs[position]])
            yield f'{{"position": {position}, "entry": "{encode_base64(raw)}", "proof": [{proof}]}}'


async def tile(tenant: Tenant, asked: Tile) -> bytes | None:
    """The bytes of a tile of hashes or a bundle of entries (C2SP tlog-tiles); None where the log has none like that."""
    async with tenant.ledger.connection() as connection:
        head: Head = await read.head(connection, tenant.id)
        if asked.width > tile_available(asked.level or 0, asked.index, head.size) or asked.width > TILE_WIDTH:
            return None
        if asked.level is None:
            return encode_entries(await tree.entry_bundle(connection, tenant.id, asked))
        [hashes] = await tree.tile_hashes(connection, tenant.id, [asked])
    return b"".join(hashes)
