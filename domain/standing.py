"""Everything known of one address that a decision rests on, and the decision from it: pure, so an auditor decides alike."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from domain.addresses import Channel
from domain.catalogue import Catalogue, MessageSubject, Purpose, Topic
from domain.consent import ConsentRecord, current, record_that_counts
from domain.decision import Decision, ReasonCode, decide, decide_tracking, refuse_address
from domain.double_opt_in import Request, is_awaited
from domain.suppression import Level, Suppression, is_suppressed

Records = Mapping[Level, Mapping[str, ConsentRecord]]
"""The current records of one contact point: by level, then by unit."""


class Standing(NamedTuple):
    """What is known of one address: its contact point's records, whether that is erased, and what suppresses the address.

    `opt_ins` has, by level, the latest effectiveAt of an OPTED_IN that came from the person: what ends a suppression.
    `requests` has, by level, the latest request whose confirmation may be awaited. `bounced`: a message bounced for good.
    A named tuple: a batch makes thousands of them.
    """

    records: Records
    erased: bool = False
    suppressions: tuple[Suppression, ...] = ()
    opt_ins: Mapping[Level, datetime] = MappingProxyType({})
    requests: Mapping[Level, Request] = MappingProxyType({})
    bounced: bool = False

    def is_blocked(self) -> bool:
        """Whether more than records may decide: an erasure, a bounce or a suppression."""
        return self.erased or self.bounced or bool(self.suppressions)


NOTHING_KNOWN = Standing(MappingProxyType({}))


def by_level(
    records: Iterable[ConsentRecord], *, as_of: datetime, known_at: datetime
) -> dict[Level, dict[str, ConsentRecord]]:
    """The records that count, of those effective by `as_of` and recorded by `known_at`."""
    held: dict[Level, dict[str, ConsentRecord]] = {}
    for (purpose, topic, unit), record in current(records, as_of=as_of, known_at=known_at).items():
        held.setdefault((purpose, topic), {})[unit] = record
    return held


def counting_record(
    catalogue: Catalogue, unit: str, purpose: Purpose, topic: Topic | None, records: Records
) -> ConsentRecord | None:
    """The record that counts at one level for a profile of `unit`, or where a check names that instead."""
    by_unit = records.get((purpose.key, None if topic is None else topic.key))
    if by_unit is None:
        return None
    return record_that_counts(
        by_unit,
        purpose_unit=purpose.unit,
        profile_unit=unit,
        unit_scoping=catalogue.unit_scoping,
    )


def decision_of(
    catalogue: Catalogue, subject: MessageSubject, channel: Channel, standing: Standing, as_of: datetime
) -> Decision:
    """Whether a message may go. ERASED and SUPPRESSED alone decide, whatever the enforcement."""
    purpose, topic = subject.purpose, subject.topic
    if standing.erased:
        return refuse_address(purpose, channel, ReasonCode.ERASED)
    if standing.bounced:
        return refuse_address(purpose, channel, ReasonCode.SUPPRESSED)
    if standing.suppressions:
        for level in (None,) if topic is None else (None, topic.key):
            if is_suppressed(standing.suppressions, standing.opt_ins, purpose, level):
                return refuse_address(purpose, channel, ReasonCode.SUPPRESSED, topic=level)
    records = standing.records
    purpose_record = counting_record(catalogue, subject.unit, purpose, None, records)
    topic_record = None if topic is None else counting_record(catalogue, subject.unit, purpose, topic, records)
    if not standing.requests:
        return decide(subject, channel, purpose_record=purpose_record, topic_record=topic_record, as_of=as_of)
    topic_request = None if topic is None else standing.requests.get((purpose.key, topic.key))
    return decide(
        subject,
        channel,
        purpose_record=purpose_record,
        topic_record=topic_record,
        as_of=as_of,
        purpose_awaited=is_awaited(standing.requests.get((purpose.key, None)), purpose_record, as_of),
        topic_awaited=is_awaited(topic_request, topic_record, as_of),
    )


def tracking_of(
    catalogue: Catalogue, subject: MessageSubject, channel: Channel, standing: Standing, as_of: datetime
) -> Decision:
    """Whether interactions may be tracked, by the profile's tracking purpose."""
    purpose = catalogue.purposes[subject.profile.tracking_purpose]
    if standing.erased:
        return refuse_address(purpose, channel, ReasonCode.ERASED)
    if standing.bounced or is_suppressed(standing.suppressions, standing.opt_ins, purpose, None):
        return refuse_address(purpose, channel, ReasonCode.SUPPRESSED)
    record = counting_record(catalogue, subject.unit, purpose, None, standing.records)
    return decide_tracking(catalogue, subject.profile, channel, record, as_of)
