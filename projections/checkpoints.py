"""How far each follower has come with a tenant's log, and how far behind that is."""

from eventstore.personal.vault import Connected


async def followed_to(connection: Connected, tenant: int, projection: str) -> int:
    """The position of the last event that a follower has taken account of; -1 before its first step."""
    position: int | None = await connection.fetchval(
        "SELECT position FROM projection_checkpoints WHERE tenant = $1 AND projection = $2", tenant, projection
    )
    return -1 if position is None else position
