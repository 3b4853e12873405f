"""The documents that an operator lets clients run: read from a folder or a file when the server starts, for every tenant.

A folder holds one document in each of its files `*.graphql` and `*.gql`. A file is JSON: an object of documents by their
identifiers, as clients' compilers write it, or Apollo's manifest, which has a list of `operations`. A document is found by
its SHA-256, and by the identifier that the file has for it.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from domain.json_members import each_once

_SUFFIXES = (".graphql", ".gql")
_MANIFEST_FORMAT = "apollo-persisted-query-manifest"
# The GraphQL-over-HTTP draft's own characters; a prefix that does not begin with x- is the draft's to give away.
_CUSTOM_ID = re.compile(r"(?:x-[A-Za-z0-9._~-]+:)?[A-Za-z0-9._~-]{1,200}")
_HEX = re.compile(r"[0-9a-f]{64}")


class DocumentsInvalid(ValueError):
    """What should hold the documents cannot be read, or one of them cannot be run; says which and why."""


@dataclass(frozen=True, slots=True)
class TrustedDocuments:
    """Documents by their identifiers; `names` says of a text where it comes from."""

    by_id: Mapping[str, str] = field(default_factory=dict[str, str])
    names: Mapping[str, str] = field(default_factory=dict[str, str])


def sha256_id(text: str) -> str:
    """The identifier that every document has: of its text, to the last blank."""
    return "sha256:" + hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def may_be_custom_id(text: str) -> bool:
    """Whether an operator could have given a document this identifier: what looks like a SHA-256 is one."""
    return _HEX.fullmatch(text) is None and _CUSTOM_ID.fullmatch(text) is not None


def read_documents(path: Path) -> TrustedDocuments:
    """The documents of a folder or a file. Raises DocumentsInvalid."""
    by_id: dict[str, str] = {}
    names: dict[str, str] = {}
    for name, given_id, text in _folder(path) if path.is_dir() else _file(path):
        names.setdefault(text, name)
        for identifier in {sha256_id(text), *([] if given_id is None else [_checked(given_id, text, name)])}:
            if by_id.setdefault(identifier, text) != text:
                raise DocumentsInvalid(f"{name}: another document has the identifier {identifier}")
    if not by_id:
        raise DocumentsInvalid(f"{path} holds no documents: a folder of *.graphql files, or a JSON file")
    return TrustedDocuments(by_id, names)


def _checked(given_id: str, text: str, name: str) -> str:
    """The identifier under which a file has a document; a SHA-256 has to be the document's."""
    if given_id.startswith("sha256:") or _HEX.fullmatch(given_id):
        identifier = given_id if given_id.startswith("sha256:") else "sha256:" + given_id
        if identifier != sha256_id(text):
            raise DocumentsInvalid(f"{name}: the SHA-256 is not that of the document, which is {sha256_id(text)}")
        return identifier
    if _CUSTOM_ID.fullmatch(given_id) is None:
        raise DocumentsInvalid(f"{name}: an identifier is up to 200 of the characters A-Z a-z 0-9 - . _ ~")
    return given_id


def _folder(path: Path) -> Iterable[tuple[str, None, str]]:
    for file in sorted(path.rglob("*")):
        if file.suffix in _SUFFIXES and file.is_file():
            yield str(file), None, _read(file)


def _file(path: Path) -> Iterable[tuple[str, str, str]]:
    content = _read(path)
    try:
        given: object = json.loads(content, object_pairs_hook=each_once)
    except (ValueError, RecursionError):
        raise DocumentsInvalid(f"{path} is not JSON with each member once") from None
    if not isinstance(given, dict):
        raise DocumentsInvalid(f"{path}: a JSON object of documents by their identifiers, or Apollo's manifest")
    manifest = cast(dict[str, Any], given)
    if manifest.get("format") == _MANIFEST_FORMAT:
        yield from _manifest(path, manifest)
        return
    for given_id, text in manifest.items():
        if not isinstance(text, str):
            raise DocumentsInvalid(f"{path}, {given_id}: a document is text")
        yield f"{path}, {given_id}", given_id, text


def _manifest(path: Path, manifest: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    operations = manifest.get("operations")
    if manifest.get("version") != 1 or not isinstance(operations, list):
        raise DocumentsInvalid(f"{path}: of Apollo's manifest, version 1 is read, with its list of operations")
    for number, operation in enumerate(cast(list[object], operations)):
        members = cast(dict[str, Any], operation) if isinstance(operation, dict) else {}
        given_id, text = members.get("id"), members.get("body")
        if not isinstance(given_id, str) or not isinstance(text, str):
            raise DocumentsInvalid(f"{path}, operation {number}: has an id and a body, both text")
        yield f"{path}, {members.get('name', number)}", given_id, text


def _read(path: Path) -> str:
    try:
        # As it is: its digest is that of the bytes, ends of lines included.
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise DocumentsInvalid(f"{path} cannot be read: {why}") from None
