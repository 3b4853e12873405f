"""Canonical JSON of strings, integers, booleans, lists and objects with ASCII keys: one value, one spelling.

Within this subset `orjson` and `json.dumps`, with sorted keys and no blanks, write the bytes of RFC 8785 (JCS): section
3.2.2.2's escapes are the ones they use, ASCII keys sort alike by UTF-16 unit and by code point, and there are no floats whose
spelling could differ. Loads no driver, since an offline verifier needs it without a database.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import orjson

# RFC 7493 section 2.2: integers that every reader keeps exact.
INTEGER_MAX = 2**53 - 1

_encoder = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, sort_keys=True, separators=(",", ":")
)
_encode_text = _encoder.encode
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


class NotCanonical(ValueError):
    """The value has no canonical form here (null, float, a big integer, a lone surrogate, a key beyond ASCII)."""


def encode(value: Mapping[str, Any]) -> bytes:
    """The canonical bytes of an object. The caller has built it from allowed kinds; `check` proves that where in doubt.

    Raises NotCanonical for a lone surrogate, which UTF-8 cannot carry.
    """
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except orjson.JSONEncodeError:
        # Nested deeper than it goes, or nothing that can be written: this one tells which.
        return _encode_slowly(value)


def _encode_slowly(value: Mapping[str, Any]) -> bytes:
    try:
        return _encode_text(value).encode()
    except UnicodeEncodeError as error:
        raise NotCanonical("a lone surrogate cannot be written as UTF-8") from error


def check(value: object) -> None:
    """Raise NotCanonical where `value` holds anything that this canonical JSON does not allow."""
    if isinstance(value, str | bool):
        return
    if isinstance(value, int):
        if abs(value) > INTEGER_MAX:
            raise NotCanonical("an integer beyond 2^53-1")
        return
    if isinstance(value, Mapping):
        for key, item in cast(Mapping[object, object], value).items():
            if not isinstance(key, str) or not key.isascii():
                raise NotCanonical("a key that is not ASCII text")
            check(item)
        return
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        for item in cast(Sequence[object], value):
            check(item)
        return
    raise NotCanonical(f"{type(value).__name__} has no place in canonical JSON")


def decode(raw: bytes) -> dict[str, Any]:
    """The object that `raw` spells; raises NotCanonical unless `raw` is the one spelling of an allowed value."""
    try:
        value: object = json.loads(raw)
        if not isinstance(value, dict):
            raise NotCanonical("not an object")
        check(cast(object, value))
        if encode(cast(dict[str, Any], value)) != raw:
            raise NotCanonical("not the canonical spelling")
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise NotCanonical("not JSON") from error
    except NotCanonical:
        raise
    except ValueError as error:
        raise NotCanonical("a number is too long") from error
    return cast(dict[str, Any], value)


def loads(raw: bytes) -> dict[str, Any]:
    """The object in bytes that this module wrote, without proving that again; its integers are as long as they are."""
    return json.loads(raw)
