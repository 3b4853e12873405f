"""Words by which a reasonable person asks to get no more messages (47 CFR 64.1200(a)(10)), in a text message or a mail.

In doubt it is an opt-out: the message is short and has such a phrase that is not negated. A long one is about something else.
"""

from collections.abc import Iterator

from domain.sms_keywords import Keyword, keyword_of, words_of

_PHRASES = frozenset(
    words_of(phrase)
    for phrase in (
        *("unsubscribe", "please stop", "stop please", "opt me out", "opt out", "opting out"),
        *(
            "stop sending",
            "stop texting",
            "stop messaging",
            "stop emailing",
            "stop mailing",
            "stop writing",
            "stop spamming",
        ),
        *("stop contacting", "stop these messages", "stop all messages", "stop the messages", "stop your messages"),
        *("stop these emails", "stop all emails", "stop the emails", "stop your emails", "stop all communication"),
        *("take me off", "take my name off", "take my email off", "take my number off", "take my address off"),
        *("remove me", "remove my email", "remove my address", "remove my number", "remove my name", "delete me"),
        *("do not send me", "don t send me", "dont send me", "do not email me", "don t email me", "dont email me"),
        *(
            "do not text me",
            "don t text me",
            "dont text me",
            "do not contact me",
            "don t contact me",
            "dont contact me",
        ),
        *(
            "do not write to me",
            "don t write to me",
            "no more emails",
            "no more messages",
            "no more texts",
            "no more mail",
        ),
        *("do not want your emails", "don t want your emails", "don t want these emails", "do not want these emails"),
        *("leave me alone", "lose my number", "withdraw my consent", "revoke my consent"),
        *(
            "melden sie mich ab",
            "melde mich ab",
            "meldet mich ab",
            "abmelden",
            "abmeldung",
            "abbestellen",
            "ich bestelle ab",
        ),
        *(
            "tragen sie mich aus",
            "trag mich aus",
            "austragen",
            "keine mails mehr",
            "keine e mails mehr",
            "keine emails mehr",
        ),
        *("keine nachrichten mehr", "keine werbung mehr", "keine newsletter mehr", "keinen newsletter mehr"),
        *(
            "keine weiteren mails",
            "keine weiteren e mails",
            "keine weiteren nachrichten",
            "bitte stoppen",
            "stoppen sie",
        ),
        *("nehmen sie mich aus", "löschen sie mich", "streichen sie mich", "schreiben sie mir nicht mehr"),
        *("widerrufe meine einwilligung", "hören sie auf"),
        *("désabonnez moi", "désabonner", "désabonnement", "désinscrivez moi", "désinscrire", "désinscription"),
        *(
            "retirez moi",
            "enlevez moi",
            "supprimez moi",
            "arrêtez de m envoyer",
            "arrêtez de m écrire",
            "arrêtez s il vous plaît",
        ),
        *("ne m envoyez plus", "ne m écrivez plus", "ne me contactez plus", "ne plus recevoir", "plus de messages"),
        *("plus de mails", "plus d e mails", "plus d emails", "stop svp"),
        *(
            "dar de baja",
            "darme de baja",
            "darse de baja",
            "denme de baja",
            "dame de baja",
            "deme de baja",
            "dadme de baja",
        ),
        *("cancelar suscripción", "cancelar la suscripción", "cancelar mi suscripción", "anular suscripción"),
        *(
            "dejen de enviar",
            "deje de enviar",
            "deja de enviar",
            "dejen de enviarme",
            "deje de enviarme",
            "deja de enviarme",
        ),
        *("dejen de escribirme", "no me envíen más", "no me envíe más", "no me envíes más", "no me escriban más"),
        *("no quiero más mensajes", "no quiero más correos", "no quiero recibir", "no más mensajes", "no más correos"),
        *("quítenme", "elimínenme", "bórrenme"),
        *(
            "إلغاء الاشتراك",
            "الغاء اشتراكي",
            "ألغوا اشتراكي",
            "ألغ اشتراكي",
            "الغي اشتراكي",
            "أوقفوا الرسائل",
            "أوقف الرسائل",
        ),
        *("لا ترسلوا", "لا ترسل لي", "لا أريد رسائل", "لا أريد رسائلكم", "احذفوني", "احذفني", "توقفوا عن"),
    )
)
_PHRASE_WORDS_MAX = max(map(len, _PHRASES))
# Only what says that the person does not want out: who could not, or did not know how to, does.
_NEGATIONS = tuple(
    words_of(words)
    for words in ("do not", "don't", "dont", "did not", "didn't", "didnt", "never", "bitte nicht", "do not want to",
                  "don't want to", "dont want to")
)  # fmt: skip
SMS_WORDS_MAX = 25


def keyword_of_text_message(text: str) -> Keyword | None:
    """The keyword that a text message is, or means: one that asks to stop in other words is a STOP."""
    keyword = keyword_of(text)
    return Keyword.STOP if keyword is None and asks_to_stop(text, words_max=SMS_WORDS_MAX) else keyword


def asks_to_stop(text: str, *, words_max: int) -> bool:
    """Whether a text of at most so many words asks for no more messages."""
    words = words_of(text)
    return len(words) <= words_max and any(not _negated(words[:place]) for place in _found(words))


def _found(words: tuple[str, ...]) -> Iterator[int]:
    """Where a phrase begins."""
    for place in range(len(words)):
        if any(words[place : place + length] in _PHRASES for length in range(1, _PHRASE_WORDS_MAX + 1)):
            yield place


def _negated(before: tuple[str, ...]) -> bool:
    return any(before[-len(negation) :] == negation for negation in _NEGATIONS)
