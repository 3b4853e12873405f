"""The live feed as a subscription. Its stream may be read as it is, event by event; a server that has many subscribers
reads `start` instead, and shares what it makes of each event among those who asked for the same.
"""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from typing import cast

import strawberry

from ledger import feed, history
from ledger.feed import Feed, FeedStart
from ledger.history import StoredEntry
from schema.connections import Edge
from schema.context import Info, RequestContext
from schema.history import ConsentEvent, ConsentEventFilter, event_filter, shown_event
from schema.inputs import LEFT_OUT, given
from schema.scalars import Long

_PAGE_EVENTS = 100


class ConsentEventStream(AsyncIterable[Edge[ConsentEvent]]):
    """A subscription that was accepted: where it starts, and the events from there on."""

    def __init__(self, context: RequestContext, start: FeedStart) -> None:
        self.context = context
        self.start = start

    def edge(self, context: RequestContext, event: StoredEntry) -> Edge[ConsentEvent]:
        """An event as the subscription shows it."""
        return Edge(node=shown_event(context, event), cursor=history.event_cursor(context.tenant, event))

    async def __aiter__(self) -> AsyncIterator[Edge[ConsentEvent]]:
        start = self.start
        with start.tenant.ledger.tails.watching(start.tenant.id, start.size) as tail:
            source = Feed(start, tail)
            position = start.after
            while True:
                page = await source.after(position, _PAGE_EVENTS)
                for event in page.events:
                    # What was loaded for the event before may have changed since.
                    self.context.after_a_change()
                    yield self.edge(self.context, event)
                position = page.received


@strawberry.type
class FeedSubscription:
    @strawberry.subscription(
        description="Every event that passes the filter, in log order, each once, from just after `after` (a cursor of "
        "consentEvents or of this subscription) or `afterPosition`, or with the event at `fromPosition` (0 is the first), or "
        "from now on; first what is there, then live, with no gap and no repeat in between. A subscriber that is too slow is "
        "ended with the code SLOW_CONSUMER and resumes from its last cursor."
    )
    async def consent_events(
        self,
        info: Info,
        filter: ConsentEventFilter | None = LEFT_OUT,
        after: str | None = LEFT_OUT,
        after_position: Long | None = LEFT_OUT,
        from_position: Long | None = LEFT_OUT,
    ) -> AsyncGenerator[Edge[ConsentEvent], None]:
        context = info.context
        context.require("read")
        start = await feed.feed_start(
            context.tenant,
            event_filter(context, filter),
            after=given(after),
            after_position=given(after_position),
            from_position=given(from_position),
        )
        # GraphQL asks for something to iterate; the annotation is what Strawberry reads the type from.
        return cast("AsyncGenerator[Edge[ConsentEvent], None]", ConsentEventStream(context, start))
