"""A page that shows requests and their answers: both are read from it, one after the other."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[2] / "docs"
_TOLD = re.compile(r"```graphql\n(?:# with the key of the unit (\w+)\n)?(.*?)```\n```json\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Told:
    """A request, the unit of the key that sends it if it is bound to one, and its answer."""

    document: str
    unit: str | None
    answer: Any


def page(name: str) -> str:
    """The text of a page of the documentation."""
    return (DOCS / name).read_text("utf-8")


def told(text: str) -> list[Told]:
    """Every request of a page; each has its answer right behind it."""
    found = [Told(document, unit or None, json.loads(answer)) for unit, document, answer in _TOLD.findall(text)]
    assert len(found) == text.count("```graphql\n")
    return found


def blocks(text: str, language: str) -> list[str]:
    """What stands in the blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def fences(text: str) -> list[tuple[str, str]]:
    """Every block of a page in order: its language, which may be none, and what stands in it."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def commands(text: str) -> Iterator[str]:
    """Each command line of `consentry` that a page shows, without its name."""
    for block in blocks(text, "sh"):
        yield from re.findall(r"^(?:(?:export )?[A-Z_]+=\$\()?\.venv/bin/consentry (.*?)\)?$", block, re.MULTILINE)
