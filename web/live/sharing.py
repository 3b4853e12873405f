"""Subscriptions that ask for the same share what is made of an event: executed and encoded once, sent to each.

The same means: one tenant, one document and operation, the same variables (but those that only say where to start), and the
same scopes. Who asks for what follows the same position waits for the same batch; who comes a moment later is given it as it
is. A moment is short, since an event shows things that change and that can be erased: after it the event is made anew.
"""

import asyncio
import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Generator, Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from graphql import (
    ExecutionResult,
    FieldNode,
    OperationDefinitionNode,
    VariableNode,
    Visitor,
    visit,
)

from domain.events import EventType
from eventstore.database import StoreUnavailable
from ledger.api_keys import KeyId
from ledger.assembly import Caller
from ledger.feed import Feed
from ledger.given_evidence import ATTRIBUTES_CHARS_MAX, NOTICE_CHARS_MAX
from ledger.history import StoredEntry
from schema.context import RequestContext
from schema.feed import ConsentEventStream
from web.graphql_limits import LimitReached
from web.graphql_operations import Operations, Runnable
from web.graphql_response import encoded
from web.live.sessions import LiveLimits, TooManyOpen
from web.metrics import LiveMetrics
from web.refusals import limit_error

_START_ARGUMENTS = ("after", "afterPosition", "fromPosition")
_MOMENT_S = 1.0
_BATCH_EVENTS_MAX = 100
_BATCH_COST_MAX = 10_000
# What is kept of a batch: beyond this it ends, and the rest is made when it is asked for.
_BATCH_CHARS_MAX = 4_000_000
# What is executed at once: so many events, and of those that may be large fewer. Between them the process does other things.
_SLICE_EVENTS = 20
_SLICE_CHARS_MAX = 1_000_000
# What one event may be answered with: what is larger ends the stream, since it would have to be kept whole for every reader.
_EVENT_CHARS_MAX = 4_000_000
_FIELD_CHARS = 2_000
_EVIDENCE_CHARS = NOTICE_CHARS_MAX + ATTRIBUTES_CHARS_MAX
_AGAIN_S = 0.5


class Payload(NamedTuple):
    """The answer for one event, as JSON; without data it is the last one, since going on would skip the event."""

    position: int
    text: str
    is_last: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """What follows a position: the payloads, and up to where there are no others."""

    payloads: tuple[Payload, ...]
    received: int
    # The tail's size when it was begun: what was erased after that, it may still show.
    made_at_size: int


class Sharing:
    """The groups of one process."""

    def __init__(self, operations: Operations, metrics: LiveMetrics, limits: LiveLimits) -> None:
        self._operations = operations
        self._metrics = metrics
        self._limits = limits
        self._groups: dict[Hashable, _Group] = {}
        # By API key: what it asks for, and how often.
        self._asked_by: dict[KeyId, Counter[Hashable]] = {}
        self._kept_bytes: Counter[KeyId] = Counter()

    async def payloads(
        self, runnable: Runnable, stream: ConsentEventStream, request_id: str, by: KeyId
    ) -> AsyncGenerator[Payload]:
        """The payloads of one subscriber, as it asks for them; for ever, unless one is the last. Raises TooManyOpen."""
        with self._joined(runnable, stream, request_id, by) as group:
            position = stream.start.after
            while True:
                batch = await group.after(position)
                for payload in batch.payloads:
                    if payload.position > position:
                        # The last moment before it is sent: a slow reader may have kept it waiting since.
                        if group.is_outdated(batch):
                            break
                        yield payload
                        position = payload.position
                    if payload.is_last:
                        return
                else:
                    position = max(position, batch.received)

    @contextlib.contextmanager
    def _joined(
        self, runnable: Runnable, stream: ConsentEventStream, request_id: str, by: KeyId
    ) -> Generator["_Group"]:
        start = stream.start
        size = len(runnable.text) + len(json.dumps(runnable.asked.variables))
        if self._kept_bytes[by] + size > self._limits.kept_bytes_per_key:
            raise TooManyOpen("bytes of the subscriptions of one API key", self._limits.kept_bytes_per_key)
        key = (start.tenant.id, stream.context.caller.scopes, _what_is_asked(runnable))
        asked, allowed = self._asked_by.get(by, Counter[Hashable]()), self._limits.documents_per_key
        if key not in asked and len(asked) >= allowed:
            raise TooManyOpen("different subscriptions of one API key", allowed)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(self._operations, runnable, stream, request_id)
        group.subscribers += 1
        self._asked_by.setdefault(by, asked)[key] += 1
        self._kept_bytes[by] += size
        self._metrics.subscribers.inc()
        try:
            yield group
        finally:
            self._metrics.subscribers.dec()
            self._kept_bytes[by] -= size
            if not self._kept_bytes[by]:
                del self._kept_bytes[by]
            asked[key] -= 1
            if not asked[key]:
                del asked[key]
            if not asked:
                del self._asked_by[by]
            group.subscribers -= 1
            if not group.subscribers:
                del self._groups[key]
                group.close()


