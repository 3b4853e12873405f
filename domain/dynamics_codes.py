"""The codes of the table msdynmkt_contactpointconsent4 ("Dynamics codes" in SEMANTICS.md).

Reading takes code or label, in any case and with blanks around; writing gives codes. A source goes out as it came in;
what was not imported goes out as the nearest, and as Internal where there is none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from domain.addresses import Channel
from domain.consent import ConsentSource, ConsentValue
from domain.refusals import Refusal, RefusalCode

Meaning = TypeVar("Meaning")


@dataclass(frozen=True, slots=True)
class CodeTable(Generic[Meaning]):
    """One column: its name, (code, label, meaning) of each row, and what each spelling of a code or label means."""

    column: str
    rows: tuple[tuple[int, str, Meaning], ...]
    spellings: dict[str, tuple[int, Meaning]] = field(default_factory=dict[str, tuple[int, Meaning]], repr=False)

    def __post_init__(self) -> None:
        for code, label, meaning in self.rows:
            self.spellings[str(code)] = self.spellings[label.casefold()] = (code, meaning)

    def read(self, text: str) -> tuple[int, Meaning]:
        """(code, meaning) of a code or label. Raises Refusal INVALID with the column as its path."""
        known = self.spellings.get(text) or self.spellings.get(text.strip().casefold())
        if known is not None:
            return known
        labels = ", ".join(f"{code} {label}" for code, label, _ in self.rows)
        raise Refusal(RefusalCode.INVALID, f"unknown code or label; there are {labels}", (self.column,))

    def label(self, code: int) -> str | None:
        """The label of a code."""
        return next((label for known, label, _ in self.rows if known == code), None)


CHANNELS = CodeTable(
    "msdynmkt_contactpointtype",
    (
        (534120000, "Email", Channel.EMAIL),
        (534120001, "Text Message", Channel.SMS),
        (534120002, "Custom", Channel.CUSTOM),
        (534120003, "Voice", Channel.VOICE),
    ),
)
VALUES = CodeTable(
    "msdynmkt_value",
    (
        (534120000, "Not Set", ConsentValue.NOT_SET),
        (534120001, "Opted In", ConsentValue.OPTED_IN),
        (534120002, "Opted Out", ConsentValue.OPTED_OUT),
    ),
)
CONSENT_TYPES = CodeTable(
    "msdynmkt_contactpointconsenttype",
    (
        (534120000, "Purpose", "PURPOSE"),
        (534120001, "Topic", "TOPIC"),
    ),
)
SOURCES = CodeTable(
    "msdynmkt_source",
    (
        (534120000, "Internal", ConsentSource.OPERATOR),
        (534120001, "Preference page", ConsentSource.PREFERENCE_CENTER),
        (534120002, "Text message", ConsentSource.SMS_KEYWORD),
        (534120003, "Loaded", ConsentSource.LOAD_CONSENT),
        (534120004, "Preference Center", ConsentSource.PREFERENCE_CENTER),
        (534120005, "Realtime Marketing Form", ConsentSource.FORM),
        (534120006, "Subscription Center", ConsentSource.PREFERENCE_CENTER),
        (534120007, "Email - list-unsubscribe", ConsentSource.ONE_CLICK_UNSUBSCRIBE),
    ),
)
NO_REASON = 534119999
REASONS = CodeTable(
    "msdynmkt_logicalreason",
    (
        (NO_REASON, "No reasons", None),
        (534120000, "Opt-in - Advertisement", None),
        (534120001, "Opt-in - Landing page", None),
        (534120002, "Opt-in - Events", None),
        (534120003, "Opt-out - Content was irrelevant", None),
        (534120004, "Opt-out - Received too frequently", None),
        (534120005, "Opt-out - Didn't recall signing up", None),
        (534120006, "Opt-out - Privacy concerns", None),
        (534120007, "Opt-out - One-click unsubscribe", None),
    ),
)

_INTERNAL = 534120000
# What was not imported goes out as the nearest source.
SOURCE_CODES: Mapping[ConsentSource, int] = {
    ConsentSource.FORM: 534120005,
    ConsentSource.PREFERENCE_CENTER: 534120004,
    ConsentSource.ONE_CLICK_UNSUBSCRIBE: 534120007,
    ConsentSource.IMPORT: _INTERNAL,
    ConsentSource.LOAD_CONSENT: 534120003,
    ConsentSource.API: _INTERNAL,
    ConsentSource.SMS_KEYWORD: 534120002,
    ConsentSource.EMAIL_REPLY: _INTERNAL,
    ConsentSource.VOICE: _INTERNAL,
    ConsentSource.PAPER: _INTERNAL,
    ConsentSource.COMPLAINT: _INTERNAL,
    ConsentSource.AGENT: _INTERNAL,
    ConsentSource.OPERATOR: _INTERNAL,
}

_REASON_LABELS = {label.casefold(): label for _, label, _ in REASONS.rows}


def reason_label(text: str) -> str | None:
    """The label of the Dynamics reasons that `text` is, in any case; None for words of one's own."""
    return _REASON_LABELS.get(text.strip().casefold())


def code_of(table: CodeTable[Meaning], meaning: Meaning) -> int | None:
    """The first code with this meaning."""
    return next((code for code, _, known in table.rows if known == meaning), None)


def reason_code(label: str | None) -> int:
    """The code of a reason's label, "No reasons" for none."""
    return next((code for code, known, _ in REASONS.rows if known == label), NO_REASON)
