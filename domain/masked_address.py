"""An address as a page may show it: who has it knows which one is meant, and who was forwarded the page learns little."""

from domain.addresses import Channel

_HIDDEN = "…"


def masked(channel: Channel, address: str) -> str | None:
    """A normalised address with most of it hidden; None for a channel whose addresses nobody knows by sight."""
    if channel is Channel.EMAIL:
        local, _, domain = address.partition("@")
        name, _, last = domain.rpartition(".")
        return f"{_first(local)}@{_first(name)}.{last}"
    if channel in (Channel.SMS, Channel.VOICE):
        return f"{address[:3]}{_HIDDEN}{address[-2:]}"
    return None


def _first(text: str) -> str:
    """The first character of more than one."""
    return text[: 1 if len(text) > 1 else 0] + _HIDDEN
