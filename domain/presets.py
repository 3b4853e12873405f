"""Presets: what the rules of a jurisdiction ask of a profile, as settings; each with why and where that stands.

They are settings, never legal advice. A preset only raises: what is stricter already stays, so presets come together in any
order, and applying one again changes nothing. Each setting can be changed afterwards by itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from domain.addresses import Channel
from domain.catalogue import Catalogue, ComplianceProfile, DoubleOptInMode, EnforcementModel, Purpose, PurposeType
from domain.events import CatalogueDraft, EventType
from domain.opt_in_rules import OptInRules, RequiredEvidence

NO_ADVICE = (
    "Presets are settings, never legal advice: what the law asks of you is for you and your counsel to say, and every setting"
    " can be changed afterwards."
)


class PresetKey(StrEnum):
    """The jurisdictions that there is a preset for."""

    GDPR = "GDPR"
    CAN_SPAM = "CAN_SPAM"
    CASL = "CASL"
    CCPA = "CCPA"
    TCPA = "TCPA"
    HIPAA_MARKETING = "HIPAA_MARKETING"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforce:
    """Enforce consent at least so, for the profile's purposes of a type."""

    type: PurposeType
    channels: tuple[Channel, ...]
    model: EnforcementModel
    why: str
    source: str

    @property
    def what(self) -> str:
        """What is set."""
        channels = "every channel" if len(self.channels) == len(Channel) else ", ".join(self.channels)
        return f"enforcement of {self.type} purposes, {channels}"

    @property
    def value(self) -> str:
        """To what."""
        return str(self.model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """Ask for a confirmation at least so."""

    mode: DoubleOptInMode
    why: str
    source: str
    what: str = "double opt-in of the profile"

    @property
    def value(self) -> str:
        """To what."""
        return str(self.mode)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expire:
    """Let an opt-in to COMMERCIAL purposes run out, where it rests on a legal basis and says no validUntil."""

    legal_basis: str
    months: int
    why: str
    source: str

    @property
    def what(self) -> str:
        """What is set."""
        return f"expiry of opt-ins with legalBasis `{self.legal_basis}`, COMMERCIAL purposes"

    @property
    def value(self) -> str:
        """To what."""
        return f"{self.months} months after effectiveAt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Require:
    """Refuse an opt-in to COMMERCIAL purposes that does not bring this."""

    evidence: RequiredEvidence
    why: str
    source: str
    what: str = "required of an opt-in, COMMERCIAL purposes"

    @property
    def value(self) -> str:
        """To what."""
        return str(self.evidence)


Setting = Enforce | Confirm | Expire | Require


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """The settings of one jurisdiction."""

    key: PresetKey
    name: str
    about: str
    settings: tuple[Setting, ...]


_ALL = tuple(Channel)
_GDPR_7 = "GDPR art. 7, gdpr-info.eu/art-7-gdpr"
_EDPB = "EDPB Guidelines 05/2020 on consent"
_CASL = "CRTC, crtc.gc.ca/eng/com500/guide.htm"
_TCPA = "47 CFR 64.1200(a)(2), (f)(9)"
_HIPAA = "45 CFR 164.508"

PRESETS: Mapping[PresetKey, Preset] = {
    preset.key: preset
    for preset in (
        Preset(
            key=PresetKey.GDPR,
            name="GDPR (European Union)",
            about="Consent before the first message, that can be shown, and withdrawn as easily as it was given.",
            settings=(
                Enforce(
                    type=PurposeType.COMMERCIAL,
                    channels=_ALL,
                    model=EnforcementModel.RESTRICTIVE,
                    why="Consent is an act of the person: where nothing is recorded, there is none.",
                    source=_GDPR_7,
                ),
                Enforce(
                    type=PurposeType.TRACKING,
                    channels=_ALL,
                    model=EnforcementModel.RESTRICTIVE,
                    why="Tracking who opens and clicks is processing of its own, and asked for by itself (art. 7(2)).",
                    source=_GDPR_7,
                ),
                Confirm(
                    mode=DoubleOptInMode.EVERY_SUBMISSION,
                    why="A confirmation shows that whoever submitted the form reads mail at that address (art. 7(1)); a practice,"
                    " not the letter of the law.",
                    source=_GDPR_7,
                ),
                Require(
                    evidence=RequiredEvidence.NOTICE_TEXT,
                    why="A copy of what was presented belongs to what demonstrates consent (paragraph 108).",
                    source=_EDPB,
                ),
                Require(
                    evidence=RequiredEvidence.METHOD,
                    why="How the person acted belongs to it, too: session and workflow (paragraph 108).",
                    source=_EDPB,
                ),
            ),
        ),
        Preset(
            key=PresetKey.CAN_SPAM,
            name="CAN-SPAM (United States, e-mail)",
            about="Commercial e-mail may be sent until the person opts out; opt-outs are honoured within 10 business days.",
            settings=(
                Enforce(
                    type=PurposeType.COMMERCIAL,
                    channels=(Channel.EMAIL,),
                    model=EnforcementModel.NON_RESTRICTIVE,
                    why="Opting out blocks, whatever else is set; an opt-in is not asked for.",
                    source="16 CFR 316.5; 15 USC 7704(a)(4)",
                ),
            ),
        ),
        Preset(
            key=PresetKey.CASL,
            name="CASL (Canada)",
            about="Consent before a commercial electronic message: express without end, or implied for a time.",
            settings=(
                Enforce(
                    type=PurposeType.COMMERCIAL,
                    channels=_ALL,
                    model=EnforcementModel.RESTRICTIVE,
                    why="A commercial electronic message needs consent, express or implied.",
                    source=_CASL,
                ),
                Expire(
                    legal_basis="implied-transaction",
                    months=24,
                    why="Implied by a purchase or contract: until 2 years after the last one, or after the contract's end."
                    " Each one recorded begins the time anew.",
                    source=_CASL,
                ),
                Expire(
                    legal_basis="implied-inquiry",
                    months=6,
                    why="Implied by an inquiry or application: until 6 months after it.",
                    source=_CASL,
                ),
                Expire(
                    legal_basis="implied-membership",
                    months=24,
                    why="Implied by a donation, voluntary work or membership: until 2 years after it.",
                    source=_CASL,
                ),
                Require(
                    evidence=RequiredEvidence.LEGAL_BASIS,
                    why="Whether consent ends, and when, depends on what it rests on: say `express`, or which implied one.",
                    source=_CASL,
                ),
                Require(
                    evidence=RequiredEvidence.METHOD,
                    why="Who sends has to show consent: its evidence, scripts and methods are kept.",
                    source="CASL records, torys.com",
                ),
            ),
        ),
        Preset(
            key=PresetKey.CCPA,
            name="CCPA (California)",
            about="A right to opt out: of the sale and sharing of personal information, tracking across sites included.",
            settings=(
                Enforce(
                    type=PurposeType.COMMERCIAL,
                    channels=_ALL,
                    model=EnforcementModel.NON_RESTRICTIVE,
                    why="An opt-out has to be honoured on every channel, within 15 business days; it switches nothing off here"
                    " that is stricter.",
                    source="11 CCR 7026",
                ),
                Enforce(
                    type=PurposeType.TRACKING,
                    channels=_ALL,
                    model=EnforcementModel.NON_RESTRICTIVE,
                    why="An opt-out preference signal is a valid opt-out, for the browser and the known consumer.",
                    source="11 CCR 7025",
                ),
            ),
        ),
        Preset(
            key=PresetKey.TCPA,
            name="TCPA (United States, texts and calls)",
            about="Consent in writing before marketing by text or call; any reasonable word revokes it.",
            settings=(
                Enforce(
                    type=PurposeType.COMMERCIAL,
                    channels=(Channel.SMS, Channel.VOICE),
                    model=EnforcementModel.RESTRICTIVE,
                    why="Marketing by automated text or call needs prior express written consent.",
                    source=_TCPA,
                ),
                Require(
                    evidence=RequiredEvidence.NOTICE_TEXT,
                    why="The written agreement with its disclosures is what the consent is.",
                    source=_TCPA,
                ),
                Require(
                    evidence=RequiredEvidence.METHOD,
                    why="A signature, also an electronic one, belongs to it.",
                    source=_TCPA,
                ),
            ),
        ),
        Preset(
            key=PresetKey.HIPAA_MARKETING,
            name="HIPAA marketing authorisation (United States)",
            about="An authorisation, signed, with an end, before health information is used for marketing.",
            settings=(
                Enforce(
                    type=PurposeType.COMMERCIAL,
                    channels=_ALL,
                    model=EnforcementModel.RESTRICTIVE,
                    why="Without a valid authorisation there is no marketing use.",
                    source=_HIPAA,
                ),
                Require(
                    evidence=RequiredEvidence.NOTICE_TEXT,
                    why="The authorisation names the information, who discloses it, to whom, what for, and the rights.",
                    source=_HIPAA,
                ),
                Require(
                    evidence=RequiredEvidence.METHOD,
                    why="It is signed and dated by the individual, or by a representative whose authority is told.",
                    source=_HIPAA,
                ),
                Require(
                    evidence=RequiredEvidence.VALID_UNTIL,
                    why="It names a date or event at which it expires, and is invalid once that is past.",
                    source=_HIPAA,
                ),
            ),
        ),
    )
}

# From the laxest on.
STRICTNESS = (EnforcementModel.DISABLED, EnforcementModel.NON_RESTRICTIVE, EnforcementModel.RESTRICTIVE)
ASKING = (DoubleOptInMode.OFF, DoubleOptInMode.NEW_CONTACT_POINTS, DoubleOptInMode.EVERY_SUBMISSION)


def apply_preset(catalogue: Catalogue, *, profile: str, preset: PresetKey) -> list[CatalogueDraft]:
    """The events that bring a profile and its purposes up to a preset; none where it was applied and all is there.

    Its purposes are raised in every profile that shares them. Raises Refusal NOT_FOUND.
    """
    held = catalogue.profile(profile)
    settings = PRESETS[preset].settings
    changes: list[CatalogueDraft] = []
    for purpose in (catalogue.purposes[key] for key in held.purposes):
        changes += raised(purpose, settings)
    changes += _asking(held, settings)
    if not changes and preset in held.presets:
        return []
    applied = CatalogueDraft(EventType.COMPLIANCE_PRESET_APPLIED, {"profile": held.key, "preset": str(preset)})
    return [applied, *changes]


def settings_of(profiles: Iterable[ComplianceProfile]) -> list[Setting]:
    """What the presets of these profiles set, all together: a purpose that comes to be in them is held to it, too."""
    presets = dict.fromkeys(PresetKey(preset) for profile in profiles for preset in profile.presets)
    return [setting for preset in presets for setting in PRESETS[preset].settings]


def raised(purpose: Purpose, settings: Sequence[Setting]) -> list[CatalogueDraft]:
    """The events that bring a purpose up to these settings; none where it is."""
    drafts: list[CatalogueDraft] = []
    enforcement = raised_enforcement(purpose.type, purpose.enforcement, settings)
    if enforcement:
        spelled = {str(channel): str(model) for channel, model in enforcement.items()}
        drafts.append(CatalogueDraft(EventType.PURPOSE_UPDATED, {"key": purpose.key, "enforcement": spelled}))
    rules = raised_rules(purpose.type, purpose.opt_in, settings)
    if rules != purpose.opt_in:
        drafts.append(opt_in_rules_draft(purpose.key, rules))
    return drafts


def raised_enforcement(
    type: PurposeType, held: Mapping[Channel, EnforcementModel], settings: Sequence[Setting]
) -> dict[Channel, EnforcementModel]:
    """The channels of a purpose that these settings make stricter, and how strict."""
    stricter: dict[Channel, EnforcementModel] = {}
    for setting in settings:
        if isinstance(setting, Enforce) and setting.type is type:
            for channel in setting.channels:
                model = stricter.get(channel, held[channel])
                if STRICTNESS.index(setting.model) > STRICTNESS.index(model):
                    stricter[channel] = setting.model
    return stricter


def raised_rules(type: PurposeType, held: OptInRules, settings: Sequence[Setting]) -> OptInRules:
    """What a purpose asks of an opt-in, with what these settings ask."""
    if type is not PurposeType.COMMERCIAL:
        return held
    expiry = dict(held.expiry_months)
    for setting in settings:
        if isinstance(setting, Expire):
            expiry[setting.legal_basis] = min(setting.months, expiry.get(setting.legal_basis, setting.months))
    required = {setting.evidence for setting in settings if isinstance(setting, Require)}
    return OptInRules(expiry, held.required | required)


def _asking(profile: ComplianceProfile, settings: Sequence[Setting]) -> list[CatalogueDraft]:
    return [
        CatalogueDraft(EventType.COMPLIANCE_PROFILE_UPDATED, {"key": profile.key, "doubleOptIn": str(setting.mode)})
        for setting in settings
        if isinstance(setting, Confirm) and ASKING.index(setting.mode) > ASKING.index(profile.double_opt_in)
    ]


def opt_in_rules_draft(purpose: str, rules: OptInRules) -> CatalogueDraft:
    """The event that sets what a purpose asks of an opt-in, all of it."""
    data: dict[str, Any] = {
        "key": purpose,
        "expiry": [
            {"legalBasis": basis, "months": rules.expiry_months[basis]} for basis in sorted(rules.expiry_months)
        ],
        "required": [str(one) for one in RequiredEvidence if one in rules.required],
    }
    return CatalogueDraft(EventType.PURPOSE_OPT_IN_RULES_SET, data)


def as_markdown() -> str:
    """All presets as a page to read: what each sets, to what, why, and where that stands."""
    lines = [
        "# Presets for jurisdictions",
        NO_ADVICE,
        "",
        "A preset raises what is laxer and leaves what is stricter, so several come together in any order:",
        "`consentry presets apply PRESET --tenant KEY --profile P`, or `applyCompliancePreset`; the command says each setting",
        "that it changed, old and new, and with `--dry-run` each that it would change. Purposes are raised in every",
        "profile that shares them, also those that come to the profile later; TRANSACTIONAL ones are left alone. An opt-out is",
        "never refused for lack of evidence, and is always honoured. Where legal bases have expiries, one that is neither",
        "express nor among them has the shortest. This page is what `consentry presets list` prints.",
    ]
    for preset in PRESETS.values():
        lines += ["", f"## {preset.key}: {preset.name}", preset.about, "", "| sets | to at least | why | source |"]
        lines.append("|---|---|---|---|")
        lines += [f"| {one.what} | {one.value} | {one.why} | {one.source} |" for one in preset.settings]
    return "\n".join(lines) + "\n"
