"""Documents asked for by an identifier in place of their text: those of the operator, and those that clients register.

Identifiers are those of the GraphQL-over-HTTP draft's appendix on persisted documents. A client registers a document by
sending its text beside its SHA-256, as Apollo's clients do; what is registered is the registering tenant's alone, since a
document may hold an address, and who knows its hash could have it answered. All that is kept is bounded; the operator's
documents are never given up for it.
"""

import re
from collections import OrderedDict
from collections.abc import Hashable

from web.graphql_request import APOLLO_HASH_FORM, DOCUMENT_ID_FORM, GraphQLRequest
from web.trusted_documents import TrustedDocuments, may_be_custom_id, sha256_id

REGISTERED_BYTES_MAX = 4 * 1024 * 1024
_OWNER_BYTES_MAX = 512 * 1024
_DOCUMENT_BYTES_MAX = 64 * 1024
_SHA256_ID = re.compile(r"sha256:[0-9a-f]{64}")
# What an entry takes besides its text: the identifier, and its place in two tables.
_ENTRY_BYTES = 400


class NotPersisted(Exception):
    """A document is not run: the code, why, and which parameter of the request would have to be another."""

    def __init__(self, code: str, message: str, *path: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.path = path


class PersistedDocuments:
    """What can be asked for by identifier; with `only`, nothing else can be asked for at all."""

    def __init__(self, trusted: TrustedDocuments | None = None, *, only: bool = False) -> None:
        self.trusted = trusted or TrustedDocuments()
        self._only = only
        self._registered = _Registered()
        self._has_custom_ids = any(_SHA256_ID.fullmatch(one) is None for one in self.trusted.by_id)

    def text(self, asked: GraphQLRequest, owner: Hashable) -> str:
        """The text of the document that a request asks for. Raises NotPersisted."""
        if asked.document_id is None:
            text = asked.query
            assert text is not None  # noqa: S101 - a request has one of the two
            if self._only and text not in self.trusted.names:
                raise _not_trusted()
            return text
        known = self.trusted.by_id.get(asked.document_id)
        if known is None and not self._only:
            known = self._registered.find(owner, asked.document_id)
        if known is None and not self._may_be_one(asked.document_id):
            raise self._malformed(asked)
        if asked.query is None:
            if known is None:
                raise self._unknown(asked)
            return known
        if known is None and self._only:
            raise _not_trusted()
        if asked.query != known and (known is not None or asked.document_id != sha256_id(asked.query)):
            raise _another(asked)
        return asked.query

    def register(self, asked: GraphQLRequest, owner: Hashable) -> None:
        """Keep what a request brings, which `text` let pass and which can be run."""
        if asked.document_id is None or asked.query is None or asked.document_id in self.trusted.by_id:
            return
        self._registered.keep(owner, asked.document_id, asked.query)

    def _may_be_one(self, identifier: str) -> bool:
        """Whether any document could have this identifier here; sending the text would not help where none can."""
        return _SHA256_ID.fullmatch(identifier) is not None or (self._has_custom_ids and may_be_custom_id(identifier))

    def _malformed(self, asked: GraphQLRequest) -> NotPersisted:
        name = "extensions.persistedQuery.sha256Hash" if asked.automatic else "documentId"
        wanted = APOLLO_HASH_FORM if asked.automatic else DOCUMENT_ID_FORM
        custom = "; or a name that this server's operator gave a document" if self._has_custom_ids else ""
        return NotPersisted("BAD_USER_INPUT", f"{name} is {wanted}{custom}", *name.split("."))

    def _unknown(self, asked: GraphQLRequest) -> NotPersisted:
        if not asked.automatic:
            why = "there is no document with this documentId"
            return NotPersisted("PERSISTED_QUERY_NOT_FOUND", why, "documentId")
        # Apollo's clients know both by these words.
        if self._only:
            return NotPersisted("PERSISTED_QUERY_NOT_SUPPORTED", "PersistedQueryNotSupported")
        return NotPersisted("PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound")


def _not_trusted() -> NotPersisted:
    return NotPersisted("FORBIDDEN", "only documents that this server was given are run here: send the id of one")


def _another(asked: GraphQLRequest) -> NotPersisted:
    path = ("extensions", "persistedQuery", "sha256Hash") if asked.automatic else ("documentId",)
    why = "the document in query is not the one of this identifier: sha256: and the SHA-256 of the text, in hexadecimal"
    return NotPersisted("BAD_USER_INPUT", why, *path)


class _Registered:
    """What clients registered: for each owner the least recently used goes first, and of all owners the one that asked
    longest ago."""

    def __init__(self) -> None:
        self._owners: OrderedDict[Hashable, OrderedDict[str, str]] = OrderedDict()
        self._bytes_of: dict[Hashable, int] = {}
        self.bytes = 0

    def find(self, owner: Hashable, identifier: str) -> str | None:
        held = self._owners.get(owner)
        text = None if held is None else held.get(identifier)
        if held is not None and text is not None:
            held.move_to_end(identifier)
            self._owners.move_to_end(owner)
        return text

    def keep(self, owner: Hashable, identifier: str, text: str) -> None:
        size = _size(text)
        if size > _DOCUMENT_BYTES_MAX or self.find(owner, identifier) is not None:
            return
        held = self._owners.setdefault(owner, OrderedDict())
        held[identifier] = text
        self._owners.move_to_end(owner)
        self._count(owner, size)
        while self._bytes_of[owner] > _OWNER_BYTES_MAX:
            self._give_up(owner)
        while self.bytes > REGISTERED_BYTES_MAX:
            self._give_up(next(iter(self._owners)))

    def _give_up(self, owner: Hashable) -> None:
        held = self._owners[owner]
        _, text = held.popitem(last=False)
        self._count(owner, -_size(text))
        if not held:
            del self._owners[owner], self._bytes_of[owner]

    def _count(self, owner: Hashable, size: int) -> None:
        self._bytes_of[owner] = self._bytes_of.get(owner, 0) + size
        self.bytes += size


def _size(text: str) -> int:
    return len(text.encode(errors="surrogatepass")) + _ENTRY_BYTES
