"""The catalogue as a file that `catalogue_import` reads: into an empty tenant, it makes the same catalogue.

The root unit, which every tenant has, is left out.
"""

from typing import Any

from domain.catalogue import BusinessUnit, Catalogue, ComplianceProfile, Purpose, Topic


def export_catalogue(catalogue: Catalogue) -> dict[str, Any]:
    """The file, as an object for JSON; it says `overwrite`, since a new tenant has default purposes of its own."""
    return {
        "overwrite": True,
        "businessUnits": [_unit(unit) for unit in catalogue.units.values() if unit.parent is not None],
        "profiles": [_profile(profile) for profile in catalogue.profiles.values()],
        "purposes": [_purpose(catalogue, purpose) for purpose in catalogue.purposes.values()],
        "topics": [_topic(topic) for topic in catalogue.topics.values()],
    }


def _unit(unit: BusinessUnit) -> dict[str, Any]:
    return {"key": unit.key, "name": unit.name, "parent": unit.parent}


def _profile(profile: ComplianceProfile) -> dict[str, Any]:
    page = profile.preference_center
    return {
        "key": profile.key,
        "name": profile.name,
        "businessUnit": profile.unit,
        "trackingPurpose": profile.tracking_purpose,
        "companyAddress": profile.company_address,
        "externalLink": profile.external_link,
        "doubleOptIn": str(profile.double_opt_in),
        "active": profile.active,
        "preferenceCenter": {
            "title": page.title or "",
            "locale": page.locale,
            "brandColor": page.brand_color or "",
            "logoUrl": page.logo_url or "",
            "showTracking": page.show_tracking,
        },
        "controller": profile.controller.to_data() or None,
        "presets": list(profile.presets),
    }


def _purpose(catalogue: Catalogue, purpose: Purpose) -> dict[str, Any]:
    return {
        "key": purpose.key,
        "guid": purpose.guid,
        "name": purpose.name,
        "description": purpose.description,
        "type": str(purpose.type),
        "legalBasis": purpose.legal_basis,
        "enforcement": {str(channel): str(model) for channel, model in purpose.enforcement.items()},
        "profiles": [profile.key for profile in catalogue.profiles_of(purpose.key)],
        "active": purpose.active,
        "businessUnit": purpose.unit,
        "optInExpiry": [
            {"legalBasis": basis, "months": months} for basis, months in sorted(purpose.opt_in.expiry_months.items())
        ],
        "requiredEvidence": sorted(str(one) for one in purpose.opt_in.required),
    }


def _topic(topic: Topic) -> dict[str, Any]:
    return {
        "key": topic.key,
        "guid": topic.guid,
        "purpose": topic.purpose,
        "name": topic.name,
        "description": topic.description,
        "active": topic.active,
    }
