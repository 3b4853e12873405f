"""The links that go with a message: the person's page and one-click address, and the headers that mail asks for.

A link names the address, profile, purpose, topic and message as they were when the message was sent, and works for as long as
the tenant is there: after renaming, deactivation, erasure, and more than once ("Preference center and unsubscribe").
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote

from domain.addresses import Channel
from domain.catalogue import Catalogue, MessageSubject, PurposeType
from domain.text import clean_text
from eventstore.personal.keyring import LINK_KEY_BYTES
from eventstore.personal.link_tokens import TokenInvalid, open_token, seal_token, tenant_of
from ledger.assembly import Ledger, Tenant
from tlog import canonical_json

MESSAGE_ID_CHARS_MAX = 100
_EPOCH = date(1970, 1, 1)
_MESSAGE = "message"
# What a token is tried with where there is no tenant with its number, or none that is held yet.
_NOBODYS = secrets.token_bytes(LINK_KEY_BYTES)


class LinkInvalid(Exception):
    """The link is none that was made here, or is older than links are to work. Nothing says which part is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLink:
    """What a link of a message names. Purposes, topics and profiles by their keys, which never change."""

    channel: Channel
    address: str = field(repr=False)
    profile: str
    purpose: str
    topic: str | None
    message_id: str | None = field(repr=False)
    made_on: date


@dataclass(frozen=True, slots=True)
class UnsubscribeLinks:
    """What to put into a message: the page's address, the one-click address and the headers where they apply."""

    preference_center_url: str
    one_click_url: str | None
    headers: tuple[tuple[str, str], ...]


def unsubscribe_links(
    tenant: Tenant,
    subject: MessageSubject,
    channel: Channel,
    normalised_address: str,
    message_id: str | None = None,
    attributes: Mapping[str, str] | None = None,
) -> UnsubscribeLinks:
    """The links for a message to this address. `attributes` fill further placeholders of an external link.

    Headers (RFC 2369, RFC 8058) go with e-mail for COMMERCIAL purposes; TRANSACTIONAL ones have no one-click address.
    Raises Refusal INVALID for a message id that is too long.
    """
    message_id = clean_text(message_id, field="messageId", chars_max=MESSAGE_ID_CHARS_MAX)
    link = MessageLink(
        channel=channel,
        address=normalised_address,
        profile=subject.profile.key,
        purpose=subject.purpose.key,
        topic=None if subject.topic is None else subject.topic.key,
        message_id=message_id,
        made_on=tenant.ledger.clock().date(),
    )
    token = message_token(tenant, link)
    base = tenant.ledger.public_url
    external = subject.profile.external_link
    page = f"{base}/p/{token}" if external is None else _filled(external, subject, message_id, attributes or {})
    if subject.purpose.type is not PurposeType.COMMERCIAL:
        return UnsubscribeLinks(page, None, ())
    one_click = f"{base}/u/{token}"
    if channel is not Channel.EMAIL:
        return UnsubscribeLinks(page, one_click, ())
    headers = (("List-Unsubscribe", f"<{one_click}>"), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))
    return UnsubscribeLinks(page, one_click, headers)


def message_token(tenant: Tenant, link: MessageLink) -> str:
    """The token of a link; the same link has the same token."""
    content: dict[str, Any] = {
        "a": link.address,
        "c": str(link.channel),
        "d": (link.made_on - _EPOCH).days,
        "k": _MESSAGE,
        "p": link.profile,
        "u": link.purpose,
    }
    if link.topic is not None:
        content["t"] = link.topic
    if link.message_id is not None:
        content["m"] = link.message_id
    return seal_token(tenant.keys.links, tenant.id, canonical_json.encode(content))


async def open_message_link(ledger: Ledger, token: str) -> tuple[Tenant, MessageLink]:
    """The tenant and the link of a token. Raises LinkInvalid, StoreUnavailable."""
    tenant, content = await open_link(ledger, token, _MESSAGE)
    made_on = _EPOCH + timedelta(days=content["d"])
    valid_days = ledger.link_valid_days
    if valid_days is not None and ledger.clock().date() > made_on + timedelta(days=valid_days):
        raise LinkInvalid
    return tenant, MessageLink(
        channel=Channel(content["c"]),
        address=content["a"],
        profile=content["p"],
        purpose=content["u"],
        topic=content.get("t"),
        message_id=content.get("m"),
        made_on=made_on,
    )


async def open_link(ledger: Ledger, token: str, kind: str) -> tuple[Tenant, dict[str, Any]]:
    """The tenant of a token, and what it says; of this kind alone. Raises LinkInvalid, StoreUnavailable.

    What is none costs the same whether there is a tenant with its number or not, so it does not tell who is here.
    """
    try:
        number = tenant_of(token)
    except TokenInvalid as error:
        raise LinkInvalid from error
    tenant = ledger.held_tenant(number)
    content = _opened(_NOBODYS if tenant is None else tenant.keys.links, number, token)
    if content is None and number in await ledger.tenant_numbers() and tenant is None:
        tenant = await ledger.tenant_by_id(number)
        content = _opened(tenant.keys.links, number, token)
    if tenant is None or content is None or content.get("k") != kind:
        raise LinkInvalid
    return tenant, content


def external_page(catalogue: Catalogue, link: MessageLink) -> str | None:
    """The external page of a link's profile, if that has one by now; what a sender passed with a message is not known here."""
    profile = catalogue.profiles[link.profile]
    if profile.external_link is None:
        return None
    topic = None if link.topic is None else catalogue.topics[link.topic]
    subject = MessageSubject(profile, catalogue.purposes[link.purpose], topic)
    return _filled(profile.external_link, subject, link.message_id, {})


def _opened(key: bytes, tenant: int, token: str) -> dict[str, Any] | None:
    try:
        return canonical_json.loads(open_token(key, tenant, token))
    except TokenInvalid:
        return None


def _filled(link: str, subject: MessageSubject, message_id: str | None, attributes: Mapping[str, str]) -> str:
    """An external link with its placeholders replaced; what a sender did not pass is left empty."""
    topic = subject.topic
    values = {
        **attributes,
        "messageid": message_id or "",
        "purposeid": subject.purpose.guid or subject.purpose.key,
        "topicid": "" if topic is None else topic.guid or topic.key,
    }
    filled, rest = "", link
    while "{{" in rest:
        before, _, after = rest.partition("{{")
        name, closed, rest = after.partition("}}")
        if not closed:
            return filled + before + "{{" + name
        filled += before + quote(values.get(name.strip(), values.get(name.strip().lower(), "")), safe="")
    return filled + rest
