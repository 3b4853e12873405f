"""The forms of the preference page: what was shown, sealed so that it is evidence, and what came back.

A form carries how each box was shown, and a seal over that, the link, the version of the catalogue and a random number. So
what a person was shown can be told later, word by word, and a form that the page did not make changes nothing.
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from python_multipart.exceptions import FormParserError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from domain.consent import ConsentValue
from domain.suppression import Level
from eventstore.personal.link_tokens import TokenInvalid, open_token, seal_token
from ledger.assembly import Tenant
from ledger.preferences import NOTHING_SEEN, SeenThen
from tlog import canonical_json

BODY_BYTES_MAX = 1024 * 1024
FIELDS_MAX = 4_000
# A box has two fields, each with two keys in its name; multipart writes a line or two around each.
_FIELDS_OF_BOX = 2
_BYTES_OF_FIELD = 500
FIELD_BYTES_MAX = 8 * 1024
SAVE, EVERYTHING, UNDO = "save", "everything", "undo"
WORKS = "works"
_FORM = "form"
_SHOWN, _CHOICE, _UNDO = "shown", "choice", "undo"
_TICKS = {True: "yes", False: "no"}
_NUMBER_BYTES = 12


class FormMalformed(Exception):
    """What came is no form that the page made."""


class FormTooBig(Exception):
    """What came is bigger than any form that the page makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormState:
    """What a form is made from: its number, the catalogue's position, the language, which notices stood above it, and what
    was known of the address. `busy` where it stands on the page that asks to wait."""

    number: str
    position: int
    language: str
    seen: SeenThen = NOTHING_SEEN
    suppressed: bool = False
    gpc: bool = False
    bounced: bool = False
    busy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A form that came back: how its boxes were shown, which are ticked now; or what each choice was set to and from what.

    `address_works`: the person says so, of an address from which messages came back.
    """

    state: FormState
    action: str
    shown: Mapping[Level, bool]
    ticked: frozenset[Level]
    undo: Mapping[Level, tuple[ConsentValue, ConsentValue]]
    address_works: bool = False


def new_number() -> str:
    """A number for one form, shown once."""
    return secrets.token_hex(_NUMBER_BYTES)


def box_name(level: Level) -> str:
    """The name of a choice's box."""
    return _name(_CHOICE, level)


def shown_fields(shown: Mapping[Level, bool]) -> dict[str, str]:
    """The hidden fields that say how each box was shown."""
    return {_name(_SHOWN, level): _TICKS[ticked] for level, ticked in shown.items()}


def undo_fields(undo: Mapping[Level, tuple[ConsentValue, ConsentValue]]) -> dict[str, str]:
    """The hidden fields of the form that takes back: what each choice was set to, and what it was before."""
    return {_name(_UNDO, level): f"{now} {before}" for level, (now, before) in undo.items()}


def seal_form(tenant: Tenant, token: str, state: FormState, hidden: Mapping[str, str]) -> str:
    """The seal of a form: only its own hidden fields, behind its own link, open it."""
    content: dict[str, Any] = {
        "b": state.bounced,
        "c": state.position,
        "d": _digest(token, hidden),
        "e": state.seen.erasures,
        "g": state.gpc,
        "h": state.seen.size,
        "k": _FORM,
        "l": state.language,
        "n": state.number,
        "s": state.suppressed,
        "w": state.busy,
    }
    if state.seen.contact_point is not None:
        content["p"] = state.seen.contact_point.hex
    return seal_token(tenant.keys.links, tenant.id, canonical_json.encode(content))


def body_bytes_max(boxes: int) -> int:
    """How big a form of so many boxes may be."""
    return BODY_BYTES_MAX + _FIELDS_OF_BOX * _BYTES_OF_FIELD * boxes


async def read_fields(request: Request, *, boxes: int = 0) -> list[tuple[str, str]]:
    """The fields of a POST, urlencoded or multipart; whatever the limits, a form of so many `boxes` is taken.

    Raises FormMalformed, FormTooBig; a file is no field.
    """
    read = 0
    fields_max = FIELDS_MAX + _FIELDS_OF_BOX * boxes
    bytes_max = body_bytes_max(boxes)

    async def counted() -> Message:
        nonlocal read
        message = await request.receive()
        read += len(message.get("body", b""))
        if read > bytes_max:
            raise FormTooBig
        return message

    try:
        form = await Request(request.scope, counted).form(
            max_files=0, max_fields=fields_max, max_part_size=FIELD_BYTES_MAX
        )
    except (HTTPException, FormParserError, ClientDisconnect, UnicodeError) as error:
        raise FormMalformed from error
    return [(name, value) for name, value in form.multi_items() if isinstance(value, str)]


