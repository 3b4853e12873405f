"""What an event costs on disk: by table and by index, and which of them grow faster than the log."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.growth.measures import Grown

# Of each table with rows in it: its own pages (toast and maps included), and each of its indexes.
_SIZES = """
SELECT c.relname, i.relname, pg_relation_size(coalesce(i.oid, c.oid))
       + CASE WHEN i.oid IS NULL THEN pg_table_size(c.oid) - pg_relation_size(c.oid) ELSE 0 END
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
    SELECT NULL::oid AS oid, NULL::name AS relname
    UNION ALL
    SELECT ic.oid, ic.relname FROM pg_index x JOIN pg_class ic ON ic.oid = x.indexrelid WHERE x.indrelid = c.oid
) AS i ON true
WHERE n.nspname = 'consentry' AND c.relkind = 'r' AND c.relpersistence = 'p'
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes an event of one table or one index."""

    name: str
    bytes_each: float


async def stored(grown: Grown) -> list[Stored]:
    """Every table and index that takes a byte or more an event, the largest first, and then their sum."""
    async with grown.tenant.ledger.connection() as connection:
        events: int = await connection.fetchval("SELECT sum(size)::bigint FROM log_heads")
        rows = await connection.fetch(_SIZES)
    each = sorted(
        (Stored(index or table, size / events) for table, index, size in rows), key=lambda one: -one.bytes_each
    )
    return [*(one for one in each if one.bytes_each >= 1), Stored("all", sum(one.bytes_each for one in each))]


def table(by_size: dict[int, Sequence[Stored]]) -> str:
    """Bytes an event of each table and index, at each size, as a Markdown table."""
    sizes = list(by_size)
    held = {size: {one.name: one.bytes_each for one in rows} for size, rows in by_size.items()}
    names = list(dict.fromkeys(name for size in reversed(sizes) for name in held[size] if name != "all"))
    lines = [f"| bytes an event | {' | '.join(f'{size:,}' for size in sizes)} |", "|---|" + "---|" * len(sizes)]
    for name in [*names, "all"]:
        lines.append(f"| {name} | {' | '.join(f'{held[size].get(name, 0):,.0f}' for size in sizes)} |")
    return "\n".join(lines)
