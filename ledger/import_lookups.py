"""Lookups of a file: purposes and topics by GUID, by key, and by the name that Dynamics shows where it has a lookup.

Several profiles have a purpose of the same name each, such as "Commercial": which one a row means is never guessed.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from domain.catalogue import Catalogue, Purpose, Topic
from domain.refusals import Refusal, RefusalCode

PURPOSE, TOPIC = "msdynmkt_purposeid", "msdynmkt_topicid"
_NONE: Mapping[str, tuple[str, ...]] = MappingProxyType({})


class Lookups:
    """What the cells of a file name, as the catalogue is at its beginning; of a profile's purposes alone, if one is given."""

    def __init__(self, catalogue: Catalogue, profile: str | None) -> None:
        """Raises Refusal NOT_FOUND for the profile."""
        self._catalogue = catalogue
        self._profile = None if profile is None else catalogue.profile(profile)
        keys = catalogue.purposes if self._profile is None else self._profile.purposes
        self._purposes = _by_name(catalogue.purposes[key] for key in keys)
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


def _by_name(items: Iterable[Purpose] | Iterable[Topic]) -> Mapping[str, tuple[str, ...]]:
    """The keys of what is called so, by key or name, in any case."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for item in items:
        for name in {item.key.casefold(), item.name.strip().casefold()}:
            found[name].append(item.key)
    return {name: tuple(keys) for name, keys in found.items()}


def _named(names: Mapping[str, tuple[str, ...]], text: str, column: str, what: str, otherwise: str) -> str | None:
    keys = names.get(text.casefold(), ())
    if len(keys) < 2:
        return keys[0] if keys else None
    if text in keys:
        # A key spelled as it is: so our own export names what has no GUID.
        return text
    raise Refusal(
        RefusalCode.INVALID,
        f"there are several {what} with this name: say which by its GUID or key{otherwise}",
        (column,),
    )


def _guid(text: str) -> str:
    return text.strip("{}").lower()
