"""The meaning of an API's words: names and sentences that read, or change something.

The words are English; for names there are the plainest ones of some other languages, too
(`FOREIGN`). Names are split (`deleteUser`, `delete_user`, `delete-user`, `users.delete`), and a
verb counts where names have their verb: at the beginning or the end. `/orders/deleted`,
`/deletions` and `/resets` have none. The words were chosen by reading through the GET operations of
the 2,600 OpenAPI documents of APIs.guru.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from enum import IntEnum
from functools import lru_cache
from itertools import pairwise, takewhile
from urllib.parse import unquote


class Sign(IntEnum):
    """The effect of an operation, by its words."""

    NOTHING = 0
    READS = 1
    MAY_ACT = 2
    """They may be the name of a thing as well."""
    ACTS = 3


# --- the words ------------------------------------------------------------------------------------


def word_set(words: str) -> frozenset[str]:
    return frozenset(words.split())


FOREIGN = word_set("""
    abbestellen abbrechen abmelden aktivieren anlegen ausloggen bestaetigen bestatigen deaktivieren
    entfernen entsperren erstellen freischalten kuendigen kundigen leeren loesche loeschen loescht
    losche loschen loscht neustarten senden sperren speichern stornieren zuruecksetzen zurucksetzen
    activer annuler creer deconnecter deconnexion desabonner desactiver desinscrire effacer
    enregistrer envoyer redemarrer reinitialiser supprime supprimer vider activar actualizar anular
    apagar borra borrar cancelar cerrarsesion crear desactivar desuscribir elimina eliminar enviar
    guardar reiniciar restablecer salir vaciar atualizar ativar criar desativar excluir limpar
    redefinir remover sair salvar annulla annullare cancella cancellare creare disattivare
    disconnetti eliminare inviare rimuovere rimuovi svuota afmelden annuleren herstarten opzeggen
    uitloggen verstuur versturen verwijder verwijderen loggaut radera slett slette usun wyloguj
    anuluj выйти отменить сбросить удалить 删除 削除 重置 注销 退出 清空
""")
"""Verbs of other languages in paths and names, without accents: `/löschen/{id}` is `loschen`."""

VERBS = FOREIGN | word_set("""
    abort acknowledge activate add allocate anonymize append approve assign ban cancel cleanup clear
    confirm create deact deactivate deallocate deauth deauthenticate deauthorize decline
    decommission decrease decrement defragment del delete demote deprovision deregister destroy
    detach disable disassociate discard disconnect dismiss downvote drop eject enable endsession
    enqueue enroll erase evict execute expire expunge factoryreset finalize flush forget impersonate
    increase increment initiate insert install invalidate kick kill logmeout logoff logout mark
    markread migrate modify mutate mute nack notify nuke optin optout overwrite persist poweroff
    poweron provision prune publish purge pwreset reactivate reassign rebalance reboot rebuild
    recalc recalculate recompute reconcile recreate redeem redeliver redeploy regenerate rehash
    reindex reinstall reject reload remove rename renew reorder replace reprocess requeue rerun
    reschedule resend reset restart resubmit resume resync retry revert revoke rm rollback rotate
    selfdestruct send shutdown signoff signout submit subscribe suspend switchover synchronize
    teardown terminate toggle truncate turnoff turnon unarchive unassign unban unblock uncordon
    undelete undeploy undo unfollow unfreeze unhide uninstall unlink unlock unmark unmute unpause
    unpin unpublish unregister unreserve unstar unsub unsubscribe unsuspend upsert upvote wipe
    withdraw wpcron zap
""")
"""Infinitives that change something and are hardly ever nouns."""

VERBS_OR_NOUNS = word_set("""
    apply associate attach bookmark broadcast change clone commit configure connect copy deny deploy
    dispatch edit empty exec failover grant hide import invite join leave lock move pause pay pin
    promote put refund register restore run save set start stop swap sync trash trigger update
    upgrade upload vote write
""")
"""Those that name a thing as well: `/refund/{id}`, `/commit/{sha}`, `/stop/{id}`."""

_NOUNS_OR_VERBS = word_set("""
    archive backup block bump buy capture charge claim clean close complete dequeue downgrade email
    end exchange fail fire follow force freeze halt index indicate initialize kick like link merge
    open order play pop post process purchase push queue record refresh release schedule share star
    tag transfer
