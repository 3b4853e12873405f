"""GraphiQL in a browser: the page and its files, all from here, with a policy that lets it load nothing else."""

from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

_FOLDER = Path(__file__).with_name("graphiql")
_FILES = {
    "graphiql-4.1.2.min.js": "text/javascript",
    "graphiql-4.1.2.min.css": "text/css",
    "react-18.3.1.min.js": "text/javascript",
    "react-dom-18.3.1.min.js": "text/javascript",
    "page.js": "text/javascript",
    "page.css": "text/css",
}
# GraphiQL's editor sets styles in the page while it runs; nothing inline is a script.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " font-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


def graphiql_page() -> Response:
    """The page that a browser gets at the GraphQL address."""
    return Response(
        _content("index.html"),
        media_type="text/html",
        headers={"content-security-policy": _POLICY, "vary": "accept"},
    )


async def graphiql_file(request: Request) -> Response:
    """One of the page's files."""
    name = request.path_params["name"]
    if name not in _FILES:
        return PlainTextResponse("There is no such file.\n", status_code=404)
    # Names of what is not ours hold a version, and so do not change.
    caching = "public, max-age=31536000, immutable" if "min." in name else "no-cache"
    return Response(_content(name), media_type=_FILES[name], headers={"cache-control": caching})


@cache
def _content(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()
