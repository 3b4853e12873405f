"""`POST /consent-provider`: the contract of an external consent provider, with its field names, for keys with the scope `check`.

What cannot be answered is an error and holds no `consentformessage` at all. A field that is not of the contract is refused: it
may ask for something that would have to be heeded.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from domain.addresses import Channel, normalise
from domain.refusals import LimitExceeded, Refusal
from ledger.answers import Answer
from ledger.assembly import Tenant
from ledger.check import ADDRESSES_MAX, Question, check_for_message
from ledger.links import unsubscribe_links
from schema.node_ids import NodeKind, ref
from web.authentication import documents_owner
from web.body_limit import BODY_BYTES_MAX
from web.graphql_endpoint import NotServed
from web.plain_http import JSON, body_of, caller_with, content_type, failed, json_object, not_served, refused
from web.unsent import answer_of

SCOPE = "check"
CHANNELS: Mapping[str, Channel] = {
    "custom": Channel.CUSTOM,
    "email": Channel.EMAIL,
    "push": Channel.PUSH,
    "sms": Channel.SMS,
}
FIELDS = (
    "contactpoints",
    "purpose",
    "topic",
    "channeltype",
    "complianceprofile",
    "owningbusinessunit",
    "unsubscribeurlrequired",
    "oneclickunsubscribeurlrequired",
)
# Of what the ledger refuses: by its own name of it, the contract's.
_FIELD_OF: Mapping[str, str] = {
    "addresses": "contactpoints",
    "businessUnit": "owningbusinessunit",
    "channel": "channeltype",
    "profile": "complianceprofile",
}
_BRACED_GUID = re.compile(r"\{([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\}")
_LINKS_PER_TURN = 200
_HEADERS = [(b"content-type", JSON.encode()), (b"cache-control", b"no-store")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A request of the contract, read."""

    contact_points: list[str] = field(repr=False)
    purpose: str
    topic: str | None
    channel: Channel
    profile: str
    unit: str | None
    page_wanted: bool
    one_click_wanted: bool


async def consent_provider(request: Request) -> Response:
    """May a message go to these contact points? One consent for each, in the order asked."""
    try:
        tenant, _ = await caller_with(SCOPE, request, within_unit=True)
        content_type(request, JSON)
        asked = _asked(tenant, json_object(await body_of(request, BODY_BYTES_MAX)))
        answers = await check_for_message(tenant, _question(asked))
        consents = await _consents(tenant, asked, answers)
        # ASCII: a contact point is echoed as given, even one that is no text.
        body = json.dumps({"consents": consents}).encode("ascii")
        return answer_of(body, _HEADERS, request.app.state.unsent, documents_owner(tenant))
    except NotServed as refusal:
        return not_served(refusal)
    except Refusal as refusal:
        path = tuple(_FIELD_OF.get(name, name) for name in refusal.path)
        return failed(request, Refusal(refusal.code, refusal.message, path))
    except Exception as error:  # noqa: BLE001 - every error is told in our words, and none of them is a consent
        return failed(request, error)


def _asked(tenant: Tenant, given: Mapping[str, Any]) -> _Asked:
    for name in given:
        if name not in FIELDS:
            raise refused(400, "BAD_USER_INPUT", f"there is no such field; the fields are {', '.join(FIELDS)}")
    topic = _text(given, "topic")
    unit = _text(given, "owningbusinessunit")
    return _Asked(
        contact_points=_contact_points(given),
        purpose=_ref(tenant, NodeKind.PURPOSE, _required(given, "purpose")),
        topic=None if topic is None else _ref(tenant, NodeKind.TOPIC, topic),
        channel=_channel(_required(given, "channeltype")),
        profile=_ref(tenant, NodeKind.COMPLIANCE_PROFILE, _required(given, "complianceprofile")),
        unit=None if unit is None else _ref(tenant, NodeKind.BUSINESS_UNIT, unit),
        page_wanted=_flag(given, "unsubscribeurlrequired"),
        one_click_wanted=_flag(given, "oneclickunsubscribeurlrequired"),
    )


def _question(asked: _Asked) -> Question:
    return Question(
        channel=asked.channel,
        addresses=asked.contact_points,
        profile=asked.profile,
        purpose=asked.purpose,
        topic=asked.topic,
        business_unit=asked.unit,
    )


async def _consents(tenant: Tenant, asked: _Asked, answers: list[Answer]) -> list[dict[str, Any]]:
    consents: list[dict[str, Any]] = []
    for answer in answers:
        page = one_click = None
        if asked.page_wanted or asked.one_click_wanted:
            page, one_click = _links(tenant, asked, answer)
            if len(consents) % _LINKS_PER_TURN == 0:
                await asyncio.sleep(0)
        consents.append(
            {
                "consentformessage": answer.allowed,
                "contactpoint": answer.address,
                "unsubscribeurl": page if asked.page_wanted else None,
                "oneclickunsubscribeurl": one_click if asked.one_click_wanted else None,
            }
        )
    return consents


def _links(tenant: Tenant, asked: _Asked, answer: Answer) -> tuple[str | None, str | None]:
    """The page and the one-click address; neither for a contact point that is none."""
    try:
        normalised = normalise(asked.channel, answer.address)
    except Refusal:
        return None, None
    links = unsubscribe_links(tenant, answer.subject, asked.channel, normalised)
    return links.preference_center_url, links.one_click_url


def _contact_points(given: Mapping[str, Any]) -> list[str]:
    value = given.get("contactpoints")
    if not isinstance(value, list):
        raise _wrong("contactpoints", "must be a list of texts")
    if len(value) > ADDRESSES_MAX:
        raise LimitExceeded("contactpoints", ADDRESSES_MAX, len(value))
    for number, one in enumerate(value):
        if not isinstance(one, str):
            raise _wrong("contactpoints", "must be a list of texts", str(number))
    return value


def _required(given: Mapping[str, Any], name: str) -> str:
    value = _text(given, name)
    if value is None:
        raise _wrong(name, "is missing")
    return value


def _text(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise _wrong(name, "must be text")
    return value


def _flag(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name)
    if value is not None and not isinstance(value, bool):
        raise _wrong(name, "must be true or false")
    return value is True


def _channel(value: str) -> Channel:
    channel = CHANNELS.get(value.lower())
    if channel is None:
        raise _wrong("channeltype", f"must be one of {', '.join(CHANNELS)}")
    return channel


def _ref(tenant: Tenant, kind: NodeKind, text: str) -> str:
    return ref(tenant.id, kind, _unbraced(text))


def _unbraced(text: str) -> str:
    """A GUID without the braces that some write around it; anything else as it is."""
    braced = _BRACED_GUID.fullmatch(text)
    return text if braced is None else braced[1]


def _wrong(name: str, what: str, *within: str) -> NotServed:
    return refused(400, "BAD_USER_INPUT", f"{name} {what}", path=[name, *within])