""")
"""Those that mostly name a thing: verbs only at the beginning of a sentence, before an article."""

_CALLS = word_set("accept clean invoke verify")
"""Those that act in a path, `/verify-email/{token}`; what a sentence says of them is harmless."""

_ALONE = word_set("""
    ack bump bust buy close cmd compact complete cordon crash cron drain eval exit follow freeze gc
    halt impersonate like merge off on panic pull push quit refresh reserve seed settle shell slo
    split sweep thaw tick touch unlike vacuum warm
""")
"""Those that act as a whole part of a path, and before an object: `/drain`, `/bust-cache`."""

AFTER_A_THING = _ALONE | word_set("""
    archive block capture claim clean downgrade exchange fail fire force initialize open purchase
    share star test transfer
""")
"""Those that act as the last part of a path, behind a parameter: `/orders/{id}/archive`."""

MONEY = word_set("buy capture charge payout purchase transfer withdrawal")
"""Those that move money: a mistake costs most there. They act as the last part of a path, and
before its last parameter, unless something else says that the operation reads."""

_AT_THE_END = VERBS | word_set(
    "deny edit exec hide pay register restore save start stop sync trash trigger update upgrade "
    "upload write"
)
"""Verbs that act at the end of a longer name, too: `contactsSync`. A `ReplicaSet` is a thing."""

_READING = word_set("""
    aggregate autocomplete browse calculate can check compare compute count describe detail details
    determine display download enumerate estimate exists explain export fetch filter find get has
    head inspect is list listing look lookup obtain peek poll preview provide query read resolve
    retreive retrieve return search should show stats status stream suggest summarize validate view
    will
""")

_READING_NOUNS = word_set("""
    check count detail details display download export filter list listing poll query search stats
    status stream
""")
"""Reading verbs that are a thing before another verb: `search_delete`."""

_TERMS = word_set("eligibility fee fees policies policy reason reasons window windows")
_RECORDS = word_set(
    "details histories history info log logs progress schedule schedules status statuses"
)

_RECORDED = word_set("""
    commit deploy dispatch exec grant import invite lock pay promote refund reindex restart restore
    retry run sync trigger upgrade upload vote
""")
_PROCESSES = _RECORDED | word_set("cancel confirm reset rollback send submit")
"""Verbs that terms and records make a thing of: `/reset-policy`, `/sync-status`. What others have
for an object, they act on: `/disable-policy`."""

_MANNERS = word_set("async batch bulk do factory force handle hard mass multi perform quick soft")
"""Words before a verb that leave it one: `/bulk-delete`."""

_WHOLES = word_set("all everything now")
"""Words behind a verb that leave it one: `/user_delete_all`."""

OBJECTS = word_set("""
    account accounts alarm alarms all basket bin cache cart comment comments config contact contacts
    counter counters cron customer customers data database db device devices email event events
    everything file files group groups image images index invoice invoices item items job jobs key
    keys mail member members message messages mode node order orders page password payment payments
    photo product products project projects queue record records role roles server service services
    session sessions subscription table task tasks token tokens trash user users video
""")
"""Objects that are written in one word with their verb: `/deleteuser`."""

_PREPOSITIONS = word_set("after as at before by for from here in of on per to via with")

_DETERMINERS = word_set("""
    a additional all an another any each every everything existing given her his it its multiple one
    our selected several single some specified that the their them this your
""")

_GERUNDS = frozenset(f"{verb.removesuffix('e')}ing" for verb in VERBS)

_ACTING = VERBS | VERBS_OR_NOUNS
_KNOWN = _ACTING | _CALLS | _NOUNS_OR_VERBS | _READING
_THIRD_PERSON = {
    third: verb
    for verb in sorted(_KNOWN)
    for third in (f"{verb}s", f"{verb}es", f"{verb.removesuffix('y')}ies")
    if third not in _KNOWN
}
"""Third person, and some words that nobody writes -> infinitive."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+")
_PART = re.compile(r"(?:[^\W\d]|-)+")


# --- names ----------------------------------------------------------------------------------------