class _Group:
    """Subscribers that ask for the same."""

    def __init__(self, operations: Operations, runnable: Runnable, stream: ConsentEventStream, request_id: str) -> None:
        self.subscribers = 0
        self._operations = operations
        self._runnable = runnable
        self._stream = stream
        self._tenant = stream.start.tenant
        # Of who asks only the scopes are the same for all.
        self._caller = Caller(None, stream.context.caller.scopes)
        self._request_id = request_id
        self._closing = contextlib.ExitStack()
        start = stream.start
        self._tail = self._closing.enter_context(start.tenant.ledger.tails.watching(start.tenant.id, start.size))
        self._feed = Feed(start, self._tail)
        self._events_max = max(1, min(_BATCH_EVENTS_MAX, _BATCH_COST_MAX // max(1, runnable.cost)))
        # By the position that they follow.
        self._making: dict[int, asyncio.Task[Batch]] = {}
        self._made: dict[int, Batch] = {}

    def close(self) -> None:
        """The last subscriber has left."""
        for task in self._making.values():
            task.cancel()
        self._closing.close()

    def is_outdated(self, batch: Batch) -> bool:
        """Whether somebody asked for an erasure after it was made: then it is made anew."""
        return batch.made_at_size <= self._tail.last_of_type.get(_ERASURE, -1)

    async def after(self, position: int) -> Batch:
        """What follows `position`, made once for all who ask at about the same time."""
        made = self._made.get(position)
        if made is not None and not self.is_outdated(made):
            return made
        making = self._making.get(position)
        if making is None:
            making = self._making[position] = asyncio.create_task(self._make(position), name="feed-batch")
        # Who leaves stops waiting; the others go on.
        return await asyncio.shield(making)

    async def _make(self, position: int) -> Batch:
        this = self._making[position]
        try:
            while True:
                page = await self._feed.after(position, self._events_max)
                if page.events:
                    break
                # Nothing passed. Who asks from there on waits for the same batch; if another makes it already, so do we.
                del self._making[position]
                position = page.received
                other = self._making.setdefault(position, this)
                if other is not this:
                    return await asyncio.shield(other)
            made_at_size = self._tail.size
            payloads = await self._payloads(page.events)
            is_whole = len(payloads) == len(page.events)
            batch = Batch(payloads, page.received if is_whole else payloads[-1].position, made_at_size)
            self._made[position] = batch
            asyncio.get_running_loop().call_later(_MOMENT_S, self._forget, position, batch)
            return batch
        finally:
            if self._making.get(position) is this:
                del self._making[position]

    def _forget(self, position: int, batch: Batch) -> None:
        if self._made.get(position) is batch:
            del self._made[position]

    async def _payloads(self, events: Sequence[StoredEntry]) -> tuple[Payload, ...]:
        """Of the first of the events, at least one: as many as a batch holds."""
        payloads: list[Payload] = []
        chars = 0
        while len(payloads) < len(events):
            some = self._slice(events, len(payloads), _BATCH_CHARS_MAX - chars)
            for event, result in zip(some, await self._executed_surely(some), strict=True):
                payloads.append(self._payload(event, result))
                chars += len(payloads[-1].text)
                if payloads[-1].is_last or chars >= _BATCH_CHARS_MAX:
                    return tuple(payloads)
                await asyncio.sleep(0)
        return tuple(payloads)

    def _slice(self, events: Sequence[StoredEntry], start: int, room_chars: int) -> Sequence[StoredEntry]:
        """What to execute next, one event at least: as many as cannot be larger than there is room, each field all of it."""
        room_chars = min(room_chars, _SLICE_CHARS_MAX)
        for number, event in enumerate(events[start : start + _SLICE_EVENTS]):
            room_chars -= self._field_chars(event) * max(1, self._runnable.cost)
            if room_chars < 0:
                return events[start : start + max(1, number)]
        return events[start : start + _SLICE_EVENTS]

    def _field_chars(self, event: StoredEntry) -> int:
        """About how long the longest of an event's fields is: the entry in Base64, the evidence beside it, or a description."""
        has_evidence = bool(event.entry.personal) or "noticeDigest" in event.entry.data
        beside = _EVIDENCE_CHARS if has_evidence and "read:personal" in self._caller.scopes else _FIELD_CHARS
        return max(4 * len(event.raw) // 3, beside)

    def _payload(self, event: StoredEntry, result: ExecutionResult) -> Payload:
        body = self._operations.body(result, self._runnable, self._request_id)
        text = encoded(body)
        if len(text) > _EVENT_CHARS_MAX:
            limit = LimitReached("characters of an event's answer", _EVENT_CHARS_MAX, len(text))
            return Payload(event.position, encoded({"errors": [limit_error(limit)], "data": None}), is_last=True)
        return Payload(event.position, text, body.get("data") is None)

    async def _executed_surely(self, events: Sequence[StoredEntry]) -> list[ExecutionResult]:
        results = await self._executed(events)
        while any(_is_unavailable(result) for result in results):
            # Sent as it is, the event would count as seen, and what it says would be missing.
            await asyncio.sleep(_AGAIN_S)
            results = await self._executed(events)
        return results

    async def _executed(self, events: Sequence[StoredEntry]) -> list[ExecutionResult]:
        # One context for all: what several of them need is loaded at once.
        context = RequestContext(self._tenant, self._caller)
        executor = self._operations.executor(self._runnable, context)

        def executed(event: StoredEntry) -> Awaitable[ExecutionResult]:
            return self._operations.answer_event(self._runnable, context, self._stream.edge(context, event), executor)

        return await asyncio.gather(*map(executed, events))


_ERASURE = EventType.CONTACT_POINT_ERASURE_REQUESTED.value


def _is_unavailable(result: ExecutionResult) -> bool:
    return any(isinstance(error.original_error, StoreUnavailable) for error in result.errors or ())


def _what_is_asked(runnable: Runnable) -> bytes:
    """The digest of document, operation and variables, without those that only say where to start."""
    start_only = _start_variables(runnable.operation.node)
    counts: dict[str, int] = {}

    class Counting(Visitor):
        def enter_variable_definition(self, *_args: object) -> object:
            return self.SKIP

        def enter_variable(self, node: VariableNode, *_args: object) -> None:
            counts[node.name.value] = counts.get(node.name.value, 0) + 1

    visit(runnable.document.node, Counting())
    variables = {
        name: value
        for name, value in runnable.asked.variables.items()
        if not (name in start_only and counts.get(name) == 1)
    }
    asked = json.dumps((runnable.text, runnable.asked.operation_name, variables), sort_keys=True)
    return hashlib.sha256(asked.encode()).digest()


def _start_variables(operation: OperationDefinitionNode) -> set[str]:
    return {
        argument.value.name.value
        for selection in operation.selection_set.selections
        if isinstance(selection, FieldNode)
        for argument in selection.arguments or ()
        if argument.name.value in _START_ARGUMENTS and isinstance(argument.value, VariableNode)
    }
