"""Addresses: two spellings of one address are one, results are pinned for ever, and no message shows an address."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain import addresses
from domain.addresses import Channel, normalise, normalise_all
from domain.refusals import Refusal, RefusalCode

# Blind indexes are made over these results: a change of any of them would make a known address a stranger.
PINNED = [
    (Channel.EMAIL, "ada@example.org", "ada@example.org"),
    (Channel.EMAIL, " \tAda.Lovelace+News@Example.ORG\r\n", "ada.lovelace+news@example.org"),
    (Channel.EMAIL, "a@BÜCHER.example", "a@xn--bcher-kva.example"),
    (Channel.EMAIL, "a@bu\u0308cher.example", "a@xn--bcher-kva.example"),
    (Channel.EMAIL, "a@XN--BCHER-KVA.example", "a@xn--bcher-kva.example"),
    (Channel.EMAIL, "a@straße.example", "a@strasse.example"),
    (Channel.EMAIL, "Zoe\u0308@example.org", "zo\u00eb@example.org"),
    (Channel.EMAIL, "STRASSE@example.org", "strasse@example.org"),
    (Channel.EMAIL, "straße@example.org", "strasse@example.org"),
    (Channel.EMAIL, "a@例え.テスト", "a@xn--r8jz45g.xn--zckzah"),
    (Channel.EMAIL, "a\u3000@example.org", None),
    (Channel.SMS, "+49 30 123456", "+4930123456"),
    (Channel.SMS, "+44 (0)20 7946 0018", "+442079460018"),
    (Channel.VOICE, "+1-415-555-9194", "+14155559194"),
    (Channel.VOICE, "\uff0b14155559194", "+14155559194"),
    (Channel.PUSH, " Token-ABC ", "Token-ABC"),
    (Channel.CUSTOM, "Übung/7", "Übung/7"),
]


@pytest.mark.parametrize(("channel", "given_as", "expected"), PINNED)
def test_pinned_results(channel: Channel, given_as: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(Refusal):
            normalise(channel, given_as)
    else:
        assert normalise(channel, given_as) == expected
        assert normalise(channel, expected) == expected


REFUSED = [
    (Channel.EMAIL, address)
    for address in (
        "not-an-address", "call me", "@example.com", "ada@", "a@b@c.example", "", "   ", "ada@localhost", "ada@exa mple.org",
        "ada@-x.example", "ada@x..example", "ada@example.org.", "a b@example.org", ".a@example.org", "a..b@example.org",
        "a@1.2.3.4", "a\x00@example.org", "a\ud800@example.org", "a@ex\ud800mple.org", "a\u200b@example.org",
        "x" * 65 + "@example.org", "x" * 400 + "@example.com", "a@" + "x" * 64 + ".example", "<ada@example.org>",
        "Ada <ada@example.org>",
    )
] + [
    (channel, address)
    for channel in (Channel.SMS, Channel.VOICE)
    for address in ("12", "+999999999999999999", "0171 123456", "", "+", "+1", "ada@example.org", "+1\x00",
                    "+49 30 123456 ext. 7")
] + [
    (channel, address)
    for channel in (Channel.PUSH, Channel.CUSTOM)
    for address in ("", "  ", "x" * 401, "a\x00b", "a\ud800")
]  # fmt: skip


@pytest.mark.parametrize(("channel", "address"), REFUSED)
def test_what_is_no_address_is_refused_without_showing_it(channel: Channel, address: str) -> None:
    with pytest.raises(Refusal) as refused:
        normalise(channel, address)
    assert (refused.value.code, refused.value.path) == (RefusalCode.INVALID_ADDRESS, ("address",))
    if len(address) > 4:
        assert address not in refused.value.message


def test_opaque_addresses_have_up_to_400_characters() -> None:
    assert normalise(Channel.PUSH, "x" * 400) == "x" * 400


EMAILS = (
    st.from_regex(r"[A-Za-z0-9.+_-]{1,12}@[A-Za-z0-9-]{1,8}(\.[A-Za-z0-9-]{1,5}){0,2}", fullmatch=True) | st.emails()
)
ANY_TEXT = st.text(max_size=30) | st.builds("{}@{}.example".format, st.text(max_size=8), st.text(max_size=8))


def outcome(address: str, how: object) -> str | None:
    try:
        return how(address)  # type: ignore[operator]
    except Refusal:
        return None


def whole_rule(address: str) -> str:
    """As an address is normalised that is not plain: no short cut."""
    trimmed = address.strip(addresses._TRIMMED)
    if not trimmed or len(trimmed) > addresses.ADDRESS_CHARS_MAX:
        raise addresses._refusal("none")
    normalised = addresses._any_email(trimmed)
    if len(normalised.partition("@")[0].encode()) > 64 or len(normalised.encode()) > 254:
        raise addresses._refusal("too long")
    return normalised


LONG = st.builds(
    "{}@{}.{}".format,
    st.text("aA.-", min_size=60, max_size=68),
    st.lists(st.text("bB-", min_size=40, max_size=64), min_size=1, max_size=6).map(".".join),
    st.sampled_from(("example", "1", "x1", "K", "a-")),
)


@given(EMAILS | ANY_TEXT | LONG)
@example("ada@\u212aelvin.example")
@example("\u212aelvin@example.org")
@example("ada@example.\u0130o")
@example("a" * 64 + "@" + "b" * 63 + "." + "c" * 63 + "." + "d" * 57 + ".ab")
@example("a" * 64 + "@" + "b" * 63 + "." + "c" * 63 + "." + "d" * 58 + ".ab")
@example("a" * 65 + "@example.org")
@example("ada@example.org\n")
@example("ada@ab--cd.example")
def test_the_fast_path_gives_what_the_whole_rule_gives(address: str) -> None:
    assert outcome(address, lambda text: normalise(Channel.EMAIL, text)) == outcome(address, whole_rule)


BREAKS = st.sampled_from(
    ("", "\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029", "\x00", "\ud800", "a@b.cd\n", "\na@b.cd")
)
WITH_BREAKS = st.builds("{}{}{}".format, EMAILS, BREAKS, EMAILS | st.just(""))


@given(st.sampled_from(Channel), st.lists(EMAILS | BREAKS | WITH_BREAKS | ANY_TEXT | LONG, max_size=6))
@example(Channel.EMAIL, [])
@example(Channel.EMAIL, [""])
@example(Channel.EMAIL, ["a@b.cd", ""])
@example(Channel.EMAIL, ["", "a@b.cd"])
@example(Channel.EMAIL, ["", ""])
@example(Channel.EMAIL, ["a@b.cd", "\n"])
@example(Channel.EMAIL, ["a@b.cd\nc@d.ef"])
@example(Channel.EMAIL, ["a@b.cd\nc@d.ef", ""])
@example(Channel.EMAIL, ["a@b.cd\n", "c@d.ef"])
@example(Channel.EMAIL, ["a@b.cd\r", "c@d.ef\u2028", "\x00", "e@f.gh"])
@example(
    Channel.EMAIL, ["ada@\u212aelvin.example", "ada@example.\u0130o", "\u03a3@example.org", "a\u03a3", "\u03a3@b.cd"]
)
@example(Channel.EMAIL, ["x" * 64 + "@example.org", "x" * 65 + "@example.org", "a@b.cd"])
@example(Channel.EMAIL, ["a@" + "b." * 125 + "cd", "a@" + "b." * 126 + "cd", "a@b.cd"])
@example(Channel.EMAIL, ["x" * 5_000 + "@example.org", "a@b.cd", "a." * 5_000, "a@" + "b." * 5_000])
@example(Channel.EMAIL, ["a@b.12", "a@b.cd", "a@1.2.3.4", "a@xn--a.cd", "a@b-.cd", ".a@b.cd", "a@b.cd."])
def test_many_are_normalised_as_one_by_one(channel: Channel, many: list[str]) -> None:
    assert normalise_all(channel, many) == [outcome(one, lambda text: normalise(channel, text)) for one in many]


@given(st.sampled_from(Channel), EMAILS | ANY_TEXT)
def test_normalising_is_idempotent(channel: Channel, address: str) -> None:
    once = outcome(address, lambda text: normalise(channel, text))
    if once is not None:
        assert normalise(channel, once) == once


@given(EMAILS)
def test_case_and_outer_blanks_do_not_matter(address: str) -> None:
    plain = outcome(address, lambda text: normalise(Channel.EMAIL, text))
    assert outcome(f" {address.upper()}\n", lambda text: normalise(Channel.EMAIL, text)) == plain
