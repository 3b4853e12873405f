"""Keywords of text messages: which one a message is, in any spelling and language, and what is sent back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.opt_out_wording import asks_to_stop, keyword_of_text_message
from domain.sms_keywords import Keyword, keyword_of
from domain.sms_replies import REPLY_CHARS_MAX, Holds, reply_text

STOP, START, HELP = Keyword.STOP, Keyword.START, Keyword.HELP
SPELLINGS = [
    *((word, STOP) for word in ("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE")),
    *((word, STOP) for word in ("OPT OUT", "OPTOUT", "OPT-OUT", "STOPP", "ABMELDEN", "ENDE", "ARRET", "ARRÊT")),
    *((word, STOP) for word in ("PARAR", "BAJA", "ALTO", "CANCELAR", "إيقاف", "توقف", "الغاء", "إلغاء")),
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
        ("STOP 🛑", STOP),
        ("🛑", STOP), ("🛑🛑 please", STOP), ("⛔", STOP), ("stop\x00", STOP), ("\ud800stop", STOP), ("opt\u2011out", STOP),
        ("Opt  Out!", STOP),
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
        "", " ", "...", "🙂", "YES", "INFO", "stopping", "nonstop", "please do not stop", "Will it ever end?", "opt", "out",
        "stop at the shop on your way", "can you help me", "help me", "start please", "when does it start", "I", "1",
        "helpstop", "unsubscribe from these four lists", "\u200b",
    ],
)  # fmt: skip
def test_such_a_word_in_a_longer_message_is_no_keyword(text: str) -> None:
    assert keyword_of(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "Please stop", "please, please stop!!", "Stop texting me or I call my lawyer, I never asked for any of this",
        "unsubscribe from these four lists", "Take me off your list.", "Remove me", "I want to opt out",
        "How do I unsubscribe?", "I cannot unsubscribe on your page", "I did not sign up. Unsubscribe!", "Don't text me",
        "Melden Sie mich bitte ab, also: melden Sie mich ab", "Ich möchte keine Nachrichten mehr", "Bitte löschen Sie mich",
        "Je ne veux plus de messages", "Ne m'envoyez plus rien", "Désabonnez-moi", "No quiero recibir esto", "Dame de baja",
        "لا أريد رسائلكم", "لو سمحت ألغوا اشتراكي",
    ],
)  # fmt: skip
def test_other_words_that_a_reasonable_person_would_understand_are_a_stop(text: str) -> None:
    assert keyword_of_text_message(text) is STOP


@pytest.mark.parametrize(
    "text",
    [
        "please do not stop", "Don't unsubscribe me", "I do not want to unsubscribe", "I never unsubscribe", "OK", "",
        "Bitte nicht abmelden", "Where is my order?", "stop at the shop on your way", "START", "HELP", "Will it ever end?",
        "Yesterday I went to the shop and " + "word " * 20 + "unsubscribe",
    ],
)  # fmt: skip
def test_who_wants_to_stay_or_writes_of_something_else_is_not_stopped(text: str) -> None:
    assert keyword_of_text_message(text) is keyword_of(text)
    assert keyword_of_text_message(text) is not STOP


@given(st.text(st.characters()), st.integers(0, 50))
def test_no_wording_crashes_it(text: str, words_max: int) -> None:
    assert asks_to_stop(text, words_max=words_max) in (True, False)


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
    reply = reply_text(keyword, locale, sender_name="Contoso", known=known)
    assert reply.startswith("Contoso: ")
    assert len(reply) <= REPLY_CHARS_MAX
    assert ("START" if keyword is STOP else "STOP") in reply
    assert "http" not in reply
    if locale == "ar":
        assert len(reply) <= 2 * 67, "two messages of UCS-2"
    else:
        assert set(reply) <= GSM
    others = {reply_text(keyword, other, sender_name="Contoso", known=known) for other in LOCALES}
    assert len(others) == len(LOCALES)


@pytest.mark.parametrize("keyword", [STOP, START])
@pytest.mark.parametrize("holds", [Holds.NOTHING, Holds.NOT_ALL_TOPICS, Holds.NOT_ENFORCED])
@pytest.mark.parametrize("locale", LOCALES)
def test_the_reply_says_what_holds(locale: str, holds: Holds, keyword: Keyword) -> None:
    reply = reply_text(keyword, locale, sender_name="Contoso", known=True, holds=holds)
    assert len(reply) <= REPLY_CHARS_MAX if locale != "ar" else len(reply) <= 2 * 67
    assert locale == "ar" or set(reply) <= GSM
    other = reply_text(keyword, locale, sender_name="Contoso", known=True)
    says_nothing_else = {Holds.NOT_ALL_TOPICS: STOP, Holds.NOT_ENFORCED: START}
    assert (reply == other) is (keyword is says_nothing_else.get(holds))
    assert str(keyword) in reply or holds is not Holds.NOTHING


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
    reply = reply_text(STOP, locale, sender_name="Contoso", known=True)
    assert reply == reply_text(STOP, like, sender_name="Contoso", known=True)


def test_a_long_name_is_cut_and_the_words_are_not() -> None:
    for locale in LOCALES:
        reply = reply_text(HELP, locale, sender_name="Very\nLong " * 40, known=False)
        assert len(reply) <= REPLY_CHARS_MAX
        assert "\n" not in reply
        assert reply.endswith(reply_text(HELP, locale, sender_name="", known=False))
