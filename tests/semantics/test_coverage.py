"""Every rule has a test that holds it: `rules.toml` says which, and docs/semantics-coverage.md shows it."""

import ast
import functools
import re
import tomllib
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "semantics-coverage.md"
RULES: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "rules.toml").read_text("utf-8"))["rule"]
# What SEMANTICS.md says about itself, and the heads of its tables.
NO_RULES = re.compile(
    r"The rules of the consent framework|Where the original's documentation|Every rule is a test|Published table reference"
    r"|\| (term|enforcement|column) \||\|---"
)


@functools.cache
def _tests_of(file: str) -> frozenset[str]:
    tree = ast.parse((TESTS / file).read_text("utf-8"))
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


def test_every_rule_has_a_test() -> None:
    assert not [rule["words"] for rule in RULES if not rule["tests"]]


def test_every_test_that_is_named_is_there() -> None:
    named = {test for rule in RULES for test in rule["tests"]}
    assert not [test for test in sorted(named) if not _is_there(test)]


def test_every_sentence_of_the_semantics_is_a_rule(shared: Callable[[str], Path]) -> None:
    words = {rule["words"] for rule in RULES}
    sentences = _sentences(shared("SEMANTICS.md").read_text("utf-8"))
    assert not [sentence for sentence in sentences if sentence not in words and not NO_RULES.match(sentence)]
    assert not words - set(sentences), "the page does not say so"


def test_the_page_shows_what_holds() -> None:
    page = _page()
    before = PAGE.read_text("utf-8") if PAGE.exists() else ""
    PAGE.write_text(page, "utf-8")
    assert page == before, "docs/semantics-coverage.md was out of date; it is written anew: keep it"


def _is_there(test: str) -> bool:
    file, _, name = test.partition("::")
    return (TESTS / file).exists() and name in _tests_of(file)


def _page() -> str:
    lines = [
        "# Which test holds which rule",
        "",
        "Made by `tests/semantics/test_coverage.py`, which fails where a rule has none.",
    ]
    for section, rules in groupby(RULES, key=lambda rule: rule["section"]):
        lines += ["", f"## {section}"]
        for rule in rules:
            words = rule["words"].strip("| ").replace(" | ", ": ", 1).replace("|", "\\|")
            lines += ["", f"- {words}", *(f"  - `tests/{test}`" for test in rule["tests"])]
    return "\n".join(lines) + "\n"


def _sentences(text: str) -> list[str]:
    """The sentences of a page, and the rows of its tables."""
    found: list[str] = []
    paragraph = ""

    def close() -> None:
        nonlocal paragraph
        if paragraph.strip():
            found.extend(re.split(r'(?<=[.!?])\s+(?=["A-Z`{])', re.sub(r"\s+", " ", paragraph.strip())))
        paragraph = ""

    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            close()
        elif line.startswith("|"):
            close()
            found.append(line)
        else:
            item = re.match(r"(\d+\.|-)\s+", line)
            if item:
                close()
            paragraph += " " + line[item.end() if item else 0 :].strip()
    close()
    return found