def submitted(tenant: Tenant, token: str, fields: list[tuple[str, str]]) -> Submitted:
    """What a form of the preference page says. Raises FormMalformed for anything that the page did not put there."""
    held = dict(fields)
    if len(held) != len(fields):
        raise FormMalformed
    sealed, action = held.pop(_FORM, ""), held.pop("action", "")
    if action not in (SAVE, EVERYTHING, UNDO):
        raise FormMalformed
    works = held.pop(WORKS, None)
    boxes = {name: held.pop(name) for name in list(held) if name.startswith(_CHOICE + ".")}
    # All that is left is hidden and sealed: a name or value that the page did not write breaks the seal.
    state = _open(tenant, token, sealed, held)
    shown, undo = _shown(held), _undo(held)
    ticked = frozenset(_level(name, _CHOICE) for name in boxes)
    if any(value != "yes" for value in boxes.values()) or not ticked <= shown.keys() or (action == UNDO) != bool(undo):
        raise FormMalformed
    if works is not None and (works != _TICKS[True] or not state.bounced or action == UNDO):
        raise FormMalformed
    return Submitted(state=state, action=action, shown=shown, ticked=ticked, undo=undo, address_works=works is not None)


def open_button(tenant: Tenant, token: str, fields: list[tuple[str, str]], button: tuple[str, str]) -> FormState | None:
    """How the page of one button was shown; None where what came is not from that page. It never keeps anybody from acting."""
    try:
        return _open(tenant, token, dict(fields).get(_FORM, ""), dict([button]))
    except FormMalformed:
        return None


def _open(tenant: Tenant, token: str, sealed: str, hidden: Mapping[str, str]) -> FormState:
    try:
        content = canonical_json.loads(open_token(tenant.keys.links, tenant.id, sealed))
        digest = _digest(token, hidden)
    except (TokenInvalid, canonical_json.NotCanonical) as error:
        raise FormMalformed from error
    if content.get("k") != _FORM or content["d"] != digest:
        raise FormMalformed
    return FormState(
        number=content["n"],
        position=content["c"],
        language=content["l"],
        # A form that was made before these were sealed in has seen nothing but the catalogue: in doubt it changes nothing.
        seen=SeenThen(
            size=content.get("h", content["c"] + 1),
            contact_point=UUID(content["p"]) if "p" in content else None,
            erasures=content.get("e", 0),
        ),
        suppressed=content["s"],
        gpc=content["g"],
        # A form that was open when these came in does not say them.
        bounced=content.get("b", False),
        busy=content.get("w", False),
    )


def _shown(hidden: Mapping[str, str]) -> dict[Level, bool]:
    return {
        _level(name, _SHOWN): value == _TICKS[True]
        for name, value in hidden.items()
        if name.startswith(_SHOWN + ".")
    }  # fmt: skip


def _undo(hidden: Mapping[str, str]) -> dict[Level, tuple[ConsentValue, ConsentValue]]:
    undo: dict[Level, tuple[ConsentValue, ConsentValue]] = {}
    for name, value in hidden.items():
        if name.startswith(_UNDO + "."):
            now, _, before = value.partition(" ")
            undo[_level(name, _UNDO)] = ConsentValue(now), ConsentValue(before)
    return undo


def _digest(token: str, hidden: Mapping[str, str]) -> str:
    content = canonical_json.encode({"fields": [[name, hidden[name]] for name in sorted(hidden)], "token": token})
    return hashlib.sha256(content).hexdigest()[:32]


def _name(kind: str, level: Level) -> str:
    purpose, topic = level
    return f"{kind}.{purpose}" if topic is None else f"{kind}.{purpose}.{topic}"


def _level(name: str, kind: str) -> Level:
    purpose, _, topic = name.removeprefix(kind + ".").partition(".")
    return purpose, topic or None
