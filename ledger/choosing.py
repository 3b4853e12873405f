"""What a person chooses behind a link becomes events: a form of the hosted page that came back, and one click.

All that a form says is decided as one command, under the head of the log:

- By its number and the button a form is acted on once, whatever is different when it comes again, and for ever.
- A yes, and an undo, hold only for what the form was shown: where anything was recorded at that level since, or the address
  was erased since, it is left as it is. Positions are compared, not values: the same value may be somebody's newer choice.
- A no is recorded whatever is there, with when it was said, so that what is recorded late counts only where it was chosen
  later. Of a form that comes again a no is recorded once more only where it does not stand any more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from domain.catalogue import by_keys
from domain.consent import ConsentRecord, ConsentSource, ConsentValue
from domain.refusals import Refusal
from domain.suppression import Level
from eventstore.command import Command, Draft
from ledger.assembly import Caller, Tenant
from ledger.existing_consent import StandingAtLevels
from ledger.given_evidence import Evidence
from ledger.idempotency import append, stored_key
from ledger.links import MessageLink
from ledger.preferences import RECIPIENT, RECIPIENT_LINK, SeenThen
from ledger.record import Capture, capture_command, record_consent, subject_of_address

ONE_CLICK_REASON = "Opt-out - One-click unsubscribe"
# Nobody's key is behind a link: the person's own, signed link is.
_NO_APPLICATION = Caller(None, frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The page as it was shown to who pressed `button` on it: its own `form` number, what it was made from, the evidence."""

    form: str
    button: str
    seen: SeenThen
    text: str
    locale: str
    method: str
    gpc: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Click:
    """How somebody clicked: on a page, `text` being what that showed, or through a mail program, which shows its own."""

    method: str
    text: str | None = None
    locale: str | None = None
    gpc: bool = False

    def evidence(self) -> Evidence:
        """What is kept of it."""
        attributes = {"gpc": True} if self.gpc else None
        return Evidence(notice_text=self.text, locale=self.locale, method=self.method, attributes=attributes)


class NotSaved(Enum):
    """Why a choice was not saved."""

    GONE = "it is offered no more"
    LEFT = "it was changed since the form was shown"


@dataclass(frozen=True, slots=True)
class Saved:
    """What became of a submit, by level: what holds now as it was wanted, and what could not be set.

    `before` has the values before what was recorded now, and `seen` what may be taken back: nothing that came after it.
    """

    values: Mapping[Level, ConsentValue]
    not_saved: Mapping[Level, NotSaved]
    before: Mapping[Level, ConsentValue]
    seen: SeenThen | None


@dataclass(slots=True, kw_only=True)
class _FormNow(StandingAtLevels):
    """Where the address of a form stands when it is decided, and what was decided then."""

    values: dict[Level, ConsentValue] = field(default_factory=dict[Level, ConsentValue])
    not_saved: dict[Level, NotSaved] = field(default_factory=dict[Level, NotSaved])
    before: dict[Level, ConsentValue] = field(default_factory=dict[Level, ConsentValue])

    def begin(self) -> None:
        """Forget what an earlier try decided."""
        self.values.clear()
        self.not_saved.clear()
        self.before.clear()

    def changed_since(self, seen: SeenThen, level: Level) -> bool:
        """Whether anything came at a level, or to the address as a whole, that the page did not know of."""
        if seen.contact_point is not None and seen.contact_point != self.contact_point:
            return True
        if len(self.standing.suppressions) > seen.erasures:
            return True
        return any(record.position >= seen.size for record in self.records(level).values())


