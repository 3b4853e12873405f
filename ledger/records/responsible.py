"""Who is responsible for a capture: the profiles that have its purpose, and what these say alike.

A capture names a purpose and no profile. Where several profiles share the purpose, nobody recorded under which of them the person
chose, so what they say differently is nothing that was said.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

from domain.catalogue import Catalogue, ComplianceProfile
from domain.controller import NOBODY, Controller

Said = TypeVar("Said")


@dataclass(frozen=True, slots=True)
class Responsible:
    """The profiles that have a purpose `now`, and those that had it `then`, when a capture was recorded."""

    purpose: str
    tenant_name: str
    now: tuple[ComplianceProfile, ...]
    then: tuple[ComplianceProfile, ...]

    @property
    def service(self) -> str | None:
        """The profile's name."""
        return _alike(self.now, lambda profile: profile.name)

    @property
    def name(self) -> str | None:
        """The controller's name, which is else the tenant's."""
        if not self.now:
            return self.tenant_name
        return _alike(self.now, lambda profile: profile.controller.name or self.tenant_name)

    @property
    def company_address(self) -> str | None:
        """The controller's address."""
        return _alike(self.now, lambda profile: profile.company_address)

    @property
    def external_link(self) -> str | None:
        """The page of the profile's own, where the links of messages lead."""
        return _alike(self.now, lambda profile: profile.external_link)

    @property
    def shows_tracking(self) -> bool:
        """Whether the page behind the link of each message is known to have tracking on it: a page of a profile's own is not."""
        return bool(self.now) and all(
            profile.preference_center.show_tracking and profile.external_link is None for profile in self.now
        )

    @property
    def controller(self) -> Controller:
        """What is set now."""
        return _alike_in_all(self.now)

    @property
    def controller_then(self) -> Controller:
        """What was set when the capture was recorded: what was said to the person is not what a later setting says."""
        return _alike_in_all(self.then)

    @property
    def id(self) -> str:
        """What these profiles are called in an identifier; the purpose where there are none."""
        return f"profile:{','.join(sorted(one.key for one in self.now))}" if self.now else f"purpose:{self.purpose}"

    def has_no(self, setting: str) -> str:
        """Why a setting is missing."""
        if not self.now:
            return f"no profile has purpose {self.purpose}"
        if len(self.now) == 1:
            return f"profile {self.now[0].key} has no {setting}"
        return (
            f"{_names(self.now)} share purpose {self.purpose} and have no {setting} that is the same: name one of them"
        )

    def had_no(self, setting: str) -> str:
        """Why a setting is missing of those that count as they were when the capture was recorded."""
        if not self.then:
            asked = f"profile {self.now[0].key} did not have" if len(self.now) == 1 else "no profile had"
            return f"{asked} purpose {self.purpose} when it was recorded"
        if len(self.then) == 1:
            return f"profile {self.then[0].key} had no {setting} when it was recorded"
        return (
            f"{_names(self.then)} shared purpose {self.purpose} and had no {setting} that was the same when it was recorded:"
            " name one of them"
        )


def responsible(now: Catalogue, then: Catalogue, purpose: str, asked: str | None) -> Responsible:
    """The profiles of a capture's purpose: the one that is `asked` for, where it has the purpose."""
    of_now = now.profiles_of(purpose)
    if any(profile.key == asked for profile in of_now):
        return Responsible(
            purpose,
            now.tenant_name,
            tuple(profile for profile in of_now if profile.key == asked),
            tuple(profile for profile in then.profiles_of(purpose) if profile.key == asked),
        )
    return Responsible(purpose, now.tenant_name, tuple(of_now), tuple(then.profiles_of(purpose)))


def _alike(profiles: Sequence[ComplianceProfile], said: Callable[[ComplianceProfile], Said]) -> Said | None:
    if not profiles:
        return None
    first = said(profiles[0])
    return first if all(said(profile) == first for profile in profiles[1:]) else None


def _alike_in_all(profiles: Sequence[ComplianceProfile]) -> Controller:
    if not profiles:
        return NOBODY
    return Controller(
        **{
            setting.name: _alike(profiles, lambda profile, name=setting.name: getattr(profile.controller, name))
            for setting in fields(Controller)
        }
    )


def _names(profiles: Sequence[ComplianceProfile]) -> str:
    *others, last = (profile.key for profile in profiles)
    return f"profiles {', '.join(others)} and {last}"
