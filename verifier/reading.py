"""Reading what strangers wrote: strict JSON, and members of the kind that they have to be, or the field's name.

One spelling is accepted of whatever is verified, and no member that is not known: nothing can be added unnoticed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NoReturn, TypeVar, cast
from uuid import UUID

from domain.time import format_instant
from tlog.canonical_json import INTEGER_MAX
from tlog.hashing import HASH_BYTES
from tlog.note import decode_base64
from verifier.report import NotProven

NAME_CHARS_SHOWN_MAX = 80

Kind = TypeVar("Kind", bound=StrEnum)


class NotJson(ValueError):
    """The bytes are not JSON as it is read here: UTF-8, no name twice in one object, no NaN, not too deep; says why."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotJson("a name is there twice in one object")
    return members


def _no_constant(name: str) -> NoReturn:
    raise NotJson(f"{name} is no JSON")


_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def parse_json(raw: bytes) -> object:
    """The value that `raw` spells. Raises NotJson."""
    try:
        return _decoder.decode(raw.decode())
    except NotJson:
        raise
    except UnicodeDecodeError as error:
        raise NotJson(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise NotJson(f"not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise NotJson("nested too deeply") from None
    except ValueError:
        # Python refuses to read integers of more than some thousand digits.
        raise NotJson("a number is too long") from None


def object_of(value: object, path: str) -> "Object":
    """`value` as an object. Raises NotProven."""
    if not isinstance(value, dict):
        raise NotProven(f"{path}: not an object" if path else "not an object")
    return Object(path, cast(dict[str, object], value))


@dataclass(frozen=True, slots=True)
class Object:
    """A JSON object and where it stands; each getter raises NotProven, naming the field, for what is not of its kind."""

    path: str
    members: Mapping[str, object]

    def at(self, name: str) -> str:
        """Where a member stands."""
        return f"{self.path}.{name}" if self.path else name

    def only(self, *names: str) -> None:
        """Raises NotProven for a member of another name."""
        for name in self.members:
            if name not in names:
                raise NotProven(f"{self.at(name[:NAME_CHARS_SHOWN_MAX])}: not a member that is known here")

    def has(self, name: str) -> bool:
        """Whether it has this member."""
        return name in self.members

    def text(self, name: str) -> str:
        """A text that can be written as UTF-8."""
        return _text(self._member(name), self.at(name))

    def optional_text(self, name: str) -> str | None:
        """A text, or None where it is left out."""
        return self.text(name) if name in self.members else None

    def whole(self, name: str) -> int:
        """A number from 0 to 2^53-1."""
        value = self._member(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise NotProven(f"{self.at(name)}: not a whole number")
        if not 0 <= value <= INTEGER_MAX:
            raise NotProven(f"{self.at(name)}: not a number from 0 to 2^53-1")
        return value

    def boolean(self, name: str) -> bool:
        """True or false."""
        value = self._member(name)
        if not isinstance(value, bool):
            raise NotProven(f"{self.at(name)}: neither true nor false")
        return value

    def base64(self, name: str) -> bytes:
        """Bytes, in canonical base64."""
        return _base64(self._member(name), self.at(name))

    def sha256(self, name: str) -> bytes:
        """A SHA-256 hash, in canonical base64."""
        value = self.base64(name)
        if len(value) != HASH_BYTES:
            raise NotProven(f"{self.at(name)}: a hash has {HASH_BYTES} bytes, this has {len(value)}")
        return value

    def instant(self, name: str) -> datetime:
        """An instant in its one spelling."""
        text = self.text(name)
        try:
            instant = datetime.fromisoformat(text)
            if instant.tzinfo is not UTC or format_instant(instant) != text:
                raise ValueError
        except ValueError:
            raise NotProven(f"{self.at(name)}: not an instant written YYYY-MM-DDTHH:MM:SS.ffffffZ") from None
        return instant

    def uuid(self, name: str) -> UUID:
        """A UUID in lower case."""
        text = self.text(name)
        try:
            value = UUID(text)
            if str(value) != text:
                raise ValueError
        except ValueError:
            raise NotProven(f"{self.at(name)}: not a UUID in lower case") from None
        return value

    def within(self, name: str) -> "Object":
        """A further object."""
        return object_of(self._member(name), self.at(name))

    def objects(self, name: str) -> list["Object"]:
        """A list of objects."""
        return [object_of(item, f"{self.at(name)}[{number}]") for number, item in enumerate(self._list(name))]

    def texts(self, name: str) -> list[str]:
        """A list of texts."""
        return [_text(item, f"{self.at(name)}[{number}]") for number, item in enumerate(self._list(name))]

    def hashes(self, name: str) -> list[bytes]:
        """A list of bytes, as a proof has them; how long each is, is for who checks the proof."""
        return [_base64(item, f"{self.at(name)}[{number}]") for number, item in enumerate(self._list(name))]

    def _list(self, name: str) -> Sequence[object]:
        value = self._member(name)
        if not isinstance(value, list):
            raise NotProven(f"{self.at(name)}: not a list")
        return cast(list[object], value)

    def _member(self, name: str) -> object:
        try:
            return self.members[name]
        except KeyError:
            raise NotProven(f"{self.at(name)}: missing") from None


def one_of(kind: type[Kind], members: Object, name: str) -> Kind:
    """A member that is one of a few words. Raises NotProven."""
    text = members.text(name)
    try:
        return kind(text)
    except ValueError:
        raise NotProven(f"{members.at(name)}: none of {', '.join(kind)}") from None


def _text(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise NotProven(f"{path}: not text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise NotProven(f"{path}: half of a surrogate pair") from None
    return value


def _base64(value: object, path: str) -> bytes:
    try:
        return decode_base64(_text(value, path))
    except ValueError:
        raise NotProven(f"{path}: not canonical base64") from None
