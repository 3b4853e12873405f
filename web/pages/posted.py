"""What was posted to a link: fields of a form, and whether it asks for the one click of RFC 8058, however that is written.

Mail programs differ in case, blanks and content type. What holds the words is an opt-out; what does not hold them is none.
"""

import re
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from web.pages.forms import FormMalformed, FormTooBig, body_bytes_max, read_fields

_NAME, _VALUE = "list-unsubscribe", "one-click"
# In a body of no type, or of another: as a field, or as a part of a form whose boundary is lost.
_FIELD = re.compile(rb"(?<![\w-])list-unsubscribe[\"']?\s{0,20}[=:]\s{0,20}[\"']?one-click(?![\w-])", re.IGNORECASE)
_PART = re.compile(rb"name=\"?list-unsubscribe\"?[^\r\n]{0,200}(?:\r?\n){1,2}\s{0,20}one-click(?![\w-])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Posted:
    """The fields, None where the body is no form; and whether it asks for the one click."""

    fields: list[tuple[str, str]] | None
    one_click: bool


async def posted(request: Request, *, boxes: int = 0) -> Posted:
    """What came, be it a form of so many boxes. Raises FormTooBig, FormMalformed where whoever sent it left."""
    body = await _body(request, body_bytes_max(boxes))

    async def again() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    try:
        fields = await read_fields(Request(request.scope, again), boxes=boxes)
    except FormMalformed:
        fields = None
    one_click = any(name.strip().lower() == _NAME and value.strip().lower() == _VALUE for name, value in fields or ())
    return Posted(fields, one_click or _FIELD.search(body) is not None or _PART.search(body) is not None)


async def _body(request: Request, bytes_max: int) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > bytes_max:
                raise FormTooBig
    except ClientDisconnect as error:
        raise FormMalformed from error
    return bytes(body)
