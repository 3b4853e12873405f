"""graphql-transport-ws on the server's side, without I/O: a text comes in, what to do about it comes out.

Obeys PROTOCOL.md of graphql-ws. What a message means depends on the state alone, as the table says; a message that the table
does not allow closes the socket with the code beside it, and nothing after that is looked at.

               connection_init    ping    pong     subscribe    complete
    OPENED     Authenticate       Pong    nothing  4401         4401
    WAITING    4429               Pong    nothing  4401         4401
    READY      4429               Pong    nothing  Start/4409   Stop
    CLOSED     nothing, whatever it is

What is no message of the protocol closes with 4400 in every state. `complete` for an operation that is not there is no error:
it may have crossed with ours.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum, auto
from typing import Any

from web.graphql_request import MalformedRequest, parsed_strictly

SUBPROTOCOL = "graphql-transport-ws"
_ID_CHARS_MAX = 200
# What a close frame holds, beside the code.
_REASON_BYTES_MAX = 123


class CloseCode(IntEnum):
    """Why a socket is closed: the protocol's own codes, and two of RFC 6455's registry."""

    RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_REQUEST = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    SUBPROTOCOL_NOT_ACCEPTABLE = 4406
    INITIALISATION_TIMEOUT = 4408
    SUBSCRIBER_EXISTS = 4409
    TOO_MANY_INITIALISATIONS = 4429


class State(StrEnum):
    """Where a socket is."""

    OPENED = auto()
    WAITING = auto()  # for the key to be proven
    READY = auto()
    CLOSED = auto()


@dataclass(frozen=True, slots=True)
class Nothing:
    """There is nothing to do."""


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Prove the key, then call `acknowledge`."""

    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pong:
    """Send a pong."""


@dataclass(frozen=True, slots=True)
class Start:
    """Run an operation, then call `finished`."""

    operation_id: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stop:
    """End an operation, and send nothing more of it."""

    operation_id: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close the socket."""

    code: CloseCode
    reason: str


Action = Nothing | Authenticate | Pong | Start | Stop | Close


class GraphQLSocket:
    """One socket."""

    def __init__(self) -> None:
        self.state = State.OPENED
        self._running: set[str] = set()

    def receive(self, text: str | None) -> Action:
        """What a message asks for; None is a binary one."""
        if self.state is State.CLOSED:
            return Nothing()
        message = _message(text)
        action = message if isinstance(message, Close) else _TABLE[self.state][message["type"]](self, message)
        if isinstance(action, Close):
            self.state = State.CLOSED
        return action

    def acknowledge(self) -> None:
        """The key is proven, and connection_ack sent next."""
        if self.state is State.WAITING:
            self.state = State.READY

    def finished(self, operation_id: str) -> None:
        """The operation has ended by itself: its id is free."""
        self._running.discard(operation_id)

    def closed(self) -> None:
        """The socket is closed, by whomever."""
        self.state = State.CLOSED

    def _init(self, message: Mapping[str, Any]) -> Action:
        self.state = State.WAITING
        return Authenticate(message.get("payload") or {})

    def _subscribe(self, message: Mapping[str, Any]) -> Action:
        operation_id = message["id"]
        if operation_id in self._running:
            return Close(CloseCode.SUBSCRIBER_EXISTS, f"Subscriber for {operation_id} already exists")
        self._running.add(operation_id)
        return Start(operation_id, message["payload"])

    def _complete(self, message: Mapping[str, Any]) -> Action:
        operation_id = message["id"]
        if operation_id not in self._running:
            return Nothing()
        self._running.discard(operation_id)
        return Stop(operation_id)

    def _ping(self, _message: Mapping[str, Any]) -> Action:
        return Pong()

    def _nothing(self, _message: Mapping[str, Any]) -> Action:
        return Nothing()

    def _unauthorized(self, _message: Mapping[str, Any]) -> Action:
        return Close(CloseCode.UNAUTHORIZED, "Unauthorized")

    def _again(self, _message: Mapping[str, Any]) -> Action:
        return Close(CloseCode.TOO_MANY_INITIALISATIONS, "Too many initialisation requests")


_Handler = Callable[[GraphQLSocket, Mapping[str, Any]], Action]
_socket = GraphQLSocket
_TABLE: Mapping[State, Mapping[str, _Handler]] = {
    State.OPENED: {
        "connection_init": _socket._init,
        "ping": _socket._ping,
        "pong": _socket._nothing,
        "subscribe": _socket._unauthorized,
        "complete": _socket._unauthorized,
    },
    State.WAITING: {
        "connection_init": _socket._again,
        "ping": _socket._ping,
        "pong": _socket._nothing,
        "subscribe": _socket._unauthorized,
        "complete": _socket._unauthorized,
    },
    State.READY: {
        "connection_init": _socket._again,
        "ping": _socket._ping,
        "pong": _socket._nothing,
        "subscribe": _socket._subscribe,
        "complete": _socket._complete,
    },
}
_WITH_ID = ("subscribe", "complete")


def close_reason(text: str) -> str:
    """A reason cut to what a close frame holds."""
    return text.encode(errors="replace")[:_REASON_BYTES_MAX].decode(errors="ignore")


def _message(text: str | None) -> Mapping[str, Any] | Close:
    """A message of a form that the protocol has, or how to close on it."""
    if text is None:
        return _bad("a message is text")
    try:
        message = parsed_strictly(text, "a message")
    except MalformedRequest as malformed:
        return _bad(malformed.message)
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return _bad("a message is a JSON object with a type")
    kind, payload = message["type"], message.get("payload")
    if kind not in _TABLE[State.OPENED]:
        return _bad("there is no message of this type for a client to send")
    if kind in _WITH_ID and not (isinstance(message.get("id"), str) and 0 < len(message["id"]) <= _ID_CHARS_MAX):
        return _bad(f"{kind} has an id, text of 1 to {_ID_CHARS_MAX} characters")
    if kind in _WITH_ID and not _is_text(message["id"]):
        return _bad(f"the id of {kind} is not valid Unicode text")
    if kind == "subscribe" and not isinstance(payload, dict):
        return _bad("subscribe has a payload, a JSON object")
    if payload is not None and not isinstance(payload, dict):
        return _bad("a payload is a JSON object")
    return message


def _is_text(text: str) -> bool:
    """Whether it can be sent back: JSON can say half of a surrogate pair, UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bad(why: str) -> Close:
    return Close(CloseCode.BAD_REQUEST, f"Invalid message received: {why}")
