"""Pages as Relay's connections: the ledger makes the page and its cursors, these types show it."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import strawberry

from ledger.pages import PAGE_DEFAULT as PAGE_DEFAULT
from ledger.pages import Page

T = TypeVar("T")
Item = TypeVar("Item")


@strawberry.type(description="Where a page lies among all there are.")
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@strawberry.type(description="One item of a page.")
class Edge(Generic[T]):
    node: T
    cursor: str = strawberry.field(description="Names this item's place, for ever, whatever is listed.")


@strawberry.type(description="A page of items.")
class Connection(Generic[T]):
    count: strawberry.Private[Callable[[], Awaitable[int]]]
    edges: list[Edge[T]]
    page_info: PageInfo

    @strawberry.field(description="The items of the page, without their cursors.")
    def nodes(self) -> list[T]:
        return [edge.node for edge in self.edges]

    @strawberry.field(description="How many there are in all pages together; counted only where it is asked for.")
    async def total_count(self) -> int:
        return await self.count()


def connection(page: Page[Item], show: Callable[[Item], T]) -> Connection[T]:
    """A page of the ledger, each item shown by `show`."""
    return Connection(
        edges=[Edge(node=show(item), cursor=cursor) for cursor, item in page.items],
        page_info=PageInfo(
            has_next_page=page.has_next_page,
            has_previous_page=page.has_previous_page,
            start_cursor=page.items[0][0] if page.items else None,
            end_cursor=page.items[-1][0] if page.items else None,
        ),
        count=page.total_count,
    )