async def save(
    tenant: Tenant,
    link: MessageLink,
    wanted: Mapping[Level, ConsentValue],
    shown: Shown,
    *,
    only_opt_outs: bool = False,
) -> Saved:
    """Record what a person changed on the page, once for each form and button.

    A choice that is offered no more can be left, and no more taken up. `only_opt_outs` where the rest of the form is asked
    to come again: then that is acted on as if it came first. Raises StoreUnavailable: then nothing was promised.
    """
    if not wanted:
        return Saved({}, {}, {}, None)
    levels = sorted(wanted, key=lambda level: (level[0], level[1] or ""))
    captures = {level: _of_level(tenant, link, level, wanted[level], shown) for level in levels}
    name = f"page:{shown.form}:{shown.button}"
    halves = ("out",) if only_opt_outs else ("out", "all")
    keys = [stored_key(tenant, None, f"{name}:{half}", "preferencePage", {}) for half in halves]
    subject = subject_of_address(tenant, link.channel, link.address)
    now = _FormNow(
        parts=tuple(key for key in keys if key is not None), blind_index=subject.blind_index, named=tuple(levels)
    )

    def decide(recorded_at: datetime) -> list[Draft]:
        now.begin()
        catalogue = tenant.catalogue
        unit = catalogue.profiles[link.profile].unit
        first, acted_on = now.known[0], any(now.known[1:])
        drafts: list[Draft] = []
        for level in levels:
            purpose, topic = catalogue.purposes[level[0]], None if level[1] is None else catalogue.topics[level[1]]
            held = now.counting(catalogue, unit, purpose, topic)
            value = _value(held, recorded_at)
            if wanted[level] is ConsentValue.OPTED_OUT:
                # Sent again, it stands where it was recorded then or since; or where the address was erased in between,
                # which blocks it: who was erased is not written down again for a page that is loaded again.
                stands = first is not None and (
                    (value is ConsentValue.OPTED_OUT and held is not None and held.position >= first.position)
                    or (now.only_suppressed and now.suppressed(purpose, level[1]))
                )
            elif acted_on or now.changed_since(shown.seen, level):
                if value is not wanted[level]:
                    now.not_saved[level] = NotSaved.LEFT
                    continue
                stands = True
            else:
                stands = wanted[level] is ConsentValue.NOT_SET and value is ConsentValue.NOT_SET
            if not stands:
                try:
                    decided = captures[level].decide(recorded_at)
                except Refusal:
                    now.not_saved[level] = NotSaved.GONE
                    continue
                drafts += _spared(now, decided)
                now.before[level] = value
            now.values[level] = wanted[level]
        return drafts

    appended = await append(tenant, Command(decide=decide, application=None, subject=subject, circumstances=now))
    seen = None
    if appended.entries:
        last = appended.entries[-1].entry
        seen = SeenThen(size=last.position + 1, contact_point=last.stream, erasures=len(now.standing.suppressions))
    return Saved(dict(now.values), dict(now.not_saved), dict(now.before), seen)


async def one_click_opt_out(tenant: Tenant, link: MessageLink, click: Click | None = None) -> None:
    """Out of the topic if the message had one, else of the purpose (RFC 8058), whatever is there already.

    Raises StoreUnavailable.
    """
    purpose, topic = by_keys((link.purpose, link.topic))
    await record_consent(
        tenant,
        _NO_APPLICATION,
        Capture(
            channel=link.channel,
            address=link.address,
            purpose=purpose,
            topic=topic,
            value=ConsentValue.OPTED_OUT,
            source=ConsentSource.ONE_CLICK_UNSUBSCRIBE,
            reason=ONE_CLICK_REASON,
            actor=RECIPIENT,
            evidence=None if click is None else click.evidence(),
            message_id=link.message_id,
            trust=RECIPIENT_LINK,
            spare_erased=True,
        ),
    )


def _of_level(tenant: Tenant, link: MessageLink, level: Level, value: ConsentValue, shown: Shown) -> Command:
    """The capture of one choice on the page, as a command of its own."""
    purpose, topic = by_keys(level)
    return capture_command(
        tenant,
        _NO_APPLICATION,
        Capture(
            channel=link.channel,
            address=link.address,
            purpose=purpose,
            topic=topic,
            value=value,
            source=ConsentSource.PREFERENCE_CENTER,
            actor=RECIPIENT,
            evidence=Evidence(
                notice_text=shown.text,
                locale=shown.locale,
                method=shown.method,
                attributes={"gpc": True} if shown.gpc else None,
            ),
            message_id=link.message_id,
            trust=RECIPIENT_LINK,
        ),
    )


def _value(held: ConsentRecord | None, recorded_at: datetime) -> ConsentValue:
    return ConsentValue.NOT_SET if held is None or held.expired_at(recorded_at) else held.value


def _spared(now: _FormNow, drafts: Sequence[Draft]) -> Sequence[Draft]:
    """The events of a choice; of who was erased no more is written down again than an opt-out needs."""
    if not now.only_suppressed:
        return drafts
    return [
        draft._replace(evidence=None) if draft.columns.value == ConsentValue.OPTED_OUT else draft for draft in drafts
    ]
