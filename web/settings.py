"""The settings of a serving process: the only module that reads the environment.

Each has an option of `consentry serve` and a variable; the option wins. `SETTINGS` is the table of all of them.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ledger.assembly import LedgerConfig
from ledger.checkpoint_targets import Targets, read_targets
from ledger.outgoing_addresses import Network, parse_networks
from web.structured_log import LEVELS
from web.trusted_documents import TrustedDocuments, read_documents


class SettingInvalid(Exception):
    """A setting cannot be read; says which, and what would be right."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its name, what it is for, its default as text (None: not set), and how its text is read."""

    name: str
    help: str
    default: str | None
    read: Callable[[str], object]

    @property
    def option(self) -> str:
        """The option of the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The variable of the environment."""
        return "CONSENTRY_" + self.name.upper()


def _between(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return read


def _level(text: str) -> str:
    if text.lower() not in LEVELS:
        raise ValueError(f"one of {', '.join(LEVELS)}")
    return text.lower()


def _url(text: str) -> str:
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("a URL like postgresql://user@host/database")
    return text


def http_url(text: str) -> str:
    if re.fullmatch(r"https?://[A-Za-z0-9.:_-]{1,200}(/[A-Za-z0-9._~/-]{0,100})?", text) is None:
        raise ValueError("a URL such as https://prefs.example.com")
    return text.rstrip("/")


def _host(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9.:/_-]{1,200}", text) is None or "://" in text:
        raise ValueError("a host, perhaps with a path, such as consent.example.com")
    return text.strip("/")


def _targets(text: str) -> Targets:
    return read_targets(Path(text))


def _documents(text: str) -> TrustedDocuments:
    return read_documents(Path(text))


def _on_or_off(text: str) -> bool:
    if text.lower() not in ("on", "off"):
        raise ValueError("on or off")
    return text.lower() == "on"


def _networks(text: str) -> tuple[Network, ...]:
    return parse_networks(text) if text else ()


SETTINGS = (
    Setting("host", "the address to listen on; the default is reached from this machine only", "127.0.0.1", str),
    Setting("port", "the port to listen on; 0 takes a free one", "8080", _between(0, 65_535)),
    Setting("workers", "how many processes serve", "1", _between(1, 64)),
    Setting("data_dir", "the folder of the embedded database and of the master key", "data", Path),
    Setting("database_url", "a PostgreSQL 15 or newer to use instead of the embedded one", None, _url),
    Setting("master_key_file", "the file of the master key, if it is not in the data folder", None, Path),
    Setting("signing_keys_dir", "the folder of the signing keys, if it is not beside the master key", None, Path),
    Setting("log_host", "the host that names the logs of new tenants, as HOST/log/TENANT", None, _host),
    Setting("public_url", "where recipients reach this server, as in https://prefs.example.com", None, http_url),
    Setting("link_valid_days", "for how long links in messages work; by default for ever", None, _between(30, 36_500)),
    Setting("checkpoint_targets", "a TOML file that names where new checkpoints go", None, _targets),
    Setting(
        "webhook_networks",
        "networks besides the public ones that webhooks may be sent to, as 10.0.0.0/8,fd00::/8; http is for these only",
        "",
        _networks,
    ),
    Setting("import_mib_max", "how long a file may be that comes in by POST /import", "4096", _between(1, 1_048_576)),
    Setting(
        "persisted_documents",
        "a folder of *.graphql files, or a JSON file, of GraphQL documents that clients may name by their SHA-256",
        None,
        _documents,
    ),
    Setting("only_persisted_documents", "on: no other documents are run; off", "off", _on_or_off),
    Setting(
        "compiled_documents",
        "on: GraphQL documents are compiled when they first come; off: all of them are interpreted by graphql-core",
        "on",
        _on_or_off,
    ),
    Setting("log_level", f"how much is logged: {', '.join(LEVELS)}", "info", _level),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All of them, read. `repr` shows no database URL, which may hold a password."""

    host: str
    port: int
    workers: int
    data_dir: Path
    database_url: str | None
    master_key_file: Path | None
    signing_keys_dir: Path | None
    log_host: str | None
    public_url: str | None
    link_valid_days: int | None
    checkpoint_targets: Targets | None
    webhook_networks: tuple[Network, ...]
    import_mib_max: int
    persisted_documents: TrustedDocuments | None
    only_persisted_documents: bool
    compiled_documents: bool
    log_level: str

    @property
    def ledger(self) -> LedgerConfig:
        """Where the data is."""
        return LedgerConfig(
            data_dir=self.data_dir,
            database_url=self.database_url,
            master_key_file=self.master_key_file,
            signing_keys_dir=self.signing_keys_dir,
            log_host=self.log_host,
        )

    def __repr__(self) -> str:
        return f"Settings(host={self.host!r}, port={self.port}, workers={self.workers})"


def read_settings(options: Mapping[str, str | None], environment: Mapping[str, str] | None = None) -> Settings:
    """The settings from the command line's options, by name, and the environment. Raises SettingInvalid."""
    environment = os.environ if environment is None else environment
    values: dict[str, object] = {}
    sources: dict[str, str] = {}
    for setting in SETTINGS:
        source, text = setting.option, options.get(setting.name)
        if text is None:
            # An empty variable is one that was not set, as compose files write it.
            source, text = setting.variable, environment.get(setting.variable) or setting.default
        sources[setting.name] = source
        try:
            values[setting.name] = None if text is None else setting.read(text)
        except ValueError as error:
            raise SettingInvalid(f"{source}: {error}") from None
    if values["only_persisted_documents"] and values["persisted_documents"] is None:
        raise SettingInvalid(
            f"{sources['only_persisted_documents']}: nothing could be run without --persisted-documents"
        )
    return Settings(**values)  # type: ignore[arg-type]
