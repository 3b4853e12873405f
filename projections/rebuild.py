"""Rebuilding a projection of one tenant from its log, in a table beside the one that is read, while reads and writes go on.

    folding    the log goes into the table beside, a group of entries and the position reached in one statement: a rebuild
               that was killed goes on from there
    comparing  in one snapshot, the rest of the log up to where the projection is in it is folded, and the two tables must
               then be the same, row by row; nobody is locked out. What differs is counted, and the first such row named
    swapping   only where something differs, and only if that is accepted: the rows of some contact points at a time are
               replaced by those from beside, under the lock that whoever keeps the table needs (the log's head for an inline
               projection, the checkpoint for a follower), with the log folded up to that very position first

Rows are swapped, not tables: a table holds all tenants, and renaming it would lock out the readers of each. Every row is
the fold of its own key alone, so each group of rows is right from its swap on, whatever is still to come, and writers
wait for a group, never for a table. Swapping an inline projection's rows raises the head's epoch, so an append that had
begun before finds another head, writes nothing, and is prepared again on top of the swapped rows.

One rebuild at a time, by lease; each statement proves it. Needs the role that owns the tables.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg

from eventstore import read
from eventstore.database import store_errors
from projections.follower import locked_checkpoint
from projections.happened import read_all
from projections.lease import DURATION_S, Lease, LeaseLost, held
from projections.projection import Projection

# A few thousand would fold no faster: what is read of them no longer fits the processor's cache.
GROUP_ENTRIES = 1_500
# So near to the end that the rest is folded in the transaction that compares.
_NEAR_ENTRIES = 1_000
_GROUPS_SWAPPED = 500
_LEASE_PAUSE_S = 0.25
Progress = Callable[[str, int, int], None]


class RebuildRunning(Exception):
    """Another process is rebuilding this projection of this tenant."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The table as it was and as rebuilt, at one position: how many rows each, how many differ, and the first that does."""

    position: int
    rows: int
    rebuilt_rows: int
    differing: int
    first: str | None


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild found, from where it went on, and whether rows were swapped."""

    resumed_after: int
    compared: Compared
    swapped: bool


async def rebuild(
    pool: asyncpg.Pool,
    owner: Mapping[str, Any],
    tenant: int,
    projection: Projection,
    *,
    accept: bool,
    restart: bool = False,
    progress: Progress = lambda _what, _done, _of: None,
    group_entries: int = GROUP_ENTRIES,
) -> Rebuilt:
    """Rebuild, compare, and, if `accept`, swap what differs. Without it, what was rebuilt is kept, so that accepting later
    goes on from there; `restart` begins anew all the same. `progress` is told what is being done, how far it is, and how far
    there is to go.

    Waits for the lease of a rebuild that was killed. Raises RebuildRunning, LeaseLost, UnknownEventVersion, StoreUnavailable.
    """
    tries = round((DURATION_S + 1.0) / _LEASE_PAUSE_S)
    with store_errors():
        connection = await asyncpg.connect(**owner)
        try:
            # What is folded goes into tables that no crash of the database outlives: nothing to wait for the disk for.
            await connection.execute("SET synchronous_commit = off")
            for _ in range(tries):
                async with held(pool, tenant, f"rebuild {projection.name}") as lease:
                    if lease is not None:
                        work = _Rebuild(pool, owner, connection, tenant, projection, lease, progress, group_entries)
                        return await work.run(accept=accept, restart=restart)
                await asyncio.sleep(_LEASE_PAUSE_S)
        finally:
            connection.terminate()
    raise RebuildRunning(f"{projection.name} is being rebuilt by another process")


class _Rebuild:
    """One rebuild, from taking the lease to giving it back."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        owner: Mapping[str, Any],
        connection: asyncpg.Connection,
        tenant: int,
        projection: Projection,
        lease: Lease,
        progress: Progress,
        group_entries: int,
    ) -> None:
        self._pool = pool
        self._owner = owner
        self._connection = connection
        self._tenant = tenant
        self._projection = projection
        self._lease = lease
        self._progress = progress
        self._group_entries = group_entries
        self._position = -1
        ctes = projection.numbered(6, table=projection.rebuilt)
        self._fold_sql = _FOLD.format(moved=_MOVED_IF_HELD, ctes=ctes)
        self._fold_proven_sql = _FOLD.format(moved=_MOVED, ctes=ctes)

    async def run(self, *, accept: bool, restart: bool) -> Rebuilt:
        """Fold, compare, swap."""
        self._position = await self._begin(restart=restart)
        resumed_after = self._position
        while (target := await self._target(lock=False)) - self._position > _NEAR_ENTRIES:
            await self._fold_up_to(target)
        compared = await self._compare()
        swapped = bool(compared.differing) and accept
        if swapped:
            await self._swap(compared.differing)
            after = await self._compare()
            if after.differing:
                raise RuntimeError(f"{self._projection.name} differs at {after.first} right after it was swapped")
        if swapped or not compared.differing:
            await self._end()
        return Rebuilt(resumed_after, compared, swapped)

    async def _begin(self, *, restart: bool) -> int:
        """Where a rebuild before this one got to; or the start, with nothing beside the table."""
        known = await self._connection.fetchval(
            "SELECT position FROM rebuild_positions WHERE tenant = $1 AND projection = $2",
            self._tenant,
            self._projection.name,
        )
        # A follower may itself have been set back since; nothing is compared ahead of it.
        if known is not None and not restart and known <= await self._target(lock=False):
            return known
        await self._forget()
        return -1

    async def _forget(self) -> None:
        async with self._connection.transaction():
            await self._lease.prove(self._connection)
            await self._connection.execute(
                f"DELETE FROM {self._projection.rebuilt} WHERE tenant = $1",
                self._tenant,
            )
            await self._connection.execute(
                "DELETE FROM rebuild_positions WHERE tenant = $1 AND projection = $2",
                self._tenant,
                self._projection.name,
            )

    async def _target(self, *, lock: bool) -> int:
        """The position that the table has taken account of; with `lock`, it stays there until the transaction ends."""
        if self._projection.inline:
            size: int = await self._connection.fetchval(
                "SELECT size FROM log_heads WHERE tenant = $1" + (" FOR UPDATE" if lock else ""), self._tenant
            )
            return size - 1
        if lock:
            return await locked_checkpoint(self._connection, self._tenant, self._projection)
        position: int | None = await self._connection.fetchval(
            "SELECT position FROM projection_checkpoints WHERE tenant = $1 AND projection = $2",
            self._tenant,
            self._projection.name,
        )
        return -1 if position is None else position

    async def _fold_up_to(self, target: int) -> None:
        """Fold the log up to `target`; the next group is read and folded while the database writes the one before."""
        writing: asyncio.Task[None] | None = None
        after = self._position
        try:
            while after < target:
                async with self._pool.acquire() as reader:
                    page = await read.raw_forward(
                        reader, self._tenant, after=after, up_to=target, limit=self._group_entries
                    )
                if not page:
                    raise LookupError(f"the log holds no entry after position {after}, and its head says that it does")
                parameters = await self._folded(page)
                if writing is not None:
                    await writing
                writing = asyncio.create_task(self._write(page[-1][0], parameters, sql=self._fold_sql))
                # Off it goes, before the next group takes the processor.
                await asyncio.sleep(0)
                after = page[-1][0]
                self._progress("folded", after + 1, target + 1)
        finally:
            if writing is not None:
                await writing

    async def _folded(self, page: list[tuple[int, bytes]]) -> list[Any]:
        """The parameters of a group; events that the follower parked are left out here as there, if they still must be."""
        try:
            return self._projection.fold(read_all([raw for _, raw in page]))
        except Exception:
            if not self._projection.may_leave_out:
                raise
        parked = await self._pool.fetch(
            "SELECT position FROM parked_events WHERE tenant = $1 AND projection = $2 AND position = ANY($3::bigint[])",
            self._tenant,
            self._projection.name,
            [position for position, _ in page],
        )
        left_out = {row[0] for row in parked if not self._folds([one for one in page if one[0] == row[0]])}
        return self._projection.fold(read_all([raw for position, raw in page if position not in left_out]))

    def _folds(self, page: list[tuple[int, bytes]]) -> bool:
        try:
            self._projection.fold(read_all([raw for _, raw in page]))
        except Exception:  # noqa: BLE001 - the answer is that it does not
            return False
        return True

    async def _write(self, position: int, parameters: list[Any], *, sql: str) -> None:
        written = await self._connection.fetchval(
            sql,
            self._tenant,
            self._lease.name,
            self._lease.fence,
            self._projection.name,
            position,
            *parameters,
        )
        if not written:
            raise LeaseLost(self._lease.name)
        # Durable now: rows and position. Killed here, a rebuild goes on after this group.
        self._position = position

    async def _rest(self, target: int) -> None:
        """The last entries, in the transaction that this connection is in, which has proven the lease."""
        while self._position < target:
            page = await read.raw_forward(
                self._connection, self._tenant, after=self._position, up_to=target, limit=self._group_entries
            )
            await self._write(page[-1][0], await self._folded(page), sql=self._fold_proven_sql)

    async def _compare(self) -> Compared:
        before = self._position
        self._progress("compared", 0, 1)
        try:
            async with self._connection.transaction(isolation="repeatable_read"):
                await self._lease.prove(self._connection)
                target = await self._target(lock=False)
                await self._rest(target)
                row = await self._connection.fetchrow(_sql(_COMPARE, self._projection), self._tenant)
        except BaseException:
            self._position = before
            raise
        if row is None:
            raise LookupError("an aggregate without a row")
        self._progress("compared", 1, 1)
        return Compared(target, row[0], row[1], row[2], row[3])

    async def _swap(self, differing: int) -> None:
        """Replace what differs, some groups of rows at a time, in their order.

        Which these are is read once, in one snapshot, by a connection of its own: one that is not behind there any more is
        replaced by what it is, and none becomes wrong later.
        """
        reader = await asyncpg.connect(**self._owner)
        try:
            async with reader.transaction(readonly=True):
                cursor = await reader.cursor(_sql(_DIFFERING, self._projection), self._tenant)
                done = 0
                while rows := await cursor.fetch(_GROUPS_SWAPPED):
                    await self._swap_groups([row[0] for row in rows])
                    done += len(rows)
                    self._progress("swapped", min(done, differing), differing)
        finally:
            reader.terminate()

    async def _swap_groups(self, groups: list[Any]) -> None:
        """Replace the rows of these groups, where the log is by then."""
        before = self._position
        try:
            async with self._connection.transaction():
                await self._lease.prove(self._connection)
                await self._connection.execute("SET LOCAL synchronous_commit = on")
                target = await self._target(lock=True)
                await self._rest(target)
                for statement in _SWAP:
                    await self._connection.execute(_sql(statement, self._projection), self._tenant, groups)
                if self._projection.inline:
                    await self._connection.execute(
                        "UPDATE log_heads SET epoch = epoch + 1 WHERE tenant = $1", self._tenant
                    )
        except BaseException:
            self._position = before
            raise
        # Durable now: these groups are as the log says, and stay so; a rebuild that is killed here swaps the others.

    async def _end(self) -> None:
        """What was parked and can be read by now is in the table: it is parked no more. What is beside has served."""
        parked = await self._connection.fetch(
            "SELECT p.position, e.entry FROM parked_events p JOIN log_entries e USING (tenant, position)"
            " WHERE p.tenant = $1 AND p.projection = $2 AND p.position <= $3",
            self._tenant,
            self._projection.name,
            self._position,
        )
        mended = [row[0] for row in parked if self._folds([(row[0], row[1])])]
        await self._connection.execute(
            "DELETE FROM parked_events WHERE tenant = $1 AND projection = $2 AND position = ANY($3::bigint[])",
            self._tenant,
            self._projection.name,
            mended,
        )
        await self._forget()


