"""The log for tools of others: C2SP tlog-tiles under /log/TENANT/, for keys with the scope `audit`.

Tiles never change, so they are cached for ever by whoever asked with its key; the checkpoint is asked for anew each time.
"""

import gzip
import hashlib
import re
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from ledger import log_export
from ledger.checkpoints import checkpoint
from tlog.tiles import MalformedTilePath, Tile, parse_tile_path
from web.graphql_endpoint import NotServed
from web.log_access import failed, not_served, reader_of_log, refused

SCOPE = "audit"
_FOR_EVER = "private, max-age=31536000, immutable"
_EACH_TIME = "private, no-cache"
_PATH_CHARS_MAX = 200
_WEIGHT = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


async def log_checkpoint(request: Request) -> Response:
    """The present checkpoint, signed, with the cosignatures of witnesses so far."""
    try:
        note = (await checkpoint((await reader_of_log(request, SCOPE))[0])).note
    except NotServed as no:
        return not_served(no)
    except Exception as error:  # noqa: BLE001 - every error is told in our words, as for GraphQL
        return failed(request, error)
    return _with_tag(request, note.encode(), "text/plain; charset=utf-8", _EACH_TIME)


async def log_tile(request: Request) -> Response:
    """A tile of hashes, or a bundle of entries."""
    try:
        tenant, _ = await reader_of_log(request, SCOPE)
        asked = _asked(request)
        content = await log_export.tile(tenant, asked)
        if content is None:
            raise refused(404, "NOT_FOUND", "the log has no such tile: it is not that long")
    except NotServed as no:
        return not_served(no)
    except Exception as error:  # noqa: BLE001 - as above
        return failed(request, error)
    zipped = asked.level is None and _prefers_gzip(",".join(request.headers.getlist("accept-encoding")))
    response = _with_tag(
        request, gzip.compress(content, 6, mtime=0) if zipped else content, "application/octet-stream", _FOR_EVER
    )
    if asked.level is None:
        response.headers["vary"] = "accept-encoding"
    if zipped and response.status_code == 200:
        response.headers["content-encoding"] = "gzip"
    return response


def _asked(request: Request) -> Tile:
    # As it was sent: what a server decodes or folds on the way must not become another tile.
    raw: bytes = request.scope.get("raw_path") or request.url.path.encode()
    path = raw.decode("latin-1").partition("?")[0].removeprefix(f"/log/{request.path_params['tenant']}/")
    try:
        if len(path) > _PATH_CHARS_MAX:
            raise MalformedTilePath("a tile's path is not that long")
        return parse_tile_path(path)
    except MalformedTilePath as error:
        raise refused(400, "BAD_USER_INPUT", str(error)) from None


def _prefers_gzip(accepted: str) -> bool:
    """Whether gzip may be sent by this Accept-Encoding, and is not less welcome than plain (RFC 9110, 12.5.3)."""
    weights: dict[str, float] = {}
    for one in accepted.split(","):
        coding, *parameters = (part.strip() for part in one.lower().split(";"))
        weights[coding] = _weight(parameters)
    gzip_weight = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip_weight > 0 and gzip_weight >= weights.get("identity", 0.0)


def _weight(parameters: Sequence[str]) -> float:
    """The q of a coding; 0 for what cannot be read: plain is understood by everybody."""
    if not parameters:
        return 1.0
    name, _, value = parameters[0].partition("=")
    return float(value) if name == "q" and len(parameters) == 1 and _WEIGHT.fullmatch(value) else 0.0


def _with_tag(request: Request, content: bytes, media_type: str, cache_control: str) -> Response:
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"etag": tag, "cache-control": cache_control}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media_type, headers=headers)
