"""Everything that is known of one contact point, in words for the person that it belongs to."""

import json
from collections.abc import Mapping, Sequence

from domain.catalogue import Catalogue
from domain.consent import ActorKind
from domain.json_lines import one_line
from domain.time import format_instant
from eventstore import read
from ledger.acknowledgements import AcknowledgedBy
from ledger.assembly import Tenant
from ledger.contactability import ContactabilityRow, contactability_of
from ledger.records import plain_words
from ledger.records.disclosures import Disclosures, disclosures
from ledger.records.facts import Fact, Facts
from projections import current_consent

_WAYS: Mapping[AcknowledgedBy, str] = {
    AcknowledgedBy.WEBHOOK: "it was sent to it",
    AcknowledgedBy.CURSOR: "it said so",
}
_LABELS = {
    "reason": "reason",
    "reasonDescription": "description",
    "messageId": "message",
    "actorId": "by whom",
    "noticeText": "the notice that was shown",
    "noticeVersion": "its version",
    "locale": "language",
    "url": "where",
    "method": "how",
    "ipAddress": "IP address",
    "userAgent": "browser",
    "attributes": "further evidence",
    "dynamicsId": "id in Dynamics",
}


async def subject_access(tenant: Tenant, facts: Facts) -> str:
    """The whole of it. Raises StoreUnavailable."""
    lines = [
        f"What {facts.catalogue.tenant_name} knows of {facts.address}",
        "",
        f"{plain_words.CHANNELS[facts.channel]}, known since {facts.created_at} under the id {facts.contact_point}.",
        "What stands in brackets, or behind `as data`, is for programs and says the same. Times are in UTC.",
        "",
        "What holds now",
    ]
    for profile in facts.catalogue.profiles.values():
        if profile.active:
            [rows] = await contactability_of(tenant, [(facts.contact_point, facts.channel)], profile=profile.key)
            # What it shows may have been made since the facts were read.
            lines += [f"  {profile.name}:", *(_row(tenant.catalogue, row) for row in rows)]
    lines += ["", "What keeps this address from being written to", *await _suppressed(tenant, facts)]
    told = await disclosures(tenant, [fact.stored.position for fact in facts.events])
    lines += ["", f"Everything that happened ({len(facts.events)}), oldest first"]
    for fact in facts.events:
        lines += [*_event(facts.catalogue, fact), *_told(told, fact.stored.position)]
    lines += ["", "Who recorded it"]
    lines += [f"  {name}" for name in _applications(facts.events)]
    lines += ["", "Who knows of it", *_who_knows(told)]
    lines += ["  Who only asked whether it may write is not recorded."]
    lines += [
        "",
        "To change any of it: by the link in each message.",
        "",
        "Proof",
        "  Each position above is one of a log whose state is signed below; `consentry evidence` gives the proofs.",
        *(f"  {line}" for line in facts.checkpoint.note.splitlines()),
    ]
    return "\n".join(lines) + "\n"


async def nothing_known(tenant: Tenant, address: str) -> str:
    """The answer where nothing is recorded. Says nothing of what may have been erased: that has no address any more."""
    async with tenant.ledger.connection() as connection:
        head = await read.head(connection, tenant.id)
    return (
        f"{tenant.catalogue.tenant_name} has recorded nothing for {address}, up to position {head.size - 1} of its log.\n"
        "If it was erased, a mark that names nobody may keep it from being written to again.\n"
    )


def _row(catalogue: Catalogue, row: ContactabilityRow) -> str:
    topic = None if row.topic is None else row.topic.key
    name = plain_words.level(catalogue, row.purpose.key, topic)
    reasons = " ".join(plain_words.reason(catalogue, reason, topic) for reason in row.decision.reasons)
    codes = ", ".join((row.value, row.contactability, *(reason.code for reason in row.decision.reasons)))
    return f"    {name}: {plain_words.OUTCOMES[row.contactability]}. {reasons} [{codes}]"


async def _suppressed(tenant: Tenant, facts: Facts) -> list[str]:
    """What blocks the address whatever it opted in to: a bounce, and what is left of contact points that were erased."""
    async with tenant.ledger.connection() as connection:
        _, found = await current_consent.by_contact_point(connection, tenant.id, [facts.contact_point], [])
        catalogue = await tenant.latest_catalogue(connection)
    lines: list[str] = []
    held = found.get(0)
    if held is not None and held.bounced:
        lines.append(
            "  a message to it could not be delivered for good: nothing is sent until you say yes, or our staff ends it"
        )
    for one in () if held is None else held.suppressions:
        covers = ["everything"] if one.everything else []
        covers += ["everything commercial"] if one.commercial else []
        covers += ["seeing whether you open and click"] if one.tracking else []
        covers += [plain_words.level(catalogue, *names) for names in sorted(one.levels, key=str)]
        lines.append(
            f"  an erasure on {format_instant(one.since)} left a mark, which names nobody, against:"
            f" {'; '.join(covers)}; each until you say yes yourself"
        )
    return lines or ["  nothing but what is said above"]


def _told(told: Disclosures, position: int) -> list[str]:
    """Who knows of an event, and where it was sent with what."""
    lines = [
        f"    known by: {one.application}, since {format_instant(one.at)} ({_WAYS[one.by]})"
        for one in told.known[position]
    ]
    for sent in told.sent[position]:
        where = "at an address that was changed since" if sent.origin is None else f"at {sent.origin}"
        what = "with address and evidence" if sent.personal else "without address and evidence"
        lines.append(f"    sent to: {sent.application} {where}, {format_instant(sent.at)}, {what}")
    return lines


def _who_knows(told: Disclosures) -> list[str]:
    names = {one.application for known in told.known.values() for one in known}
    names |= {one.application for sent in told.sent.values() for one in sent}
    return [f"  {name}" for name in sorted(names)] or ["  no application said so, and nothing was sent to any"]


def _event(catalogue: Catalogue, fact: Fact) -> Sequence[str]:
    entry = fact.stored.entry
    what = plain_words.happened(catalogue, entry.type, fact.data)
    done = plain_words.ACTORS[ActorKind(entry.actor)]
    lines = [
        f"  {entry.position}: {what}; recorded {format_instant(entry.recorded_at)} by {_recorder(fact)}, done {done}"
    ]
    if entry.effective_at is not None:
        lines.append(f"    counts from: {format_instant(entry.effective_at)}")
    # A reason of the table's own list names nobody, so it is no personal data; it is what the person said all the same.
    said = {"reason": fact.data["reason"]} if fact.data.get("reason") else {}
    for name, value in sorted({**said, **fact.personal}.items()):
        lines.append(f"    {_LABELS.get(name, name)}: {_text(value)}")
    data = {"type": str(entry.type), "actor": str(entry.actor), **dict(sorted(fact.data.items()))}
    lines.append(f"    as data: {_text(data)}")
    return lines


def _recorder(fact: Fact) -> str:
    return fact.stored.entry.application or "the command line"


def _applications(events: Sequence[Fact]) -> list[str]:
    return sorted({_recorder(fact) for fact in events})


def _text(value: object) -> str:
    """A value on one line: what somebody typed cannot pretend to be a line of ours."""
    return one_line(json.dumps(value, ensure_ascii=False))
