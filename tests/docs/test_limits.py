"""docs/limits.md says what the code says: each figure is the constant that its line names, and no public one is left out."""

import importlib
import pkgutil
import re
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest

from web.graphql_limits import Limits
from web.live.sessions import LiveLimits

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "limits.md").read_text("utf-8")
ROWS = re.findall(
    r"^\| (.+?) \| ([0-9][0-9,]*)( [A-Za-z]+)? \| `([a-z_.]+)\.((?:[A-Z][A-Za-z]+\.)?\w+)` \|$", PAGE, re.MULTILINE
)
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "minutes": 60, "hour": 3_600, "hours": 3_600, "days": 86_400}
COUNTED = {"", "characters", "bytes", "items", "second", "seconds"}
# How work is cut, and memory kept: nothing that somebody who asks could meet.
INSIDE = {
    "schema.plans.plans.FIELDS_MAX",  # beyond it a document is interpreted, and answered alike
    "schema.plans.plans.KEPT_BYTES_MAX",
    "ledger.checkpoint_targets.EVERY_SECONDS_MAX",
    "ledger.load_groups.GROUP_ROWS_MAX",
    "ledger.relay.BEGINNING_MAX",
}


def figure(number: str, unit: str) -> int:
    """What a figure of the page stands for, in bytes, seconds or pieces."""
    unit = unit.strip()
    assert unit in UNITS or unit in COUNTED
    return int(number.replace(",", "")) * UNITS.get(unit, 1)


def in_the_code(module: str, name: str) -> float:
    """What a constant is, or a field of a class of limits where nothing else is said."""
    value: object = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(value, part)
        value = found() if isinstance(found, type) else found
    if isinstance(value, timedelta):
        return value.total_seconds()
    assert isinstance(value, int | float)
    return value


@pytest.mark.parametrize(("what", "number", "unit", "module", "name"), ROWS, ids=[f"{row[3]}.{row[4]}" for row in ROWS])
def test_a_figure_is_that_of_the_code(what: str, number: str, unit: str, module: str, name: str) -> None:
    assert figure(number, unit) == in_the_code(module, name), what


def test_every_line_of_the_tables_is_read() -> None:
    tables = PAGE.count("|---|---|---|")
    assert len(ROWS) == sum(line.startswith("| ") for line in PAGE.splitlines()) - tables
    names = [f"{module}.{name}" for *_, module, name in ROWS]
    assert len(names) == len(set(names))


def test_the_page_leaves_none_out() -> None:
    there: set[str] = set()
    for folder in ("domain", "ledger", "schema", "web"):
        for found in pkgutil.walk_packages(importlib.import_module(folder).__path__, folder + "."):
            source = Path(importlib.import_module(found.name).__file__ or "").read_text("utf-8")
            there |= {f"{found.name}.{name}" for name in re.findall(r"^([A-Z][A-Z_]*_MAX) = ", source, re.MULTILINE)}
    assert len(there) > 50
    # Those of a page are the ledger's, which are told; the other is a table.
    there |= {f"web.graphql_limits.Limits.{one.name}" for one in fields(Limits)} - {
        f"web.graphql_limits.Limits.{name}" for name in ("page_default", "page_max", "known_lists", "dear_fields")
    }
    there |= {f"web.live.sessions.LiveLimits.{one.name}" for one in fields(LiveLimits)}
    assert there - {f"{module}.{name}" for *_, module, name in ROWS} == INSIDE
