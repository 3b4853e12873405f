"""How a forger who owns the database changes a log: entries with their columns and hashes, the tree, the head."""

import asyncpg

from tlog.compact_range import EMPTY, TileRoot
from tlog.entry import decode
from tlog.hashing import leaf_hash


async def rewrite(
    connection: asyncpg.Connection, tenant: int, position: int, old: bytes, new: bytes, *, columns: bool = False
) -> None:
    """Put other bytes into an entry; with `columns`, its leaf hash and value column follow."""
    raw = await connection.fetchval(
        "SELECT entry FROM log_entries WHERE tenant = $1 AND position = $2", tenant, position
    )
    forged = raw.replace(old, new)
    assert forged != raw
    await connection.execute(
        "UPDATE log_entries SET entry = $3 WHERE tenant = $1 AND position = $2", tenant, position, forged
    )
    if columns:
        await connection.execute(
            "UPDATE log_entries SET leaf_hash = $3, value = $4 WHERE tenant = $1 AND position = $2",
            tenant, position, leaf_hash(forged), decode(forged).data["value"],
        )  # fmt: skip


async def rehash(connection: asyncpg.Connection, tenant: int) -> None:
    """Make the tree, its nodes and the head anew, as if the entries that are there had always been."""
    rows = await connection.fetch(
        "SELECT entry, leaf_hash, recorded_at FROM log_entries WHERE tenant = $1 ORDER BY position", tenant
    )
    nodes: list[TileRoot] = []
    tree = EMPTY.append_many([row[1] for row in rows], nodes)
    await connection.execute("DELETE FROM log_nodes WHERE tenant = $1", tenant)
    await connection.executemany(
        "INSERT INTO log_nodes (tenant, level, index, hash) VALUES ($1, $2, $3, $4)",
        [(tenant, *node) for node in nodes],
    )
    await connection.execute(
        "UPDATE log_heads SET size = $2, frontier = $3, root = $4, recorded_at = $5 WHERE tenant = $1",
        tenant, tree.size, tree.to_bytes(), tree.root(), rows[-1][2],
    )  # fmt: skip


async def delete_from(connection: asyncpg.Connection, tenant: int, position: int) -> None:
    """Take away every event from a position on, with all that came of it: as a restored backup would be."""
    for sql in (
        "DELETE FROM log_entries WHERE tenant = $1 AND position >= $2",
        "DELETE FROM idempotency_records WHERE tenant = $1 AND position >= $2",
        "DELETE FROM vault_subjects WHERE tenant = $1 AND first_position >= $2",
        "DELETE FROM vault_items WHERE tenant = $1 AND position >= $2",
        "DELETE FROM current_consent WHERE tenant = $1 AND position >= $2",
        "DELETE FROM erasures WHERE tenant = $1 AND requested_position >= $2",
        "DELETE FROM checkpoints WHERE tenant = $1 AND size > $2",
        "DELETE FROM suppressions WHERE tenant = $1 AND $2::bigint > 0",
        "DELETE FROM persons_opt_ins WHERE tenant = $1 AND $2::bigint > 0",
    ):
        await connection.execute(sql, tenant, position)
