"""The table of graphql-transport-ws, each cell written out; and every text that is no message of it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.live.ws_protocol import (
    _TABLE,
    Authenticate,
    Close,
    CloseCode,
    GraphQLSocket,
    Nothing,
    Pong,
    Start,
    State,
    Stop,
    close_reason,
)

MESSAGES: dict[str, dict[str, Any]] = {
    "connection_init": {"type": "connection_init", "payload": {"a": 1}},
    "ping": {"type": "ping", "payload": {"b": 2}},
    "pong": {"type": "pong"},
    "subscribe": {"type": "subscribe", "id": "1", "payload": {"query": "{a}"}},
    "complete": {"type": "complete", "id": "1"},
}
UNAUTHORIZED = Close(CloseCode.UNAUTHORIZED, "Unauthorized")
AGAIN = Close(CloseCode.TOO_MANY_INITIALISATIONS, "Too many initialisation requests")
EXISTS = Close(CloseCode.SUBSCRIBER_EXISTS, "Subscriber for 1 already exists")
START = Start("1", {"query": "{a}"})
RUNNING = "READY, 1 runs"

#            connection_init            ping     pong       subscribe     complete
TABLE = {
    State.OPENED: (Authenticate({"a": 1}), Pong(), Nothing(), UNAUTHORIZED, UNAUTHORIZED),
    State.WAITING: (AGAIN, Pong(), Nothing(), UNAUTHORIZED, UNAUTHORIZED),
    State.READY: (AGAIN, Pong(), Nothing(), START, Nothing()),
    RUNNING: (AGAIN, Pong(), Nothing(), EXISTS, Stop("1")),
    State.CLOSED: (Nothing(), Nothing(), Nothing(), Nothing(), Nothing()),
}


def socket_in(state: str) -> GraphQLSocket:
    socket = GraphQLSocket()
    if state in (State.WAITING, State.READY, RUNNING):
        socket.receive('{"type": "connection_init"}')
    if state in (State.READY, RUNNING):
        socket.acknowledge()
    if state == RUNNING:
        socket.receive(json.dumps(MESSAGES["subscribe"]))
    if state is State.CLOSED:
        socket.closed()
    return socket


@pytest.mark.parametrize(
    ("state", "kind", "expected"),
    [
        (state, kind, expected)
        for state, row in TABLE.items()
        for kind, expected in zip(MESSAGES, row, strict=True)
    ],
)  # fmt: skip
def test_what_each_message_means_in_each_state(state: str, kind: str, expected: object) -> None:
    socket = socket_in(state)
    assert socket.receive(json.dumps(MESSAGES[kind])) == expected
    assert (socket.state is State.CLOSED) == (isinstance(expected, Close) or state is State.CLOSED)


def test_the_table_has_every_state_and_every_message() -> None:
    assert set(TABLE) == set(State) | {RUNNING}
    assert all(set(row) == set(MESSAGES) for row in _TABLE.values())
    assert set(_TABLE) == set(State) - {State.CLOSED}


def test_an_id_is_free_once_its_operation_has_ended_by_either_side() -> None:
    socket = socket_in(RUNNING)
    socket.finished("1")
    assert socket.receive(json.dumps(MESSAGES["subscribe"])) == START
    assert socket.receive(json.dumps(MESSAGES["complete"])) == Stop("1")
    assert socket.receive(json.dumps(MESSAGES["complete"])) == Nothing()
    assert socket.receive(json.dumps(MESSAGES["subscribe"])) == START


def test_an_acknowledgement_that_comes_after_the_closing_opens_nothing() -> None:
    socket = socket_in(State.WAITING)
    socket.receive('{"type": "connection_init"}')
    socket.acknowledge()
    assert socket.state is State.CLOSED


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[]",
        "null",
        "1",
        '"ping"',
        "{}",
        '{"type": 1}',
        '{"type": "next", "id": "1", "payload": {}}',
        '{"type": "start", "id": "1", "payload": {"query": "{a}"}}',
        '{"type": "connection_ack"}',
        '{"type": "connection_init", "payload": []}',
        '{"type": "connection_init", "payload": "Bearer x"}',
        '{"type": "ping", "payload": 1}',
        '{"type": "subscribe", "payload": {"query": "{a}"}}',
        '{"type": "subscribe", "id": 1, "payload": {"query": "{a}"}}',
        '{"type": "subscribe", "id": "", "payload": {"query": "{a}"}}',
        '{"type": "subscribe", "id": "1"}',
        '{"type": "subscribe", "id": "1", "payload": null}',
        '{"type": "complete"}',
        '{"type": "ping", "type": "pong"}',
        '{"type": "ping", "payload": {"x": NaN}}',
        '{"type": "complete", "id": "' + "x" * 201 + '"}',
        '{"type": "subscribe", "id": "\\ud800", "payload": {"query": "{a}"}}',
        '{"type": "complete", "id": "a\\udfff"}',
        "[" * 100_000,
    ],
)
@pytest.mark.parametrize("state", [State.OPENED, State.WAITING, State.READY, RUNNING])
def test_what_is_no_message_closes_with_4400_in_every_state(text: str | None, state: str) -> None:
    socket = socket_in(state)
    action = socket.receive(text)
    assert isinstance(action, Close)
    assert action.code == 4400
    assert action.reason.startswith("Invalid message received: ")
    assert socket.state is State.CLOSED


@given(st.text())
def test_a_reason_fits_into_a_close_frame(text: str) -> None:
    text = text.encode(errors="ignore").decode()
    reason = close_reason(text)
    assert len(reason.encode()) <= 123
    assert text.startswith(reason)
    assert len(reason.encode()) > 119 or reason == text


def test_a_reason_that_is_no_text_closes_all_the_same() -> None:
    assert close_reason("id \ud800") == "id ?"
