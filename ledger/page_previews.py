"""A look at a profile's hosted page before its brand is saved: a link that works for an hour, and is nobody's.

The changes travel in the link, sealed, and are applied to the profile as it is when the link is opened: nothing is recorded,
now or then. The link names no address and says that it is a preview, so nothing takes it for a recipient's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.addresses import Channel
from domain.catalogue import Catalogue, ComplianceProfile
from domain.catalogue_commands import UNCHANGED, Unchanged, update_profile
from domain.catalogue_fold import apply
from domain.events import CatalogueEvent, EventType
from domain.preference_center import PreferenceCenterPatch
from domain.refusals import Refusal, RefusalCode
from eventstore.personal.link_tokens import TOKEN_CHARS_MAX, seal_token
from ledger.assembly import Ledger, Tenant
from ledger.links import LinkInvalid, open_link
from ledger.preferences import Choice, choices_of_a_new_address
from tlog import canonical_json

PREVIEW_VALID = timedelta(hours=1)
_PREVIEW = "preview"


@dataclass(frozen=True, slots=True)
class Preview:
    """A profile as it would be, and its page as an e-mail address that nothing is known of would see it."""

    catalogue: Catalogue
    profile: ComplianceProfile
    choices: tuple[Choice, ...]

    @property
    def channel(self) -> Channel:
        """The channel whose enforcement the boxes show."""
        return Channel.EMAIL


async def preview_url(
    tenant: Tenant,
    *,
    profile: str,
    preference_center: PreferenceCenterPatch | None = None,
    company_address: str | None | Unchanged = UNCHANGED,
) -> str:
    """Where the page of a profile can be looked at, with these changes.

    Raises Refusal NOT_FOUND, INVALID (also where the changes do not fit into a link: a logo may not), StoreUnavailable.
    """
    catalogue = await tenant.latest_catalogue()
    held = catalogue.profile(profile)
    drafts = update_profile(
        catalogue, ref=held.key, preference_center=preference_center, company_address=company_address
    )
    changes: dict[str, Any] = {name: value for draft in drafts for name, value in draft.data.items() if name != "key"}
    content: dict[str, Any] = {
        "e": int((tenant.ledger.clock() + PREVIEW_VALID).timestamp()),
        "k": _PREVIEW,
        "p": held.key,
        "w": changes,
    }
    token = seal_token(tenant.keys.links, tenant.id, canonical_json.encode(content))
    if len(token) > TOKEN_CHARS_MAX:
        raise Refusal(
            RefusalCode.INVALID,
            f"the changes make a link of {len(token)} characters, {TOKEN_CHARS_MAX} are the most: "
            "look at them without the logo, or with a logo of fewer than 2,000 bytes",
            ("preferenceCenter", "logoUrl"),
        )
    return f"{tenant.ledger.public_url}/preview/{token}"


async def open_preview(ledger: Ledger, token: str) -> tuple[Tenant, Preview]:
    """What a preview's link shows. Raises LinkInvalid, also for one that is over, and StoreUnavailable."""
    tenant, content = await open_link(ledger, token, _PREVIEW)
    now = ledger.clock()
    if now >= datetime.fromtimestamp(content["e"], UTC):
        raise LinkInvalid
    catalogue = _with(await tenant.latest_catalogue(), content["p"], content["w"], now)
    profile = catalogue.profiles[content["p"]]
    return tenant, Preview(catalogue, profile, choices_of_a_new_address(catalogue, profile, Channel.EMAIL, now))


def _with(catalogue: Catalogue, profile: str, changes: Mapping[str, Any], now: datetime) -> Catalogue:
    """The catalogue as it would be after the changes; what is made of it is shown, and never held."""
    if not changes:
        return catalogue
    changed = CatalogueEvent(
        type=EventType.COMPLIANCE_PROFILE_UPDATED,
        data={"key": profile, **changes},
        recorded_at=now,
        position=catalogue.position + 1,
    )
    return apply(catalogue, changed)
