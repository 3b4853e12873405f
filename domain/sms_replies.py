"""The one confirmation that goes back for a keyword: what holds now, in one message, without marketing.

It says no more than a check would: a choice made later wins over the keyword, START opts in to no topic, and STOP ends no
messages of a purpose that does not enforce consent.
"""

from collections.abc import Mapping
from enum import Enum, auto

from domain.sms_keywords import Keyword

REPLY_CHARS_MAX = 160  # one message of the GSM alphabet
DEFAULT_LOCALE = "en"


class Holds(Enum):
    """What of a keyword holds, once it is recorded."""

    ALL = auto()
    NOT_ALL_TOPICS = auto()
    NOT_ENFORCED = auto()
    NOTHING = auto()


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
# What a START leaves out, and what a keyword says that a later one, or another choice, has overtaken.
_NOT_ALL_TOPICS: Mapping[str, str] = {
    "en": "You will get our messages, but not on topics that you left or did not choose. Reply STOP to end them.",
    "de": "Sie erhalten unsere Nachrichten, aber nicht zu Themen ohne Ihre Zustimmung. Mit STOP beenden Sie das.",
    "fr": "Vous recevrez nos messages, sauf sur les sujets non choisis. Répondez STOP pour ne plus en recevoir.",
    "es": "Le enviaremos mensajes, pero no de temas sin su permiso. Responda STOP para no recibirlos.",
    "ar": "ستصلك رسائلنا، ما عدا المواضيع التي لم تخترها. أرسل STOP لإيقافها.",
}
# A STOP that is recorded where consent is not enforced: a check lets messages go all the same.
_NOT_ENFORCED: Mapping[str, str] = {
    "en": "You are unsubscribed. Messages that we send without consent may still come. Reply START to undo this.",
    "de": "Sie sind abgemeldet. Was wir ohne Einwilligung senden, kann noch kommen. Mit START ändern Sie das.",
    "fr": "Votre STOP est noté. Des messages envoyés sans accord peuvent encore arriver. Répondez START pour changer cela.",
    "es": "Baja registrada. Pueden llegarle mensajes que enviamos sin permiso. Responda START para cambiarlo.",
    "ar": "تم إلغاء اشتراكك. قد تصلك رسائل نرسلها دون موافقة. أرسل START لتغيير ذلك.",
}
_OVERTAKEN: Mapping[str, Mapping[Keyword, str]] = {
    "en": {
        Keyword.STOP: "You chose messages after this STOP was sent, so they still come. Reply STOP again to end them.",
        Keyword.START: "You get no messages: a later choice of yours counts. Reply START again to get them.",
    },
    "de": {
        Keyword.STOP: "Sie haben nach diesem STOP Nachrichten gewählt, es gilt das Spätere. Beenden Sie sie mit STOP.",
        Keyword.START: "Sie erhalten keine Nachrichten: Ihre spätere Wahl gilt. Mit START erhalten Sie sie.",
    },
    "fr": {
        Keyword.STOP: "Vous avez choisi de recevoir nos messages après ce STOP. Répondez STOP pour ne plus en recevoir.",
        Keyword.START: "Vous ne recevrez pas de messages : votre choix plus récent compte. Répondez START pour en recevoir.",
    },
    "es": {
        Keyword.STOP: "Usted quiso recibir mensajes después de este STOP. Responda STOP de nuevo para no recibirlos.",
        Keyword.START: "No le enviaremos mensajes: vale su respuesta posterior. Responda START para recibirlos.",
    },
    "ar": {
        Keyword.STOP: "اخترت استلام الرسائل بعد إرسال STOP هذا. أرسل STOP مرة أخرى لإيقافها.",
        Keyword.START: "لن تصلك رسائل، فقد اخترت ذلك لاحقًا. أرسل START لاستلامها.",
    },
}


def reply_text(keyword: Keyword, locale: str | None, *, sender_name: str, known: bool, holds: Holds = Holds.ALL) -> str:
    """The confirmation to send back, in the locale's language or else in English; no marketing, one message where possible.

    `known`: whether anything was recorded of the number before. A sender's name that is too long for one message is cut.
    """
    language = (locale or DEFAULT_LOCALE).replace("_", "-").partition("-")[0].strip().lower()
    text = _text(keyword, language if language in _REPLIES else DEFAULT_LOCALE, known=known, holds=holds)
    name = " ".join(sender_name.split())
    room = REPLY_CHARS_MAX - len(text) - len(": ")
    if len(name) > room:
        name = name[: room - 2].rstrip() + ".."
    return f"{name}: {text}" if name else text


def _text(keyword: Keyword, language: str, *, known: bool, holds: Holds) -> str:
    if holds is Holds.NOTHING and keyword in _OVERTAKEN[language]:
        return _OVERTAKEN[language][keyword]
    if holds is Holds.NOT_ALL_TOPICS and keyword is Keyword.START:
        return _NOT_ALL_TOPICS[language]
    if holds is Holds.NOT_ENFORCED and keyword is Keyword.STOP:
        return _NOT_ENFORCED[language]
    return _REPLIES[language][keyword, known]
