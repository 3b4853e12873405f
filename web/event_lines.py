"""An event as a line of JSON, with the members that `ConsentEvent` has in GraphQL; what has an id there has its id and key here.

The line is put together from the entry's own text. Its data is looked into for a few members, and handed on as it stands.
"""

import json
from base64 import b64encode
from json.encoder import encode_basestring as quoted  # what json.dumps does to text, without ensure_ascii
from typing import Any
from uuid import UUID

from domain.events import CATALOGUE_TYPES, CURRENT_VERSIONS
from domain.json_lines import one_line
from domain.upcasting import upcast
from eventstore.read import StoredText
from ledger.assembly import Tenant
from ledger.catalogue import subject_of
from ledger.history import EVENTS
from ledger.pages import cursor
from schema.node_ids import NodeKind, contact_point_node_id, event_node_id, key_node_id

_NOT_OF_A_CONTACT_POINT = frozenset(map(str, CATALOGUE_TYPES))
_CURRENT = {str(event_type): version for event_type, version in CURRENT_VERSIONS.items()}


class EventLines:
    """Lines of one tenant's events; `with_entries` adds the entry itself and its leaf hash."""

    def __init__(self, tenant: Tenant, *, with_entries: bool) -> None:
        self._tenant = tenant
        self._with_entries = with_entries
        # By kind and key: a page names the same few again and again.
        self._names: dict[tuple[NodeKind, str | None], str] = {}

    def line(self, event: StoredText, opened: dict[int, dict[str, Any]] | None) -> str:
        """The line, its end included; `opened` is the evidence by position, None for whom it is not shown to.

        Raises UnknownEventVersion.
        """
        entry, tenant = event.text, self._tenant
        shown: Any = json.loads(entry.data)
        data = entry.data
        if _CURRENT.get(entry.type) != entry.version:
            shown = upcast(entry.type, entry.version, shown)
            data = _json(shown)
        purpose, topic = subject_of(entry.type, shown)
        reason, actor, more = shown.get("reason"), "", ""
        if opened is not None:
            evidence = opened.get(entry.position) or None
            of_evidence = evidence or {}
            reason = reason or of_evidence.get("reason")
            actor = f',"id":{_json(of_evidence.get("actorId"))}'
            more = f',"evidence":{_json(evidence)}'
        if self._with_entries:
            raw, leaf_hash = b64encode(event.raw).decode(), b64encode(event.leaf_hash).decode()
            more += f',"entry":"{raw}","leafHash":"{leaf_hash}"'
        contact_point = "null"
        if entry.type not in _NOT_OF_A_CONTACT_POINT:
            contact_point = f'{{"id":"{contact_point_node_id(tenant.id, UUID(entry.stream))}"}}'
        effective_at = "null" if entry.effective_at is None else f'"{entry.effective_at}"'
        return (
            one_line(
                f'{{"cursor":"{cursor(tenant, EVENTS, str(entry.position))}","position":{entry.position},'
                f'"id":"{event_node_id(tenant.id, entry.position, UUID(entry.event_id))}","type":"{entry.type}",'
                f'"recordedAt":"{entry.recorded_at}","effectiveAt":{effective_at},"contactPoint":{contact_point},'
                f'"purpose":{self._named(NodeKind.PURPOSE, purpose)},'
                f'"topic":{self._named(NodeKind.TOPIC, None if purpose is None else topic)},'
                f'"value":{_text(shown.get("value"))},"source":{_text(shown.get("source"))},"reason":{_text(reason)},'
                f'"application":{self._named(NodeKind.APPLICATION, entry.application)},'
                f'"actor":{{"kind":"{entry.actor}"{actor}}},"data":{data}{more}}}'
            )
            + "\n"
        )

    def _named(self, kind: NodeKind, key: str | None) -> str:
        named = self._names.get((kind, key))
        if named is None:
            named = "null"
            if key is not None:
                named = f'{{"id":"{key_node_id(self._tenant.id, kind, key)}","key":{quoted(key)}}}'
            self._names[kind, key] = named
        return named


def _text(value: str | None) -> str:
    return "null" if value is None else quoted(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
