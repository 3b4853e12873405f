"""One process that serves: opens the ledger, answers on a socket that is bound already, stops cleanly when told to."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from ledger.assembly import Ledger, open_ledger
from ledger.shared_writing import Place, SharedWriting
from web import collector
from web.app import create_app
from web.background import run_background
from web.live.connections import HttpConnection, WebSocketConnection, raise_descriptors
from web.live.live import Live
from web.persisted_documents import PersistedDocuments
from web.settings import Settings

_GRACEFUL_S = 10
_HEADERS_BYTES_MAX = 64 * 1024
_BACKLOG = 2048
# Of what a client sends in one WebSocket message; what is larger goes by POST.
_MESSAGE_BYTES_MAX = 256 * 1024
_PING_EVERY_S = 20.0


async def serve(
    settings: Settings, listener: socket.socket, *, started: Callable[[], None], place: Place | None = None
) -> None:
    """Answer until SIGTERM or SIGINT; `started` is called once it does. A worker has a `place` among the others.

    Raises DocumentsInvalid, and what opening the ledger raises.
    """
    raise_descriptors()
    told_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told_to_stop.set)
    async with open_ledger(settings.ledger) as ledger:
        ledger.public_url = settings.public_url or _own_url(listener)
        ledger.link_valid_days = settings.link_valid_days
        ledger.webhook_networks = settings.webhook_networks
        app = create_app(
            ledger,
            import_bytes_max=settings.import_mib_max * 1024 * 1024,
            persisted=PersistedDocuments(settings.persisted_documents, only=settings.only_persisted_documents),
            alone=settings.workers == 1,
            compiled_documents=settings.compiled_documents,
        )
        live: Live = app.state.live
        collector.leave_to_itself()
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            # Nothing here depends on the client's address, so no proxy has to be believed.
            proxy_headers=False,
            http=HttpConnection,
            ws=WebSocketConnection,
            ws_max_size=_MESSAGE_BYTES_MAX,
            # Many sockets get the same bytes: compressed, each would cost its own work and memory.
            ws_per_message_deflate=False,
            ws_ping_interval=_PING_EVERY_S,
            ws_ping_timeout=_PING_EVERY_S,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=_GRACEFUL_S,
            h11_max_incomplete_event_size=_HEADERS_BYTES_MAX,
        )
        server = _Server(config, started, stopping=live.sessions.stop)
        stopper = asyncio.create_task(_stop_when_told(server, told_to_stop), name="stop-when-told")
        try:
            async with run_background(ledger, settings), live.running(), _shared_writing(ledger, place):
                await server.serve(sockets=[listener])
        finally:
            stopper.cancel()


def _shared_writing(ledger: Ledger, place: Place | None) -> contextlib.AbstractAsyncContextManager[None]:
    return contextlib.nullcontext() if place is None else SharedWriting(ledger, place).running()


def _own_url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _stop_when_told(server: uvicorn.Server, told_to_stop: asyncio.Event) -> None:
    await told_to_stop.wait()
    server.should_exit = True


class _Server(uvicorn.Server):
    """Uvicorn's server, which leaves signals to us: it would let them end the process before the ledger is closed."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None], *, stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell_started = started
        self._tell_stopping = stopping

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._tell_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Who listens to a stream is told that it ends before its connection is closed.
        self._tell_stopping()
        await asyncio.sleep(0)
        await super().shutdown(sockets)
