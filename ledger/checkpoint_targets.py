"""Where new checkpoints go: a TOML file that names folders, webhooks and witnesses.

    [[file]]
    folder = "/srv/checkpoints"
    [[webhook]]
    url = "https://example.com/hooks/checkpoints"
    [[witness]]
    url = "https://witness.example.org/consentry"
    key = "witness.example.org/w1+abcdef01+BA..."
    [publish]
    every_seconds = 10

A URL may hold a credential: neither a name of a target nor an error quotes more of it than scheme and host.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast
from urllib.parse import urlsplit

from tlog.note import COSIGNATURE_V1, MalformedKey, VerifierKey

EVERY_SECONDS = 10
EVERY_SECONDS_MAX = 86_400

Made = TypeVar("Made")
_URL = re.compile(r"[!-~]{1,2000}")


class TargetsInvalid(ValueError):
    """The file of targets cannot be read, or says something that is no target; names the place."""


@dataclass(frozen=True, slots=True)
class FileTarget:
    """A folder that keeps every checkpoint, in a folder of its own for each tenant."""

    folder: Path

    @property
    def name(self) -> str:
        """How it is named to people."""
        return f"file {self.folder}"


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """A URL that is sent every checkpoint."""

    url: str = field(repr=False)

    @property
    def name(self) -> str:
        """How it is named to people: without the path, which may be a secret."""
        return f"webhook {_host_of(self.url)}"


@dataclass(frozen=True, slots=True)
class WitnessTarget:
    """A witness that is asked to cosign (C2SP tlog-witness): its submission prefix, and the key that it cosigns with."""

    url: str = field(repr=False)
    key: VerifierKey

    @property
    def name(self) -> str:
        """How it is named to people."""
        return f"witness {self.key.name}"


Target = FileTarget | WebhookTarget | WitnessTarget


@dataclass(frozen=True, slots=True)
class Targets:
    """All targets, and how often the log is looked at for something new."""

    files: tuple[FileTarget, ...] = ()
    webhooks: tuple[WebhookTarget, ...] = ()
    witnesses: tuple[WitnessTarget, ...] = ()
    every_seconds: int = EVERY_SECONDS

    @property
    def all(self) -> tuple[Target, ...]:
        """Every target, in the order of the file's kinds."""
        return (*self.files, *self.webhooks, *self.witnesses)


def read_targets(path: Path) -> Targets:
    """The targets that a file names. Raises TargetsInvalid, which says where in the file."""
    try:
        document: dict[str, object] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TargetsInvalid(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise TargetsInvalid(f"{path}: it is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise TargetsInvalid(f"{path}: it is not TOML: {error}") from None
    try:
        return _targets(document)
    except TargetsInvalid as error:
        raise TargetsInvalid(f"{path}: {error}") from None


def _targets(document: Mapping[str, object]) -> Targets:
    _check_members(document, ("file", "webhook", "witness", "publish"), "")
    targets = Targets(
        files=_each(document, "file", ("folder",), _file),
        webhooks=_each(document, "webhook", ("url",), _webhook),
        witnesses=_each(document, "witness", ("url", "key"), _witness),
        every_seconds=_every_seconds(document.get("publish", {})),
    )
    if not targets.all:
        raise TargetsInvalid("it names no [[file]], [[webhook]] or [[witness]]")
    if len(set(targets.all)) != len(targets.all):
        raise TargetsInvalid("it names a target twice")
    return targets


def _each(
    document: Mapping[str, object],
    kind: str,
    members: tuple[str, ...],
    make: Callable[[Mapping[str, str], str], Made],
) -> tuple[Made, ...]:
    """The targets of one kind; every member is needed, and is a text."""
    tables = document.get(kind, [])
    if not isinstance(tables, list):
        raise TargetsInvalid(f"{kind}: is written [[{kind}]]")
    made: list[Made] = []
    for number, value in enumerate(cast("list[object]", tables), 1):
        place = f"[[{kind}]] number {number}"
        table = _table(value, place)
        _check_members(table, members, f"{place}, ")
        texts: dict[str, str] = {}
        for member in members:
            text = table.get(member)
            if not isinstance(text, str) or not text:
                raise TargetsInvalid(f"{place}, {member}: a text is needed")
            texts[member] = text
        made.append(make(texts, place))
    return tuple(made)


def _table(value: object, place: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TargetsInvalid(f"{place}: a table is needed")
    return cast("dict[str, object]", value)


def _check_members(table: Mapping[str, object], known: tuple[str, ...], place: str) -> None:
    for name in table:
        if name not in known:
            raise TargetsInvalid(f"{place}{name}: unknown; known are {', '.join(known)}")


def _file(texts: Mapping[str, str], place: str) -> FileTarget:
    if "\0" in texts["folder"]:
        raise TargetsInvalid(f"{place}, folder: no folder has such a name")
    return FileTarget(Path(texts["folder"]))


def _webhook(texts: Mapping[str, str], place: str) -> WebhookTarget:
    return WebhookTarget(_url(texts["url"], f"{place}, url"))


def _witness(texts: Mapping[str, str], place: str) -> WitnessTarget:
    url = _url(texts["url"], f"{place}, url")
    if "?" in url:
        raise TargetsInvalid(f"{place}, url: a witness's URL is a prefix, without a query")
    try:
        key = VerifierKey.parse(texts["key"])
    except MalformedKey as error:
        raise TargetsInvalid(f"{place}, key: {error}") from None
    if key.algorithm != COSIGNATURE_V1:
        raise TargetsInvalid(
            f"{place}, key: a witness's key is of type 4 (cosignature), this is of type {key.algorithm}"
        )
    return WitnessTarget(url.rstrip("/"), key)


def _url(text: str, place: str) -> str:
    wrong = f"{place}: a URL like https://host/path is needed"
    try:
        parts = urlsplit(text)
        usable = bool(parts.scheme in ("http", "https") and parts.hostname and parts.port != 0)
    except ValueError:
        raise TargetsInvalid(wrong) from None
    if not usable or _URL.fullmatch(text) is None or "#" in text:
        raise TargetsInvalid(wrong)
    return text


def _host_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _every_seconds(value: object) -> int:
    table = _table(value, "publish")
    _check_members(table, ("every_seconds",), "publish, ")
    seconds = table.get("every_seconds", EVERY_SECONDS)
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 1 <= seconds <= EVERY_SECONDS_MAX:
        raise TargetsInvalid(f"publish, every_seconds: a whole number from 1 to {EVERY_SECONDS_MAX} is needed")
    return seconds