def words_of(name: str) -> list[str]:
    """Return the words of a name, in lower case; a verb of two counts as one: `sign-out`."""
    joined: list[str] = []
    for word in _WORD.findall(_without_accents(name)):
        both = (joined[-1] if joined else " ") + word.lower()
        if both in _ACTING:
            joined[-1] = both
        else:
            joined.append(word.lower())
    return joined


def parts_of(path: str) -> Iterator[str]:
    """Yield the names in a path, without its parameters: `/users/{id}:cancel` has two."""
    plain = _without_accents(unquote(unquote(path)))
    for part in _PART.findall(re.sub(r"\{[^{}]*\}", "/", plain)):
        if stripped := part.strip("-_"):
            yield stripped


def _without_accents(text: str) -> str:
    """Return `text` without accents: `löschen` as `loschen`, wide letters as narrow ones."""
    if text.isascii():
        return text
    kept = (one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one))
    return "".join(kept)


def is_plural(word: str) -> bool:
    return word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3


def names_things(word: str) -> bool:
    """Return True if a path that ends in this word returns a list, a record or a figure."""
    return word in _RECORDS | _TERMS | _READING or is_plural(word)


@lru_cache(2048)
def sign_of_part(part: str) -> Sign:
    """Return the effect that a part of a path suggests."""
    return sign_of_name(words_of(part), spaced="-" in part or "_" in part)


def sign_of_name(words: Sequence[str], *, spaced: bool = True) -> Sign:
    """Return the effect that a name suggests, by the verb at its beginning or end.

    spaced: they are written apart; `sendLogs` is a call, `send-logs` may be a list.
    """
    while len(words) > 1 and words[0] in _MANNERS:
        words = words[1:]
    while len(words) > 1 and words[-1] in _WHOLES:
        words = words[:-1]
    if not words:
        return Sign.NOTHING
    first, last = words[0], words[-1]
    if len(words) == 1 and first in _GERUNDS:  # `/deleting/{id}`
        return Sign.MAY_ACT
    if first in _ALONE and (
        len(words) == 1 or (len(words) == 2 and last in OBJECTS and not is_plural(last))
    ):
        return Sign.MAY_ACT
    if first in _READING:
        if any(one == "and" and other in VERBS for one, other in pairwise(words)):
            return Sign.ACTS
        is_object = first in _READING_NOUNS and last in VERBS and words[-2] not in _PREPOSITIONS
        return Sign.MAY_ACT if is_object else Sign.READS
    if verb := _verb(first):
        if verb not in VERBS and last in _READING - _READING_NOUNS:
            return Sign.READS  # `ExecInspect`
        rest = list(takewhile(lambda word: word not in _PREPOSITIONS, words[1:]))
        return Sign.NOTHING if _is_thing(verb, rest, spaced=spaced) else Sign.ACTS
    if last in _READING:
        return Sign.READS
    if _verb(last) in _AT_THE_END and len(words) > 1 and words[-2] not in _PREPOSITIONS:
        return Sign.MAY_ACT
    return Sign.NOTHING


def sign_of_id(identity: str, path: str) -> Sign:
    """Return the effect that an operation id suggests; none if it repeats method and path."""
    slug = re.sub(r"\W", "_", path)
    for suffix in (f"{slug}_get", "UsingGET", "UsingHEAD"):  # FastAPI, Springfox
        identity = identity.removesuffix(suffix)
    identity = re.sub(r"^GET[_-]", "", identity)
    piece = re.split(r"[/.:#]", identity)[-1]
    chunks = [words_of(chunk) for chunk in piece.split("_")]
    words, last = words_of(identity), chunks[-1]
    if not words:
        return Sign.NOTHING
    plain = "".join(words_of(" ".join(parts_of(path))))
    if words[0] == "get" and plain.endswith("".join(words[1:])):
        return Sign.NOTHING
    for named in (last, words_of(piece), words):
        if len(named) > 1 and named[0] in _READING:
            return sign_of_name(named)
    if ["get"] in chunks[:-1] or (len(words) > 2 and words[1] == "get"):
        return Sign.READS  # `functions_get_trigger`, `notifyGetList`
    if words[-1] in _READING and words[0] not in _ACTING:
        # Frameworks add `_list` and `_retrieve` to whatever a GET is.
        return min(sign_of_name(words[:-1]), Sign.MAY_ACT)
    sign = max(sign_of_name(words), sign_of_name(words_of(piece)), sign_of_name(last))
    if VERBS.isdisjoint((words[0], *last[:1])):
        return min(sign, Sign.MAY_ACT)  # `StopPoint_Route`
    return sign