_MOVED_IF_HELD = "SELECT tenant FROM leases WHERE tenant = $1 AND name = $2 AND fence = $3 FOR KEY SHARE"
# In a transaction that has proven the lease: in a snapshot, a row that was renewed since cannot be locked again.
_MOVED = "SELECT tenant FROM (SELECT $1::int, $2::text, $3::bigint) AS proven (tenant, name, fence)"
# fold: rows, and the position reached, if the lease is still ours.
_FOLD = """
WITH moved AS MATERIALIZED ({moved}){ctes}, noted AS (
    INSERT INTO rebuild_positions (tenant, projection, position) SELECT tenant, $4, $5 FROM moved
    ON CONFLICT (tenant, projection) DO UPDATE SET position = excluded.position
)
SELECT count(*) FROM moved
"""

_BOTH = """
(SELECT * FROM {table} WHERE tenant = $1) AS there
FULL JOIN (SELECT * FROM {rebuilt} WHERE tenant = $1) AS beside USING ({key})
"""
# compare: rows there, rows rebuilt, rows that differ, and the key of the first of these.
_COMPARE = (
    """
SELECT count(there.tenant), count(beside.tenant), count(*) FILTER (WHERE there IS DISTINCT FROM beside),
       min(concat_ws('/', {key})) FILTER (WHERE there IS DISTINCT FROM beside)
FROM """
    + _BOTH
)
# differing: the groups of rows, in order, with a row that differs.
_DIFFERING = "SELECT DISTINCT {group} FROM " + _BOTH + " WHERE there IS DISTINCT FROM beside ORDER BY {group}"
_SWAP = (
    "DELETE FROM {table} WHERE tenant = $1 AND {group} = ANY($2::{group_type}[])",
    "INSERT INTO {table} SELECT * FROM {rebuilt} WHERE tenant = $1 AND {group} = ANY($2::{group_type}[])",
)


def _sql(text: str, projection: Projection) -> str:
    """A statement for a projection; names are constants of the code."""
    group, group_type = projection.group
    return text.format(
        table=projection.name,
        rebuilt=projection.rebuilt,
        key=", ".join(projection.key),
        group=group,
        group_type=group_type,
    )
