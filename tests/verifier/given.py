"""A log in memory, with keys of its own, and all that is made from it: bundles, exports, statements, receipts, tiles."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.events import CURRENT_VERSIONS, EventType
from domain.time import format_instant
from tlog import canonical_json
from tlog.checkpoint import Checkpoint
from tlog.entry import Entry, encode
from tlog.hashing import EMPTY_ROOT, leaf_hash
from tlog.note import SigningKey, VerifierKey, encode_base64, key_id_of, signed
from tlog.prove import inclusion, nodes_of, subtree_root
from tlog.tiles import TILE_WIDTH, Tile, encode_entries, tiles_of
from verifier.checkpoint import Trust
from verifier.report import Report
from verifier.verify import log_in_file, verify_file

ORIGIN = "consentry.local/log/demo"
KEY = SigningKey(ORIGIN, b"k" * 32)
OTHER_KEY = SigningKey(ORIGIN, b"o" * 32)
FOREIGN_KEY = SigningKey("consentry.local/log/other", b"f" * 32)
TRUST = Trust((KEY.verifier,))
START = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
CATALOGUE = UUID("ca7a106e-0000-8000-8000-000000000000")
ADA = UUID("11111111-1111-4111-8111-111111111111")
BOB = UUID("22222222-2222-4222-8222-222222222222")
ADDRESS = b"ada@example.org"
SALT = b"0123456789abcdef"
NOTICE = "We write to you once a week."
WITNESS_SECRET = Ed25519PrivateKey.from_private_bytes(b"w" * 32)

Members = dict[str, Any]


def witness(name: str = "witness.example") -> VerifierKey:
    public_key = WITNESS_SECRET.public_key().public_bytes_raw()
    return VerifierKey(name, key_id_of(name, 4, public_key), 4, public_key)


def cosign(text: str, timestamp_s: int) -> str:
    key = witness()
    signature = WITNESS_SECRET.sign(f"cosignature/v1\ntime {timestamp_s}\n{text}".encode())
    return f"— {key.name} {encode_base64(key.key_id + timestamp_s.to_bytes(8, 'big') + signature)}\n"


def commitment(content: bytes, salt: bytes = SALT) -> bytes:
    return hashlib.sha256(salt + content).digest()


def enforcement(email: str) -> dict[str, str]:
    return {
        "EMAIL": email,
        "SMS": "RESTRICTIVE",
        "VOICE": "RESTRICTIVE",
        "PUSH": "RESTRICTIVE",
        "CUSTOM": "RESTRICTIVE",
    }


def capture(value: str, purpose: str = "commercial", topic: str | None = None, **more: Any) -> Members:
    data = {
        "channel": "EMAIL",
        "purpose": purpose,
        "source": "API",
        "trust": "SERVER_KEY",
        "unit": "root",
        "value": value,
        **more,
    }
    return data if topic is None else {**data, "topic": topic}


@dataclass
class Log:
    """Entries in order. `add` numbers them as a log does; what is given by name is written instead, true or not."""

    key: SigningKey = KEY
    tenant: str = "demo"
    entries: list[bytes] = field(default_factory=list)
    positions: dict[UUID, list[int]] = field(default_factory=dict)

    def add(self, type_: str, stream: UUID, /, data: Mapping[str, Any], **given: Any) -> int:
        position = len(self.entries)
        held = self.positions.setdefault(stream, [])
        recorded_at = START + timedelta(seconds=position)
        is_capture = type_ == EventType.CONSENT_CAPTURED
        entry = Entry(
            event_id=UUID(int=position + 1),
            tenant=self.tenant,
            type=type_,
            version=CURRENT_VERSIONS[EventType(type_)] if type_ in list(EventType) else 1,
            stream=stream,
            number=len(held),
            previous=held[-1] if held else None,
            position=position,
            recorded_at=recorded_at,
            effective_at=recorded_at if is_capture else None,
            application="app" if is_capture else None,
            actor="USER",
            data=data,
        )
        self.entries.append(encode(entry._replace(**given)))
        held.append(position)
        return position

    def size(self) -> int:
        return len(self.entries)

    def node_at(self, size: int) -> Callable[[int, int], bytes]:
        return nodes_of([leaf_hash(raw) for raw in self.entries[:size]])

    def root(self, size: int | None = None) -> bytes:
        size = self.size() if size is None else size
        return subtree_root(0, size, self.node_at(size)) if size else EMPTY_ROOT

    def checkpoint(
        self,
        size: int | None = None,
        *,
        origin: str | None = None,
        root: bytes | None = None,
        cosigned_s: int | None = None,
        extensions: tuple[str, ...] = (),
    ) -> str:
        size = self.size() if size is None else size
        text = Checkpoint(origin or self.key.name, size, self.root(size) if root is None else root, extensions).text()
        cosignatures = [] if cosigned_s is None else [cosign(text, cosigned_s)]
        return signed(text, self.key.sign(text), *cosignatures)

    def proof(self, position: int, size: int | None = None) -> list[str]:
        size = self.size() if size is None else size
        return [encode_base64(hash_) for hash_ in inclusion(position, size, self.node_at(size))]

    def note(
        self, kind: str, members: Mapping[str, Any], *, key: SigningKey | None = None, origin: str = ORIGIN
    ) -> str:
        text = f"{kind}\n{origin}\n{canonical_json.encode(members).decode()}\n"
        return signed(text, (key or self.key).sign(text))

    def statement(self, stream: UUID, size: int | None = None, **given: Any) -> str:
        size = self.size() if size is None else size
        key, origin = given.pop("key", None), given.pop("origin", ORIGIN)
        kind = given.pop("kind", "consentry/stream-statement@v1")
        events = [position for position in self.positions.get(stream, []) if position < size]
        members: Members = {
            "stream": str(stream),
            "events": len(events),
            "size": size,
            "root": encode_base64(self.root(size)),
            "statedAt": format_instant(START + timedelta(hours=1)),
        }
        return self.note(kind, members | given, key=key, origin=origin)

    def item(self, position: int, size: int | None = None) -> Members:
        return {
            "position": position,
            "entry": encode_base64(self.entries[position]),
            "proof": self.proof(position, size),
        }

    def bundle(self, stream: UUID = ADA, size: int | None = None) -> Members:
        size = self.size() if size is None else size

        def positions(of: UUID) -> list[int]:
            return [position for position in self.positions[of] if position < size]

        events = [{**self.item(position, size), "openings": {}} for position in positions(stream)]
        events[0]["openings"] = {"address": opening(ADDRESS)}
        return {
            "format": "consentry-evidence",
            "version": 1,
            "origin": ORIGIN,
            "checkpoint": self.checkpoint(size),
            "verifierKeys": [KEY.verifier.text()],
            "asked": {"channel": "EMAIL", "purpose": "commercial"},
            "contactPoint": {"stream": str(stream), "channel": "EMAIL"},
            "statements": [self.statement(stream, size), self.statement(CATALOGUE, size)],
            "events": events,
            "catalogue": [self.item(position, size) for position in positions(CATALOGUE)],
            "notices": [{"digest": encode_base64(hashlib.sha256(NOTICE.encode()).digest()), "text": NOTICE}],
        }

    def header(self) -> Members:
        return {
            "format": "consentry-log",
            "version": 1,
            "origin": ORIGIN,
            "verifierKeys": [KEY.verifier.text()],
            "checkpoint": self.checkpoint(),
            "entries": self.size(),
        }

    def lines(self) -> list[Members]:
        return [self.header(), *(self.item(position) for position in range(self.size()))]

    @property
    def export(self) -> bytes:
        return json_lines(self.lines())

    def receipt(self, **given: Any) -> str:
        """That ada may not be written to, as the demo log has it at its end."""
        size = given.get("position", self.size() - 1) + 1
        members = self.receipt_members(size) | given
        return self.note("consentry/receipt@v1", {name: value for name, value in members.items() if value is not None})

    def receipt_members(self, size: int) -> Members:
        return {
            "question": question(),
            "allowed": False,
            "trackingAllowed": True,
            "reasons": [reason("OPTED_OUT", value="OPTED_OUT", position=self.positions[ADA][-1])],
            "position": size - 1,
            "root": encode_base64(self.root(size)),
            "catalogueVersion": max(position for position in self.positions[CATALOGUE] if position < size),
            "decidedAt": format_instant(START + timedelta(hours=1)),
            "contactPoint": {
                "stream": str(ADA),
                "events": len([position for position in self.positions[ADA] if position < size]),
            },
        }

    def served(self) -> dict[str, bytes]:
        """The files of the log as C2SP tlog-tiles serves them."""
        size = self.size()
        files = {"checkpoint": self.checkpoint().encode()}
        node_at = self.node_at(size)
        for tile in tiles_of(size):
            hashes = [node_at(8 * (tile.level or 0), tile.index * TILE_WIDTH + at) for at in range(tile.width)]
            files[tile.path()] = b"".join(hashes)
            if tile.level == 0:
                start = tile.index * TILE_WIDTH
                files[Tile(None, tile.index, tile.width).path()] = encode_entries(
                    self.entries[start : start + tile.width]
                )
        return files


def opening(content: bytes, salt: bytes = SALT) -> Members:
    return {"salt": encode_base64(salt), "content": encode_base64(content)}


def question(**given: Any) -> Members:
    return {
        "digest": encode_base64(bytes(32)),
        "channel": "EMAIL",
        "profile": "default",
        "purpose": "commercial",
        "asOf": format_instant(START + timedelta(hours=1)),
        **given,
    }


def reason(code: str, **given: Any) -> Members:
    return {"code": code, "purpose": "commercial", "value": "NOT_SET", "enforcement": "NON_RESTRICTIVE", **given}


def json_lines(lines: list[Members]) -> bytes:
    return b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)


def dumped(bundle: Mapping[str, Any]) -> bytes:
    return json.dumps(bundle, separators=(",", ":")).encode()


def add_catalogue(log: Log) -> None:
    log.add("TenantCreated", CATALOGUE, {"name": "Demo", "unitScoping": True})
    log.add("BusinessUnitCreated", CATALOGUE, {"key": "root", "name": "Root"})
    profile = {"key": "default", "name": "Default", "unit": "root", "doubleOptIn": "OFF"}
    log.add(
        "ComplianceProfileCreated",
        CATALOGUE,
        {**profile, "purposes": ["commercial", "tracking"], "trackingPurpose": "tracking"},
    )
    for key, type_ in (("commercial", "COMMERCIAL"), ("tracking", "TRACKING")):
        purpose = {"key": key, "name": key, "type": type_, "unit": "root", "profiles": ["default"]}
        log.add("PurposeCreated", CATALOGUE, {**purpose, "enforcement": enforcement("NON_RESTRICTIVE")})
    log.add("TopicCreated", CATALOGUE, {"key": "news", "name": "News", "purpose": "commercial"})
    log.add("SigningKeyAdded", CATALOGUE, {"verifierKey": KEY.verifier.text()})


def demo_log() -> Log:
    """The catalogue at 0 to 6; ada opts in at 7, bob at 8 and 9, ada opts out at 10, the catalogue goes on at 11."""
    log = Log()
    add_catalogue(log)
    digest = encode_base64(hashlib.sha256(NOTICE.encode()).digest())
    log.add("ConsentCaptured", ADA, capture("OPTED_IN", noticeDigest=digest), personal={"address": commitment(ADDRESS)})
    log.add("ConsentCaptured", BOB, capture("OPTED_IN"), personal={"address": commitment(b"bob@example.org")})
    log.add("ConsentCaptured", BOB, capture("OPTED_OUT", topic="news"))
    log.add("ConsentCaptured", ADA, capture("OPTED_OUT"))
    log.add("TopicUpdated", CATALOGUE, {"key": "news", "purpose": "commercial", "name": "Newsletter"})
    return log


def verified(raw: bytes, *, log: bytes | None = None, trust: Trust = TRUST, entry: bytes | None = None) -> Report:
    """The report on a file with these bytes."""
    return verify_file(BytesIO(raw), trust, log=None if log is None else log_in_file(BytesIO(log), trust), entry=entry)


def texts(report: Report) -> str:
    return "\n".join(map(str, report.lines))
