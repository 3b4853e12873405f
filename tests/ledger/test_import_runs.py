"""An import under a key: the file passes through it, and it keeps none of it."""

import tracemalloc
from collections.abc import AsyncIterator

from ledger.assembly import Caller, Tenant
from ledger.import_formats import Target
from ledger.import_runs import HEAD_BYTES, begin_run

PIECES = 128


async def pieces() -> AsyncIterator[bytes]:
    for number in range(PIECES):
        yield bytes([number]) * HEAD_BYTES


async def test_of_a_file_under_a_key_no_more_than_its_beginning_is_held(tenant: Tenant, caller: Caller) -> None:
    run = await begin_run(tenant, caller, "one file", "contacts", Target())
    assert run is not None
    number = 0
    tracemalloc.start()
    try:
        async for piece in run.checked(pieces()):
            assert piece == bytes([number]) * HEAD_BYTES
            number += 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    await run.finish()
    assert number == PIECES
    assert peak < PIECES * HEAD_BYTES / 4
