"""Serving, as the command line starts it: bind the address, run one process or several, say where they answer."""

import contextlib
import errno
import socket

from web import event_loop
from web.server_process import serve
from web.settings import Settings
from web.structured_log import configure_logging
from web.workers import supervise


class CannotListen(Exception):
    """The address cannot be listened on; says why."""


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Prints one line on standard output once it answers.

    Raises CannotListen, and what opening the ledger raises; with several workers WorkerFailed.
    """
    configure_logging(settings.log_level)
    listener = _listen(settings.host, settings.port)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    line = f"Consentry listening on http://{host}:{listener.getsockname()[1]}"

    def announce() -> None:
        print(line, flush=True)

    with contextlib.closing(listener):
        if settings.workers == 1:
            event_loop.run(serve(settings, listener, started=announce))
        else:
            supervise(settings, listener, started=announce)


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket; it takes connections once a server listens on it."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        another = "; --port, or CONSENTRY_PORT, names another" if error.errno == errno.EADDRINUSE else ""
        raise CannotListen(f"cannot listen on {host} port {port}: {error.strerror}{another}") from error
    listener.setblocking(False)  # noqa: FBT003 - positional only
    return listener
