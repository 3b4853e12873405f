"""The answer's media type and status: what the client accepts, and what the specification says for it.

Obeys "Response" of the GraphQL-over-HTTP specification (September 2026) and its appendix on `application/json`.
"""

import json
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import lru_cache, wraps
from typing import Any, TypeVar

import orjson
from starlette.responses import Response

PARTIAL_SUCCESS = 294
_HEADERS_REMEMBERED = 256
_HEADER_CHARS_REMEMBERED = 256
_PART_BYTES = 512 * 1024
# How far into an answer its parts are looked for, and how many items of a list are written at once.
_DEPTH_IN_PIECES = 8
_ITEMS_IN_PIECE = 16


class MediaType(StrEnum):
    """What an answer is served as; the first is preferred where the client names both alike."""

    GRAPHQL_RESPONSE = "application/graphql-response+json"
    JSON = "application/json"


_RANGES = {
    MediaType.GRAPHQL_RESPONSE: (MediaType.GRAPHQL_RESPONSE.value, "application/*", "*/*"),
    MediaType.JSON: (MediaType.JSON.value, "application/*", "*/*"),
}


Answered = TypeVar("Answered")


def _remembered(reading: Callable[[str | None], Answered]) -> Callable[[str | None], Answered]:
    """The same function, which remembers what it said of headers that are short, so that what it holds is small."""
    remembering = lru_cache(maxsize=_HEADERS_REMEMBERED)(reading)

    @wraps(reading)
    def read(accept: str | None) -> Answered:
        if accept is not None and len(accept) > _HEADER_CHARS_REMEMBERED:
            return reading(accept)
        return remembering(accept)

    return read


@_remembered
def negotiate(accept: str | None) -> MediaType | None:
    """The media type to answer in, None where the client takes neither.

    Who names neither gets application/json, which every client reads; who names both alike gets the newer one.
    """
    if accept is None or not accept.strip():
        return MediaType.JSON
    ranges = _accepted(accept)
    weights = {media_type: _weight(media_type, ranges) for media_type in MediaType}
    best = max(weights.values())
    if best[0] <= 0:
        return None
    if best[1] == 0:  # named by itself, not through a wildcard
        return next(media_type for media_type in MediaType if weights[media_type] == best)
    return MediaType.JSON if weights[MediaType.JSON] == best else MediaType.GRAPHQL_RESPONSE


@_remembered
def wants_page(accept: str | None) -> bool:
    """Whether this is a browser that opens the address: it names HTML, and no JSON before it."""
    if accept is None:
        return False
    ranges = _accepted(accept)
    html = ranges.get("text/html", 0.0)
    return html > 0 and all(ranges.get(media_type.value, 0.0) < html for media_type in MediaType)


@_remembered
def wants_events(accept: str | None) -> bool:
    """Whether the client asks for a stream of events: it names that, and no JSON as much."""
    if accept is None:
        return False
    ranges = _accepted(accept)
    events = ranges.get("text/event-stream", 0.0)
    return events > 0 and all(ranges.get(media_type.value, 0.0) < events for media_type in MediaType)


class GraphQLAnswer(Response):
    """The answer, as bytes of JSON. What a client sent comes back as it was, lone surrogates too."""

    def __init__(self, body: dict[str, Any], status: int, media_type: MediaType) -> None:
        # Starlette's own would go through all headers once more to find that these two are there.
        self.status_code = status
        self.background = None
        self.body = _as_bytes(body)
        self.raw_headers = [(b"content-length", b"%d" % len(self.body)), _CONTENT_TYPES[media_type]]


def content_type_header(media_type: MediaType) -> tuple[bytes, bytes]:
    """The header that says it."""
    return _CONTENT_TYPES[media_type]


def parts_of(body: dict[str, Any]) -> Iterator[bytes]:
    """The same bytes part by part, so that whoever sends them may stop, or let others go on in between."""
    part = bytearray()
    for piece in _pieces(body, _DEPTH_IN_PIECES):
        part += piece
        if len(part) >= _PART_BYTES:
            yield bytes(part)
            part.clear()
    if part:
        yield bytes(part)


def _pieces(value: Any, depth: int) -> Iterator[bytes]:
    if not depth or not value:
        yield _as_bytes(value)
    elif value.__class__ is dict:
        before = b"{"
        for key, member in value.items():
            yield before + _as_bytes(key) + b":"
            yield from _pieces(member, depth - 1)
            before = b","
        yield b"}"
    elif value.__class__ is list:
        before = b"["
        if len(value) <= _ITEMS_IN_PIECE:
            for item in value:
                yield before
                yield from _pieces(item, depth - 1)
                before = b","
        else:
            for start in range(0, len(value), _ITEMS_IN_PIECE):
                yield before
                yield _as_bytes(value[start : start + _ITEMS_IN_PIECE])[1:-1]
                before = b","
        yield b"]"
    else:
        yield _as_bytes(value)


_CONTENT_TYPES = {media_type: (b"content-type", f"{media_type}; charset=utf-8".encode()) for media_type in MediaType}


def status_of_result(body: dict[str, Any], media_type: MediaType) -> int:
    """The status of a well-formed request that was tried: 200, 294 (data beside errors) or 400 (nothing executed)."""
    if media_type is MediaType.JSON or "errors" not in body:
        return 200
    return PARTIAL_SUCCESS if "data" in body else 400


encoded = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode

# What is no JSON by itself is a mistake of ours, and is to fail as one.
_JSON_ALONE = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


def _as_bytes(body: Any) -> bytes:
    try:
        return orjson.dumps(body, option=_JSON_ALONE)
    except TypeError:
        # Lone surrogates and integers beyond 64 bits.
        return encoded(body).encode("ascii")


def _accepted(accept: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for item in accept.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        weight = 1.0
        for parameter in parameters:
            key, _, value = (part.strip() for part in parameter.partition("="))
            if key == "q":
                weight = _quality(value)
            elif key == "charset" and value.strip('"') not in ("utf-8", "utf8"):
                weight = 0.0
        if name:
            found[name] = max(weight, found.get(name, 0.0))
    return found


def _quality(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0.0 <= value <= 1.0 else 0.0


def _weight(media_type: MediaType, ranges: dict[str, float]) -> tuple[float, int]:
    for distance, name in enumerate(_RANGES[media_type]):
        if name in ranges:
            return ranges[name], -distance
    return 0.0, -len(_RANGES[media_type])