def says_it_reads(identity: str) -> bool:
    """Whether an operation id begins with a reading verb: `getTransfer`."""
    return bool(words := words_of(identity)) and words[0] in _READING


def _verb(word: str) -> str:
    """Return the acting verb that a word is, or with which it is compounded; "" for none."""
    if word in _ACTING or word in _CALLS:
        return word
    for end in range(3, len(word) - 1):
        start, rest = word[:end], word[end:]
        if rest in OBJECTS and start in _ACTING:
            return start
        if start in OBJECTS and rest in VERBS:
            return rest
    return ""


def _is_thing(verb: str, rest: Sequence[str], *, spaced: bool = True) -> bool:
    """Return True if the words after a verb make it the name of a thing."""
    if not rest:
        return False
    if rest[-1] in _TERMS:
        return verb in _PROCESSES
    if rest[-1] in _RECORDS:
        is_sent = spaced and verb == "send" and rest[-1] in ("log", "logs", "history")
        return verb in _RECORDED or is_sent
    return False


# --- sentences ------------------------------------------------------------------------------------

_FILLER = re.compile(
    r"""\W+|(?:deprecated|beta|alpha|experimental|internal|note)\b\W*
    |(?:this|the)\s+(?:[\w-]+\s+)?(?:api|call|endpoint|function|method|operation|request|resource|
        route|service|url)\s+
    |(?:causes?|does|performs?|requests?)\s+(?:an?|the)\s+
    |(?:use|call)\s+this\s+(?:[\w-]+\s+)?to\s+
    |(?:(?:will|can|may|is|be|which|that)\s+)?used\s+to\s+
    |(?:will|can|may|is|be|which|that|also)\s+
    |(?:allows?|lets?|enables?)\s+(?:you|users?|one|us|the\s+\w+|an?\s+\w+)\s+(?:to\s+)?""",
    re.VERBOSE | re.IGNORECASE,
)
"""What a sentence may begin with before its verb: "This endpoint is used to delete …"."""

_THIS = re.compile(r"[.!?]\s+(?=this (?:api|call|endpoint|method|operation|request)\b)", re.I)

_APART = re.compile(
    r"(?:(log|sign)(?:s|ed|ing)? (?:\w+ ){0,3}(?:out|off)"
    r"|shuts? (?:\w+ ){0,4}down|(turn|switch|power)s? (?:\w+ ){0,4}(?:on|off))\b"
)
"""Verbs with their objects in between: "Logs the user out"."""

_QUERIED = word_set("execute invoke run")
_QUERIES = word_set("function queries query search")
"""What is run and only reads, OData's functions among it."""


_PLURALS = word_set("drop evict install kick kill reload replace reset restart rotate toggle")
"""Verbs whose third person is the plural of a thing: "Toggles"."""


def _is_adverb(word: str) -> bool:
    """Return True if it may precede a verb: "Permanently deletes", but not "Daily report"."""
    return word.endswith("ly") and word not in _NO_ADVERBS


_NO_ADVERBS = word_set("""
    anomaly apply assembly daily early family hourly monthly only quarterly reply supply weekly
    yearly
""")


def first_sentence(text: str) -> str:
    """Return the first sentence, without markup."""
    plain = re.sub(r"<[^>]*>", " ", text[:1000])
    plain = re.sub(r"^\s*(?:\[[^\]]*\]|\w+:(?=\s))", " ", plain)  # "[Admin]", "Admin:"
    plain = re.sub(r"[*`_#>\[\]]+", " ", plain).strip()
    return " ".join(re.split(r"[.!?:;](?:\s|$)|\n\s*\n|\s[-\u2013\u2014]\s", plain)[0].split())


