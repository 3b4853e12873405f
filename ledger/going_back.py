"""A log that went back: its database is older than what was signed of it, or than what this process has seen of it.

The opt-outs since then are lost in it, so its answers would let messages go that people have refused. Whether it went back is
looked at when a process meets a tenant, against the largest tree that was ever signed (docs/backup-and-upgrade.md), and
from then on every few seconds, against its own size of before. What is recorded meanwhile is taken as ever.
"""

import logging
from typing import TYPE_CHECKING

from eventstore import read, tree
from eventstore.database import StoreUnavailable
from eventstore.personal.vault import Connected
from eventstore.tree import TreeIncomplete
from tlog.checkpoint import Checkpoint

if TYPE_CHECKING:
    from ledger.assembly import Ledger

_log = logging.getLogger("consentry.ledger.going_back")
# For a server's log: who runs a command is told by its refusal, and once is enough.
_log.addHandler(logging.NullHandler())


class LogWentBack(StoreUnavailable):
    """No answer lets a message go: the log is older than what was signed or seen of it."""


class GoingBack:
    """What one process knows of it, for one tenant's log."""

    def __init__(self, tenant_key: str) -> None:
        self._tenant_key = tenant_key
        self._why: str | None = None
        self._size_seen = 0

    def require_none(self) -> None:
        """Raises LogWentBack."""
        if self._why is not None:
            raise LogWentBack(self._why)

    def cannot_be_told(self, why: str) -> None:
        """Note that nobody can say: then nothing is allowed either."""
        self._withhold(f"whether this log went back cannot be told: {why}")

    def seen(self, size: int) -> None:
        """Note the size that the log has now; to be called with one after the other."""
        if size < self._size_seen:
            self._went_back(f"this process has seen {self._size_seen} entries of this log, and it has {size}")
        self._size_seen = max(self._size_seen, size)

    async def compare(self, connection: Connected, tenant: int, signed: Checkpoint) -> None:
        """Note whether the log holds the tree that was signed. Raises StoreUnavailable."""
        size = (await read.head(connection, tenant)).size
        try:
            holds = size >= signed.size and await tree.root_at(connection, tenant, signed.size) == signed.root
        except TreeIncomplete:
            holds = False
        if not holds:
            self._went_back(
                f"a tree of {signed.size} entries was signed, and this log of {size} is not its continuation"
            )

    def _went_back(self, why: str) -> None:
        self._withhold(f"{why}: the database is older than that, and opt-outs may be missing")

    def _withhold(self, why: str) -> None:
        if self._why is None:
            _log.error("nothing is allowed any more", extra={"fields": {"why": why}})
            self._why = f"tenant {self._tenant_key}: {why}"


async def look_at_all(ledger: "Ledger") -> None:
    """Note the sizes of all logs that this process has met. Raises StoreUnavailable."""
    held = {tenant.id: tenant for tenant in ledger.held_tenants()}
    async with ledger.connection() as connection:
        sizes = await read.sizes(connection, list(held))
    for number, size in sizes.items():
        held[number].going_back.seen(size)
