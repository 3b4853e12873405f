"""Keywords that people send back by text: which one a message is, and the one confirmation that goes back.

A person writes STOP in any way there is: in capitals, with a full stop, in letters of another width, in their own language
whatever the sender's is. A STOP may be followed by a few words, for in doubt it is an opt-out (47 CFR 64.1200(a)(10)); START
and HELP stand alone, for in doubt nobody opted in.
"""

import unicodedata
from collections.abc import Mapping
from enum import StrEnum

WORDS_AFTER_STOP_MAX = 3
REPLY_CHARS_MAX = 160  # one message of the GSM alphabet
DEFAULT_LOCALE = "en"


class Keyword(StrEnum):
    """What a keyword asks for."""

    STOP = "STOP"
    START = "START"
    HELP = "HELP"


_SPELLINGS: Mapping[Keyword, tuple[str, ...]] = {
    Keyword.STOP: (
        *("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPT OUT", "OPTOUT"),
        *("STOPP", "ABMELDEN", "ENDE"),
        *("ARRET",),
        *("PARAR", "BAJA", "ALTO"),
        *("إيقاف", "توقف", "إلغاء"),
    ),
    Keyword.START: ("START", "UNSTOP"),
    Keyword.HELP: ("HELP", "HILFE", "AIDE", "AYUDA", "مساعدة"),
}


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text, told apart by nothing that people type without meaning it.

    Compatibility forms become the letters that they stand for; case, accents, invisible characters and punctuation go.
    """
    # Taken apart once more after casefold, which can put together what has an accent of its own.
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    kept: list[str] = []
    for character in folded:
        category = unicodedata.category(character)
        if category[0] in "LN" and category != "Lm":
            kept.append(character)
        elif category[0] not in "ML" and category != "Cf":
            kept.append(" ")
    words = "".join(kept).split()
    # S.T.O.P. is one word.
    spelled_out = len(words) > 1 and all(len(word) == 1 for word in words)
    return ("".join(words),) if spelled_out else tuple(words)


_WORDS: Mapping[tuple[str, ...], Keyword] = {
    words_of(spelling): keyword for keyword, spellings in _SPELLINGS.items() for spelling in spellings
}
_STOP_WORDS_MAX = max(len(words) for words, keyword in _WORDS.items() if keyword is Keyword.STOP)


def keyword_of(text: str, *, alone: bool = False) -> Keyword | None:
    """The keyword that a message is; None for one that merely has such a word in it.

    `alone`: a STOP, too, counts without other words only.
    """
    words = words_of(text)
    exact = _WORDS.get(words)
    if exact is not None or alone:
        return exact
    for length in range(1, _STOP_WORDS_MAX + 1):
        begins = _WORDS.get(words[:length]) is Keyword.STOP
        if begins and len(words) - length <= WORDS_AFTER_STOP_MAX:
            return Keyword.STOP
    return None


# By keyword, and whether anything was known of the number before. Only letters that the GSM alphabet has, but for Arabic.
_REPLIES: Mapping[str, Mapping[tuple[Keyword, bool], str]] = {
    "en": {
        (Keyword.STOP, True): "You are unsubscribed and will get no more messages. Reply START to get them again.",
        (Keyword.STOP, False): "This number will get no messages from us. Reply START to change that.",
        (Keyword.START, True): "You will get our messages again. Reply STOP to end them.",
        (Keyword.START, False): "You will get our messages. Reply STOP to end them.",
        (Keyword.HELP, True): "Reply STOP to get no more messages, START to get them again.",
        (Keyword.HELP, False): "We have no record of this number. Reply STOP to get no messages, START to get them.",
    },
    "de": {
        (
            Keyword.STOP,
            True,
        ): "Sie sind abgemeldet und erhalten keine Nachrichten mehr. Mit START erhalten Sie sie wieder.",
        (Keyword.STOP, False): "Diese Nummer erhält keine Nachrichten von uns. Mit START ändern Sie das.",
        (Keyword.START, True): "Sie erhalten unsere Nachrichten wieder. Mit STOP beenden Sie das.",
        (Keyword.START, False): "Sie erhalten unsere Nachrichten. Mit STOP beenden Sie das.",
        (Keyword.HELP, True): "Antworten Sie STOP für keine Nachrichten mehr, START, um sie wieder zu erhalten.",
        (
            Keyword.HELP,
            False,
        ): "Diese Nummer ist uns nicht bekannt. STOP: keine Nachrichten. START: Nachrichten erhalten.",
    },
    "fr": {
        (Keyword.STOP, True): "Vous ne recevrez plus de messages. Répondez START pour en recevoir à nouveau.",
        (Keyword.STOP, False): "Ce numéro ne recevra pas de messages de notre part. Répondez START pour changer cela.",
        (Keyword.START, True): "Vous recevrez de nouveau nos messages. Répondez STOP pour ne plus en recevoir.",
        (Keyword.START, False): "Vous recevrez nos messages. Répondez STOP pour ne plus en recevoir.",
        (Keyword.HELP, True): "Répondez STOP pour ne plus recevoir de messages, START pour en recevoir à nouveau.",
        (Keyword.HELP, False): "Ce numéro ne nous est pas connu. Répondez STOP : pas de messages, START : en recevoir.",
    },
    "es": {
        (Keyword.STOP, True): "Baja confirmada: ya no le enviaremos mensajes. Responda START para volver a recibirlos.",
        (Keyword.STOP, False): "No enviaremos mensajes a este teléfono. Responda START para cambiarlo.",
        (Keyword.START, True): "Le enviaremos de nuevo nuestros mensajes. Responda STOP para no recibirlos.",
        (Keyword.START, False): "Le enviaremos nuestros mensajes. Responda STOP para no recibirlos.",
        (Keyword.HELP, True): "Responda STOP para no recibir mensajes, START para volver a recibirlos.",
        (
            Keyword.HELP,
            False,
        ): "No conocemos este teléfono. Responda STOP para no recibir mensajes, START para recibirlos.",
    },
    "ar": {
        (Keyword.STOP, True): "تم إلغاء اشتراكك ولن تصلك رسائل أخرى. أرسل START لاستلامها من جديد.",
        (Keyword.STOP, False): "لن تصل رسائلنا إلى هذا الرقم. أرسل START لتغيير ذلك.",
        (Keyword.START, True): "ستصلك رسائلنا من جديد. أرسل STOP لإيقافها.",
        (Keyword.START, False): "ستصلك رسائلنا. أرسل STOP لإيقافها.",
        (Keyword.HELP, True): "أرسل STOP لإيقاف الرسائل، أو START لاستلامها من جديد.",
        (Keyword.HELP, False): "هذا الرقم غير معروف لدينا. أرسل STOP كي لا تصلك رسائل، أو START لاستلامها.",
    },
}


def reply_text(keyword: Keyword, locale: str | None, *, profile_name: str, known: bool) -> str:
    """The confirmation to send back, in the locale's language or else in English; no marketing, one message where possible.

    `known`: whether anything was recorded of the number before. A sender's name that is too long for one message is cut.
    """
    language = (locale or DEFAULT_LOCALE).replace("_", "-").partition("-")[0].strip().lower()
    text = _REPLIES.get(language, _REPLIES[DEFAULT_LOCALE])[keyword, known]
    name = " ".join(profile_name.split())
    room = REPLY_CHARS_MAX - len(text) - len(": ")
    if len(name) > room:
        name = name[: room - 2].rstrip() + ".."
    return f"{name}: {text}" if name else text
