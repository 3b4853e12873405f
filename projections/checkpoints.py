"""placeholder"""

from eventstore.personal.vault import Connected


async def followed_to(connection: Connected, tenant: int, name: str) -> int:
    return -1
