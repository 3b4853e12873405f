"""Answers: what is decided for each address of a question, all of it from one state of the log.

A batch has thousands of addresses, and mostly one asks of each no more than whether it is allowed: that is decided once for
all of which alike is known. The decision of each, with its reasons, is made when it is asked for, by the same rules.
"""

import asyncio
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from domain.addresses import Channel
from domain.catalogue import Catalogue, MessageSubject
from domain.decision import Decision, ReasonCode, refuse_address
from domain.standing import Standing, decision_of, tracking_of
from ledger.look_up import stood
from projections.current_consent import Rows, is_all_that_decides, what_decides

_EXPLAINED_PER_TURN = 500


@dataclass(frozen=True, slots=True)
class Taken:
    """What the answers to a question are taken from: one state of the log, and its catalogue."""

    subject: MessageSubject
    channel: Channel
    catalogue: Catalogue
    catalogue_position: int
    position: int
    as_of: datetime
    decided_at: datetime


class Stood(NamedTuple):
    """A contact point, where there is one, and where it stood."""

    contact_point: UUID | None
    standing: Standing


Known = Rows | Stood
"""What is known of an address: as the store holds it, or where it stood at another time."""


class _Decided(NamedTuple):
    contact_point: UUID | None
    decision: Decision
    tracking: Decision


class Answer:
    """The answer for one address, and what it was taken from."""

    __slots__ = ("_decided", "_known", "_taken", "address", "allowed", "tracking_allowed")

    def __init__(
        self,
        taken: Taken,
        address: str,
        known: Known | None,
        decided: _Decided | None,
        allowed: bool,  # noqa: FBT001 - a batch makes thousands of these, and names cost
        tracking_allowed: bool,  # noqa: FBT001
    ) -> None:
        self._taken = taken
        self._known = known
        self._decided = decided
        self.address = address
        self.allowed = allowed
        self.tracking_allowed = tracking_allowed

    @property
    def decision(self) -> Decision:
        """Whether a message may go, and why."""
        return self._made().decision

    @property
    def tracking(self) -> Decision:
        """Whether interactions may be tracked, and why."""
        return self._made().tracking

    @property
    def contact_point(self) -> UUID | None:
        """The contact point of the address, if there is one."""
        return self._made().contact_point

    @property
    def subject(self) -> MessageSubject:
        """What the message names."""
        return self._taken.subject

    @property
    def position(self) -> int:
        """The log position at which it was taken."""
        return self._taken.position

    @property
    def catalogue_position(self) -> int:
        """The position of the catalogue that it was taken with."""
        return self._taken.catalogue_position

    @property
    def decided_at(self) -> datetime:
        """When it was decided."""
        return self._taken.decided_at

    @property
    def as_of(self) -> datetime:
        """The effective time that it is about."""
        return self._taken.as_of

    def __repr__(self) -> str:
        """Without the address: no repr shows one."""
        return f"Answer(decision={self.decision!r}, tracking={self.tracking!r}, position={self.position})"

    def _made(self) -> _Decided:
        if self._decided is None:
            self._decided = _decided(self._taken, self._known)
        return self._decided


async def explain(answers: Sequence[Answer]) -> None:
    """Make the decisions of all these answers, for who will ask for each of them at once; other callers go on in between."""
    for number, answer in enumerate(answers, start=1):
        _ = answer.decision
        if not number % _EXPLAINED_PER_TURN:
            await asyncio.sleep(0)


class Deciding:
    """Answers for the addresses of one question. Of those of which alike is known the first decides for all."""

    def __init__(self, taken: Taken) -> None:
        self._taken = taken
        # With all of the decision where nothing is known: then it is the same to the last reason.
        self._alike: dict[Hashable, tuple[bool, bool, _Decided | None]] = {}

    def answer(self, address: str, known: Known | None) -> Answer:
        """The answer for one address; None is what is known of what is no address."""
        if isinstance(known, Stood):
            return self._answer(address, known, _decided(self._taken, known))
        key = _NO_ADDRESS if known is None else what_decides(known)
        alike = self._alike.get(key)
        if alike is not None:
            allowed, tracking_allowed, decided = alike
            return Answer(self._taken, address, known, decided, allowed, tracking_allowed)
        decided = _decided(self._taken, known)
        answer = self._answer(address, known, decided)
        if known is None or is_all_that_decides(known):
            self._alike[key] = answer.allowed, answer.tracking_allowed, None if known else decided
        return answer

    def _answer(self, address: str, known: Known | None, decided: _Decided) -> Answer:
        return Answer(self._taken, address, known, decided, decided.decision.allowed, decided.tracking.allowed)


_NO_ADDRESS = "no address"


def _decided(taken: Taken, known: Known | None) -> _Decided:
    subject, channel = taken.subject, taken.channel
    if known is None:
        invalid = refuse_address(subject.purpose, channel, ReasonCode.INVALID_ADDRESS)
        return _Decided(None, invalid, invalid)
    contact_point, standing = known if isinstance(known, Stood) else stood(known)
    decision = decision_of(taken.catalogue, subject, channel, standing, taken.as_of)
    tracking = tracking_of(taken.catalogue, subject, channel, standing, taken.as_of)
    return _Decided(contact_point, decision, tracking)
