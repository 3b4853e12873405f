"""A GraphQL-over-HTTP request read from the bytes of an HTTP request, strictly: one meaning or a refusal.

Obeys "Request" of the GraphQL-over-HTTP specification (September 2026). Knows HTTP's encodings, not GraphQL's language.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import parse_qsl

_URL_PARAMETERS_MAX = 50
_PARAMETERS = ("query", "documentId", "operationName", "variables", "extensions")
_ID_CHARS_MAX = 256
_APOLLO = "persistedQuery"
DOCUMENT_ID_FORM = "sha256: and the SHA-256 of the document's text, 64 hexadecimal digits in lower case"
APOLLO_HASH_FORM = "the SHA-256 of the document's text, 64 hexadecimal digits in lower case"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """The parameters; what was null or left out is empty. One of `query` and `document_id` is given, or both.

    `automatic`: the identifier came as Apollo's extension, whose clients send the document where it is not known.
    """

    query: str | None
    operation_name: str | None
    variables: dict[str, Any]
    extensions: dict[str, Any]
    document_id: str | None = None
    automatic: bool = False


class MalformedRequest(Exception):
    """The HTTP request holds no GraphQL request: the status to answer with, what is wrong, and which parameter."""

    def __init__(self, status: int, message: str, *path: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.path = path


def request_of_body(content_type: str | None, content_encoding: str | None, body: bytes) -> GraphQLRequest:
    """The request of a POST. Raises MalformedRequest."""
    _check_media_type(content_type)
    if content_encoding is not None and content_encoding.strip().lower() not in ("", "identity"):
        raise MalformedRequest(415, "the body is taken without a content encoding only")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise MalformedRequest(400, "the body is not UTF-8") from None
    return _request(_object(_parsed(text, "the body"), "the body"))


def request_of_object(given: Mapping[str, Any]) -> GraphQLRequest:
    """The request that is part of a larger JSON text, read already. Raises MalformedRequest."""
    return _request(given)


def parsed_strictly(text: str, name: str) -> object:
    """The JSON that a text is, each member named once, each number finite. Raises MalformedRequest."""
    return _parsed(text, name)


def request_of_query_string(query_string: bytes) -> GraphQLRequest:
    """The request of a GET. Raises MalformedRequest."""
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_URL_PARAMETERS_MAX,
        )
    except ValueError:
        raise MalformedRequest(400, "the URL's parameters are not UTF-8 in percent-encoding") from None
    given: dict[str, Any] = {}
    for name, value in pairs:
        if name not in _PARAMETERS:
            continue  # reserved by the specification, and to be ignored
        if name in given:
            raise MalformedRequest(400, f"{name} is given twice", name)
        given[name] = value
    for name in ("variables", "extensions"):
        if name in given:
            given[name] = _parsed(given[name], name)
    # An empty name is no name, by the specification.
    given["operationName"] = given.get("operationName") or None
    return _request(given)


def _check_media_type(content_type: str | None) -> None:
    if content_type == "application/json":
        return
    if content_type is None:
        raise MalformedRequest(415, "a POST says Content-Type: application/json")
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    if media_type != "application/json":
        raise MalformedRequest(415, "the body of a POST is application/json")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in ("utf-8", "utf8"):
            raise MalformedRequest(415, "the body of a POST is UTF-8")


def _request(given: Mapping[str, Any]) -> GraphQLRequest:
    query = given.get("query")
    extensions = _optional_object(given, "extensions")
    document_id, automatic = _identifier(given.get("documentId"), extensions)
    if not isinstance(query, str) and (query is not None or document_id is None):
        raise MalformedRequest(400, "query is a GraphQL document, as a string, and has to be given", "query")
    operation_name = given.get("operationName")
    if operation_name is not None and not isinstance(operation_name, str):
        raise MalformedRequest(400, "operationName is a string", "operationName")
    return GraphQLRequest(
        query,
        operation_name,
        _optional_object(given, "variables"),
        extensions,
        document_id,
        automatic,
    )


def _identifier(document_id: object, extensions: Mapping[str, Any]) -> tuple[str | None, bool]:
    """The document's identifier, and whether it came as Apollo's extension alone."""
    if document_id is not None and not (isinstance(document_id, str) and 0 < len(document_id) <= _ID_CHARS_MAX):
        wanted = f"a string of 1 to {_ID_CHARS_MAX} characters: {DOCUMENT_ID_FORM}"
        raise MalformedRequest(400, f"documentId is {wanted}", "documentId")
    persisted = extensions.get(_APOLLO)
    if persisted is None:
        return document_id, False
    path = ("extensions", _APOLLO)
    if not isinstance(persisted, dict):
        raise MalformedRequest(400, f"extensions.{_APOLLO} is an object", *path)
    if persisted.get("version") != 1:
        raise MalformedRequest(400, f"of extensions.{_APOLLO}, version 1 is spoken here", *path, "version")
    given = persisted.get("sha256Hash")
    if not isinstance(given, str) or not 0 < len(given) <= _ID_CHARS_MAX:
        wanted = f"a string: {APOLLO_HASH_FORM}"
        raise MalformedRequest(400, f"extensions.{_APOLLO}.sha256Hash is {wanted}", *path, "sha256Hash")
    identifier = f"sha256:{given}" if _SHA256.fullmatch(given) else given
    if document_id is not None and document_id != identifier:
        raise MalformedRequest(400, f"documentId and extensions.{_APOLLO} name different documents", "documentId")
    return identifier, document_id is None


def _optional_object(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = given.get(name)
    return {} if value is None else _object(value, name)


def _object(value: object, name: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    if name == "the body" and isinstance(value, list):
        raise MalformedRequest(400, "one request at a time: batches are not taken")
    raise MalformedRequest(400, f"{name} is a JSON object", *([name] if name in _PARAMETERS else []))


def _parsed(text: str, name: str) -> object:
    path = [name] if name in _PARAMETERS else []
    try:
        return _decode(text)
    except MalformedRequest:
        raise
    except (ValueError, RecursionError):
        raise MalformedRequest(400, f"{name} is not JSON", *path) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedRequest(400, "a JSON object names the same member twice")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise MalformedRequest(400, "a number is beyond what JSON numbers hold here")
    return value


def _no_constant(_text: str) -> NoReturn:
    raise MalformedRequest(400, "NaN and Infinity are not JSON")


_decode = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant).decode
