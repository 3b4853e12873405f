"""Node ids: opaque names of everything that has an id, each bound to its type and its tenant.

Form: base64url, without padding, of a letter for the type, the tenant's number (4 bytes) and what finds the node there.
The letter is upper case, so the text starts with Q to W, as no key (lower case) and no GUID (hexadecimal) does: a ref
that is one of these is told apart without a look-up.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

import strawberry

from domain.catalogue import by_key
from schema.scalars import LONG_MAX

_FIRST_CHARACTERS = frozenset("QRSTUVW")
_HEAD_BYTES = 5
_NODE_ID_CHARS_MAX = 200


class NodeKind(Enum):
    """What a node is. The letters are in ids that were handed out: they never change."""

    APPLICATION = b"A"
    BUSINESS_UNIT = b"B"
    COMPLIANCE_PROFILE = b"C"
    EVENT = b"E"
    CONTACT_POINT = b"P"
    TOPIC = b"T"
    PURPOSE = b"U"
    WEBHOOK = b"W"


_WITH_GUID = frozenset((NodeKind.PURPOSE, NodeKind.TOPIC))
_KINDS = {kind.value: kind for kind in NodeKind}


@dataclass(frozen=True, slots=True)
class NodeName:
    """What a node id says: the node's kind, and its name among those of its kind."""

    kind: NodeKind
    name: bytes

    def key(self) -> str:
        """The name of what has a key; what is no text names nothing that is there."""
        return self.name.decode("utf-8", "replace")

    def contact_point(self) -> UUID | None:
        """The name of a contact point."""
        return self.uuid()

    def uuid(self) -> UUID | None:
        """The name of what is named by a UUID alone."""
        return UUID(bytes=self.name) if len(self.name) == 16 else None

    def event(self) -> tuple[int, UUID] | None:
        """The position and id of an event."""
        position = int.from_bytes(self.name[:8], "big")
        if len(self.name) != 24 or position > LONG_MAX:
            return None
        return position, UUID(bytes=self.name[8:])


def key_node_id(tenant: int, kind: NodeKind, key: str) -> strawberry.ID:
    """The node id of what has a key."""
    return _encoded(tenant, kind, key.encode("utf-8"))


def contact_point_node_id(tenant: int, contact_point: UUID) -> strawberry.ID:
    """The node id of a contact point."""
    return _encoded(tenant, NodeKind.CONTACT_POINT, contact_point.bytes)


def webhook_node_id(tenant: int, webhook: UUID) -> strawberry.ID:
    """The node id of a webhook."""
    return _encoded(tenant, NodeKind.WEBHOOK, webhook.bytes)


def event_node_id(tenant: int, position: int, event_id: UUID) -> strawberry.ID:
    """The node id of an event: where it is, and which one must be there."""
    return _encoded(tenant, NodeKind.EVENT, position.to_bytes(8, "big") + event_id.bytes)


def read_node_id(tenant: int, node_id: str) -> NodeName | None:
    """What a node id says; None for one of another tenant, or text that is none."""
    if node_id[:1] not in _FIRST_CHARACTERS or len(node_id) > _NODE_ID_CHARS_MAX:
        return None
    try:
        raw = urlsafe_b64decode(node_id + "=" * (-len(node_id) % 4))
    except (Base64Error, ValueError):
        return None
    kind = _KINDS.get(raw[:1])
    if kind is None or len(raw) <= _HEAD_BYTES or int.from_bytes(raw[1:_HEAD_BYTES], "big") != tenant:
        return None
    name = NodeName(kind, raw[_HEAD_BYTES:])
    # One spelling only: base64 has text that differs and decodes alike.
    return name if _encoded(tenant, kind, name.name) == node_id else None


def ref(tenant: int, kind: NodeKind, text: str) -> str:
    """A ref as the ledger takes it: the key where `text` is a node id of this kind, else `text`, a key or a GUID."""
    if text[:1] not in _FIRST_CHARACTERS:
        return text
    name = read_node_id(tenant, text)
    if name is None or name.kind is not kind:
        return text
    return by_key(name.key()) if kind in _WITH_GUID else name.key()


def _encoded(tenant: int, kind: NodeKind, name: bytes) -> strawberry.ID:
    raw = kind.value + tenant.to_bytes(4, "big") + name
    return strawberry.ID(urlsafe_b64encode(raw).rstrip(b"=").decode("ascii"))
