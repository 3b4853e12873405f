"""Lines that are written faster than they are read: kept in a file that has no name, so nobody has to wait for the reader.

A client may well send all of its file before it reads a line of the answer. If writing waited for it then, both would wait
for ever.
"""

import asyncio
import os
import tempfile
from types import TracebackType

_READ_BYTES = 64 * 1024


class LineSpool:
    """Bytes in, bytes out, in order."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed with the spool
        self._written = 0
        self._read = 0
        self._changed = asyncio.Event()
        self._closed = False

    def __enter__(self) -> "LineSpool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        """Keep data for the reader."""
        if self._read == self._written:
            # All of it is read: the file need not grow.
            os.ftruncate(self._file.fileno(), 0)
            self._read = self._written = 0
        while data:
            count = os.pwrite(self._file.fileno(), data, self._written)
            self._written += count
            data = data[count:]
        self._changed.set()

    def close(self) -> None:
        """Say that nothing follows."""
        self._closed = True
        self._changed.set()

    async def read(self) -> bytes:
        """What was written since, as soon as there is something; nothing at the end."""
        while self._read == self._written and not self._closed:
            self._changed.clear()
            await self._changed.wait()
        data = os.pread(self._file.fileno(), min(_READ_BYTES, self._written - self._read), self._read)
        self._read += len(data)
        return data
