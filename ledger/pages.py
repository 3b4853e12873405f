"""Pages: how many items one may ask for, and cursors that work for ever.

A cursor is base64 of a version, the tenant's key and a place. It is opaque, but no secret: it names nobody.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from domain.refusals import LimitExceeded, Refusal, RefusalCode
from ledger.assembly import Tenant

PAGE_DEFAULT = 50
PAGE_MAX = 1_000

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A part of a list, each item with its cursor; `total_count` is only counted when called."""

    items: list[tuple[str, Item]]
    has_next_page: bool
    has_previous_page: bool
    total_count: Callable[[], Awaitable[int]]


def page_size(name: str, asked: int | None) -> int:
    """How many items `first` or `last` asks for. Raises LimitExceeded, Refusal INVALID."""
    if asked is None:
        return PAGE_DEFAULT
    if asked < 0:
        raise Refusal(RefusalCode.INVALID, f"{name} must not be negative", (name,))
    if asked > PAGE_MAX:
        raise LimitExceeded(name, PAGE_MAX, asked)
    return asked


def cursor(tenant: Tenant, kind: str, place: str) -> str:
    """The cursor of a place in a list of this kind."""
    return urlsafe_b64encode(f"1:{kind}:{tenant.key}:{place}".encode()).decode().rstrip("=")


def place_of(tenant: Tenant, kind: str, text: str, *, field: str) -> str:
    """The place that a cursor names. Raises Refusal INVALID for what is no cursor of this list and tenant."""
    try:
        decoded = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except (Base64Error, ValueError) as error:
        raise no_cursor(field) from error
    version, _, rest = decoded.partition(":")
    named, _, rest = rest.partition(":")
    owner, _, place = rest.partition(":")
    if (version, named, owner) != ("1", kind, tenant.key) or not place or cursor(tenant, kind, place) != text:
        raise no_cursor(field)
    return place


def no_cursor(field: str) -> Refusal:
    """The refusal of what is no cursor of the list that it was given to."""
    return Refusal(RefusalCode.INVALID, f"{field} is not a cursor that this list gave out", (field,))
