"""Lookups of a file: purposes and topics by GUID, by key, and by the name that Dynamics shows where it has a lookup.

Several profiles have a purpose of the same name each, such as "Commercial": which one a row means is never guessed. Nor is it
where a cell is one's key and another's name, for whoever makes a key does not take over what was named so before.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TypeVar

from domain.catalogue import Catalogue, Purpose, Topic
from domain.refusals import Refusal, RefusalCode

PURPOSE, TOPIC = "msdynmkt_purposeid", "msdynmkt_topicid"
_NONE: Mapping[str, tuple[Topic, ...]] = MappingProxyType({})
Item = TypeVar("Item", Purpose, Topic)


class Lookups:
    """What the cells of a file name, as the catalogue is at its beginning; of a profile's purposes alone, if one is given."""

    def __init__(self, catalogue: Catalogue, profile: str | None) -> None:
        """Raises Refusal NOT_FOUND for the profile."""
        self._catalogue = catalogue
        self._profile = None if profile is None else catalogue.profile(profile)
        keys = catalogue.purposes if self._profile is None else self._profile.purposes
        self._purposes = _by_name(held for key, held in catalogue.purposes.items() if key in keys)
        self._topics = {key: _by_name(catalogue.topics_of(key)) for key in catalogue.purposes}

    def purpose(self, text: str) -> str:
        """The ref of the purpose that a cell names; whether there is one, the ledger says. Raises Refusal."""
        ref = _guid(text)
        if ref in self._catalogue.purpose_guids:
            return ref
        found = _named(self._purposes, text, PURPOSE, "purposes", ", or with --profile whose purposes are meant")
        if found is None and self._profile is not None:
            raise Refusal(
                RefusalCode.PURPOSE_OUTSIDE_PROFILE,
                f"profile {self._profile.key} has no purpose with this key or name, and no purpose has this GUID",
                (PURPOSE,),
            )
        return found or ref

    def topic(self, text: str, purpose: str) -> str:
        """The ref of the topic that a cell names beside this purpose's; see `purpose`. Raises Refusal."""
        ref = _guid(text)
        if ref in self._catalogue.topic_guids:
            return ref
        topics = self._topics.get(self._catalogue.purpose_guids.get(purpose, purpose), _NONE)
        return _named(topics, text, TOPIC, "topics of the purpose", "") or ref


def _by_name(items: Iterable[Item]) -> Mapping[str, tuple[Item, ...]]:
    """What is called so, by key or name, in any case; in the order in which it was made."""
    found: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        for name in {item.key.casefold(), item.name.strip().casefold()}:
            found[name].append(item)
    return {name: tuple(called) for name, called in found.items()}


def _named(names: Mapping[str, tuple[Item, ...]], text: str, column: str, what: str, otherwise: str) -> str | None:
    called = names.get(text.casefold(), ())
    if len(called) < 2:
        return called[0].key if called else None
    if called[0].key == text and all(other.name.strip() != text for other in called[1:]):
        # A key spelled as it is, so our own export names what has no GUID; and nothing else was called so when it was made.
        return text
    if any(one.key == text for one in called):
        message = f"this is the key of one and the name of another of the {what}: say which by its GUID{otherwise}"
    else:
        message = f"there are several {what} with this name: say which by its GUID or key{otherwise}"
    raise Refusal(RefusalCode.INVALID, message, (column,))


def _guid(text: str) -> str:
    return text.strip("{}").lower()