def sign_of_text(text: str) -> Sign:
    """Return the effect that a summary or a description suggests.

    It is read from the verb at the beginning, and those of later sentences on "this request".
    """
    text = _without_accents(text[:1000])
    first = _sign_of_sentence(first_sentence(text))
    for later in _THIS.split(text)[1:]:
        if _sign_of_sentence(first_sentence(later)) is Sign.ACTS:
            return Sign.ACTS
    return first


def _sign_of_sentence(sentence: str) -> Sign:
    sign = _sign_of_beginning(sentence)
    return Sign.MAY_ACT if sign is Sign.NOTHING and _mentions_action(sentence) else sign


_NAMES = word_set("logoff logout poweroff reboot restart shutdown signout unsubscribe")
"""What a title of a few words may end with, beside `_NOUNS`."""

_NOUNS = word_set("cancellation deactivation deletion removal revocation termination")


def _mentions_action(sentence: str) -> bool:
    """Return True if a sentence with another beginning contains an action and its object.

    "If the token is valid, deletes the user", "Endpoint to delete a user", "Removal of an item".
    """
    words = [word.lower() for word in re.findall(r"[^\W\d_]+", sentence)][:40]
    if 1 < len(words) <= 3 and words[-1] in _NAMES | _NOUNS:  # "User logout", "User deletion"
        return True
    for before, word, after in zip(["", *words], words, words[1:], strict=False):
        has_object = after in _DETERMINERS and after != "that"
        if has_object:
            verb, is_third = _infinitive(word)
            if verb in VERBS and (is_third or before == "to"):
                return True
        if word in _GERUNDS and (before == "for" or (has_object and not before)):
            return True
        if word in _NOUNS and after == "of" and before in ("", "for", "triggers"):
            return True
    return False


def _sign_of_beginning(sentence: str) -> Sign:
    while filler := _FILLER.match(sentence):
        sentence = sentence[filler.end() :]
    words = [word.lower() for word in re.findall(r"[^\W\d_]+", sentence)][:40]
    if not words:
        return Sign.NOTHING
    if _APART.match(" ".join(words[:8])):
        return Sign.ACTS
    while len(words) > 1 and (words[0] in _MANNERS or _is_adverb(words[0])):
        words = words[1:]
    if len(words) > 1 and words[0] + words[1] in VERBS:
        words = [words[0] + words[1], *words[2:]]
    verb, is_third = _infinitive(words[0])
    following = words[1] if len(words) > 1 else ""
    if verb in _KNOWN and _acts_as_well(words, is_third=is_third):
        return Sign.ACTS
    if verb in _READING:
        return Sign.READS
    if verb in _QUERIED and not _QUERIES.isdisjoint(words[1:6]):
        return Sign.READS
    if (verb in _ACTING or verb in _NOUNS_OR_VERBS) and following in _DETERMINERS:
        return Sign.ACTS
    if verb in VERBS and following in _PREPOSITIONS:
        is_thing = following == "of" or (is_third and verb in _PLURALS)
        return Sign.NOTHING if is_thing else Sign.ACTS
    if verb not in _ACTING or following in _PREPOSITIONS:
        return Sign.NOTHING
    if is_third and verb in VERBS:
        return Sign.ACTS if following or verb not in _PLURALS else Sign.NOTHING
    head = list(takewhile(lambda word: word not in _PREPOSITIONS, words[1:]))
    if _is_thing(verb, head):
        return Sign.NOTHING
    if is_third:
        return Sign.MAY_ACT if following and not names_things(following) else Sign.NOTHING
    return Sign.ACTS if verb in VERBS or not head or not is_plural(head[-1]) else Sign.MAY_ACT


def _infinitive(word: str) -> tuple[str, bool]:
    """Return a verb without the ending of its third person, and True if it had one."""
    return (_THIRD_PERSON[word], True) if word in _THIRD_PERSON else (word, False)


def _acts_as_well(words: Sequence[str], *, is_third: bool) -> bool:
    """Return True if a sentence that begins with reading acts too: "Returns a job and locks it"."""
    following = zip(words, words[1:], [*words[2:], "it"], strict=False)
    for number, (before, word, after) in enumerate(following):
        verb, third = _infinitive(word)
        goes_on = before in ("and", "then") and verb in _ACTING and third is is_third
        if goes_on and (number == 1 or after in _DETERMINERS):  # "Fetch and lock jobs"
            return True
    return False
