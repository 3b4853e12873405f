"""Keywords of text messages: which one a message is, in any spelling and language, and what is sent back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.sms_keywords import REPLY_CHARS_MAX, Keyword, keyword_of, reply_text

STOP, START, HELP = Keyword.STOP, Keyword.START, Keyword.HELP
SPELLINGS = [
    *((word, STOP) for word in ("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE")),
    *((word, STOP) for word in ("OPT OUT", "OPTOUT", "OPT-OUT", "STOPP", "ABMELDEN", "ENDE", "ARRET", "ARRÊT")),
    *((word, STOP) for word in ("PARAR", "BAJA", "ALTO", "إيقاف", "توقف", "الغاء", "إلغاء")),
    *((word, START) for word in ("START", "UNSTOP")),
    *((word, HELP) for word in ("HELP", "HILFE", "AIDE", "AYUDA", "مساعدة")),
]
# GSM 03.38, without what takes two places.
GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)


@pytest.mark.parametrize(("text", "keyword"), SPELLINGS)
def test_a_keyword_is_recognised_whatever_the_locale(text: str, keyword: Keyword) -> None:
    assert keyword_of(text) is keyword


@pytest.mark.parametrize(
    ("text", "keyword"),
    [
        ("stop", STOP), ("Stop.", STOP), ("  sToP  ", STOP), ("«STOP!!!»", STOP), ("*stop*", STOP), ("STOP\r\n", STOP),
        ("\u200bST\u200dOP\ufeff", STOP), ("ＳＴＯＰ", STOP), ("𝐒𝐓𝐎𝐏", STOP), ("S.T.O.P.", STOP), ("s t o p", STOP),
        ("STOP 🛑", STOP), ("stop\x00", STOP), ("\ud800stop", STOP), ("opt\u2011out", STOP), ("Opt  Out!", STOP),
        ("arre\u0302t", STOP), ("ÉND", STOP), ("إيقـاف", STOP), ("\u200fإلغاء\u200f", STOP), ("QUİT", STOP),
        ("(Unstop)", START), ("start!", START),
        ("ｈｅｌｐ?", HELP), ("Hilfe!", HELP), ("مُساعدة", HELP),
    ],
)  # fmt: skip
def test_case_punctuation_width_and_invisible_characters_are_forgiven(text: str, keyword: Keyword) -> None:
    assert keyword_of(text) is keyword


@pytest.mark.parametrize(
    "text",
    [
        "Stop please",
        "STOP all messages",
        "stop sending me these",
        "Opt out of all this",
        "BAJA por favor",
        "Stopp, bitte!",
    ],
)
def test_a_stop_with_at_most_three_more_words_is_a_stop(text: str) -> None:
    assert keyword_of(text) is STOP


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "...", "🛑", "YES", "INFO", "stopping", "nonstop", "please do not stop", "Will it ever end?", "opt", "out",
        "stop at the shop on your way", "can you help me", "help me", "start please", "when does it start", "I", "1",
        "helpstop", "unsubscribe from these four lists", "\u200b",
    ],
)  # fmt: skip
def test_such_a_word_in_a_longer_message_is_no_keyword(text: str) -> None:
    assert keyword_of(text) is None


def test_alone_means_without_other_words() -> None:
    assert keyword_of("stop.", alone=True) is STOP
    assert keyword_of("stop please", alone=True) is None


@given(st.text(st.characters()))
def test_no_text_crashes_it(text: str) -> None:
    assert keyword_of(text) in (STOP, START, HELP, None)
    assert keyword_of(text, alone=True) in (STOP, START, HELP, None)


_AROUND = st.text(st.sampled_from(" .,!?-*'\"()«»¡¿…\n\t\u200b\u200e\u00a0\ufeff"), max_size=5)


@given(st.sampled_from(SPELLINGS), st.integers(0, 2**12), _AROUND, _AROUND)
def test_any_mix_of_case_between_any_punctuation_is_the_keyword(
    spelling: tuple[str, Keyword], upper: int, before: str, after: str
) -> None:
    word, keyword = spelling
    mixed = "".join(letter.upper() if upper >> place & 1 else letter.lower() for place, letter in enumerate(word))
    assert keyword_of(before + mixed + after) is keyword


LOCALES = ["en", "de", "fr", "es", "ar"]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("keyword", list(Keyword))
@pytest.mark.parametrize("locale", LOCALES)
def test_the_reply_is_one_message_that_says_how_to_change_it(locale: str, keyword: Keyword, known: bool) -> None:
    reply = reply_text(keyword, locale, profile_name="Contoso", known=known)
    assert reply.startswith("Contoso: ")
    assert len(reply) <= REPLY_CHARS_MAX
    assert ("START" if keyword is STOP else "STOP") in reply
    assert "http" not in reply
    if locale == "ar":
        assert len(reply) <= 2 * 67, "two messages of UCS-2"
    else:
        assert set(reply) <= GSM
    others = {reply_text(keyword, other, profile_name="Contoso", known=known) for other in LOCALES}
    assert len(others) == len(LOCALES)


@pytest.mark.parametrize(
    ("locale", "like"),
    [
        ("de-AT", "de"),
        ("fr_CA", "fr"),
        ("ES", "es"),
        ("ar-EG", "ar"),
        (None, "en"),
        ("tlh", "en"),
        ("", "en"),
        ("-", "en"),
    ],
)
def test_a_locale_is_its_language_or_else_english(locale: str | None, like: str) -> None:
    reply = reply_text(STOP, locale, profile_name="Contoso", known=True)
    assert reply == reply_text(STOP, like, profile_name="Contoso", known=True)


def test_a_long_name_is_cut_and_the_words_are_not() -> None:
    for locale in LOCALES:
        reply = reply_text(HELP, locale, profile_name="Very\nLong " * 40, known=False)
        assert len(reply) <= REPLY_CHARS_MAX
        assert "\n" not in reply
        assert reply.endswith(reply_text(HELP, locale, profile_name="", known=False))
