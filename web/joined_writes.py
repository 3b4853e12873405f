"""A transport that joins what is written to it in one turn of the event loop: an answer's head and body are one system call.

To send a small answer wakes its reader, and costs a tenth of what a check does; the server above writes an answer in two.
"""

import asyncio
from typing import Any

_AT_ONCE_BYTES = 16 * 1024


class JoinedWrites(asyncio.Transport):
    """Writes to `transport` at the end of the turn, or as soon as much has come together: who writes without a pause in between
    is told to wait as ever.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._held: list[bytes | bytearray | memoryview] = []
        self._held_bytes = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write, together with what else is written in this turn."""
        if not self._held:
            self._loop.call_soon(self._write_held)
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes >= _AT_ONCE_BYTES:
            self._write_held()

    def _write_held(self) -> None:
        if self._held:
            held, self._held, self._held_bytes = self._held, [], 0
            if not self._transport.is_closing():
                self._transport.write(held[0] if len(held) == 1 else b"".join(held))

    def get_write_buffer_size(self) -> int:
        """The bytes that the peer has not taken, those of this turn included."""
        return self._transport.get_write_buffer_size() + self._held_bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Below and above how many bytes who writes may go on, and is to wait."""
        return self._transport.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set them."""
        self._transport.set_write_buffer_limits(high, low)

    def can_write_eof(self) -> bool:
        """Whether `write_eof` may be called."""
        return self._transport.can_write_eof()

    def write_eof(self) -> None:
        """Say that nothing more comes, after what was written."""
        self._write_held()
        self._transport.write_eof()

    def close(self) -> None:
        """Close, after what was written."""
        self._write_held()
        self._transport.close()

    def abort(self) -> None:
        """Close at once; what was not sent never is."""
        self._held, self._held_bytes = [], 0
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether it is closed, or will be."""
        return self._transport.is_closing()

    def is_reading(self) -> bool:
        """Whether what the peer sends is read."""
        return self._transport.is_reading()

    def pause_reading(self) -> None:
        """Read no more for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        self._transport.resume_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Who is told of what comes in from now on."""
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who is told of it."""
        return self._transport.get_protocol()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is known of the connection."""
        return self._transport.get_extra_info(name, default)
