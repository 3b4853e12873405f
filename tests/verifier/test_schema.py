"""The JSON Schema of bundles: it has what the verifier takes, walked by the few words of JSON Schema that it uses."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.verifier.given import Log, Members

SCHEMA: Any = json.loads((Path(__file__).parents[2] / "docs" / "evidence-bundle.schema.json").read_bytes())
TYPES: dict[str, type] = {"object": dict, "array": list, "string": str, "integer": int}
KNOWN = {"$schema", "$ref", "$defs", "title", "description", "type", "const", "enum", "pattern", "contentEncoding"} | {
    "properties",
    "additionalProperties",
    "required",
    "items",
    "minItems",
    "maxItems",
    "minLength",
    "minimum",
    "maximum",
}


def wrong(schema: Any, value: Any, path: str = "") -> Iterator[str]:
    """Where `value` is not as the schema says."""
    assert schema.keys() <= KNOWN, "a word that is not walked here"
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    if "type" in schema and (not isinstance(value, TYPES[schema["type"]]) or isinstance(value, bool)):
        yield path
        return
    if value != schema.get("const", value) or value not in schema.get("enum", [value]):
        yield path
    if isinstance(value, str) and (
        len(value) < schema.get("minLength", 0) or re.search(schema.get("pattern", ""), value) is None
    ):
        yield path
    if isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield path
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield path
        for number, item in enumerate(value):
            yield from wrong(schema["items"], item, f"{path}[{number}]")
    if isinstance(value, dict):
        yield from (f"{path}.{name}" for name in schema.get("required", []) if name not in value)
        for name, item in value.items():
            inner = schema.get("properties", {}).get(name, schema["additionalProperties"])
            if inner is False:
                yield f"{path}.{name}"
            else:
                yield from wrong(inner, item, f"{path}.{name}")


def test_a_bundle_is_as_the_schema_says(log: Log) -> None:
    assert list(wrong(SCHEMA, log.bundle())) == []


@pytest.mark.parametrize(
    ("edit", "path"),
    [
        (lambda bundle: bundle.pop("statements"), ".statements"),
        (lambda bundle: bundle.update(more=1), ".more"),
        (lambda bundle: bundle.update(version=2), ".version"),
        (lambda bundle: bundle["events"].clear(), ".events"),
        (lambda bundle: bundle["events"][0].update(position=-1), ".events[0].position"),
        (lambda bundle: bundle["events"][0].update(entry="abc"), ".events[0].entry"),
        (lambda bundle: bundle["events"][0]["openings"]["address"].update(salt=""), ".events[0].openings.address.salt"),
        (lambda bundle: bundle["catalogue"][0].update(openings={}), ".catalogue[0].openings"),
        (lambda bundle: bundle["contactPoint"].update(stream="x"), ".contactPoint.stream"),
        (lambda bundle: bundle["asked"].update(channel="PIGEON"), ".asked.channel"),
    ],
)
def test_what_is_no_bundle_is_not(log: Log, edit: Callable[[Members], Any], path: str) -> None:
    bundle = log.bundle()
    edit(bundle)
    assert path in list(wrong(SCHEMA, bundle))
