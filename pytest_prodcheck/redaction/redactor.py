"""Redaction of known secret values from everything that a run writes, prints or sends.

A secret is found in any usual encoding, and so is any fragment of it with `SIZE` or more
characters: reports cut, wrap and quote texts in too many ways to list. So a text is searched for
windows of `SIZE` characters of each secret and each form of it (see `encodings`), and the text
they cover is replaced by `${NAME}`, or by `***` where the secret has no name.

Two things are not masked on purpose, so that a report stays readable. A fragment with fewer than
`LEAST` characters outside ordinary words (`production` in the secret `production-4f9c...`) reveals
nothing. And in a URL or a connection string the password is secret, the host name is not; all of
it is masked if it contains the password. A value of ordinary words only is masked where it occurs
in full.
"""

import logging
import re
import traceback
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pytest_prodcheck.redaction import sanitize, secret_shapes
from pytest_prodcheck.redaction.decode import LAYERS, decoded_stretches
from pytest_prodcheck.redaction.encodings import (
    forms,
    is_credential_name,
    is_plain_words,
    readings,
    revealing_windows,
    secret_parts,
)

if TYPE_CHECKING:
    from pytest_prodcheck.config import Secret

SIZE = 8
"""Characters of the shortest secret, and of the shortest fragment of one, that is masked."""

LEAST = 4
"""Characters of a fragment that have to be outside of ordinary words."""

_GRAM = 4
"""Bytes of the aligned words of the quick search: a window of 8 contains one wherever it starts."""

_LEAST_WHOLE = 6
"""Characters, without white space, of the shortest value that is searched for in full."""

MOST_LEARNT = 64
"""Secrets known by their shape alone that are searched for in other forms too: each takes memory,
and a target can send any number. All others are masked only as they are."""

LONGEST_LEARNT = 4096
"""Characters of the longest of those."""

_UNNAMED = "***"
_NAME = re.compile(r"(?:\$\{)?([A-Za-z_][A-Za-z0-9_]*)(?:\})?")

Span = tuple[int, int, str]
"""Start, end and mask."""


class Redactor:
    """The secrets learnt so far, to be masked in texts and in plain data."""

    __slots__ = ("_by_shape", "_checked", "_grams", "_masks", "_weak", "_wholes")

    def __init__(self, values: Iterable[tuple[str, str]] = ()) -> None:
        """Learn `values`, pairs of a secret and its name (`PROD_TOKEN` or `${PROD_TOKEN}`)."""
        self._masks: dict[str, str] = {}
        """Window that reveals a secret -> its mask."""
        self._weak: set[str] = set()
        """Windows that are masked only next to one that reveals a secret."""
        self._wholes: dict[str, str] = {}
        """Secrets of ordinary words, searched for in full."""
        self._grams: set[int] = set()
        self._checked: dict[str, str] = {}
        """Mask -> the text that is shown for it."""
        self._by_shape: set[str] = set()
        for value, name in values:
            self.learn(value, name)

    def __repr__(self) -> str:
        return f"Redactor({len(set(self._masks.values()) - {_UNNAMED})} names)"

    def __reduce__(self) -> Any:
        raise TypeError("a Redactor holds secrets and is not serialised; build another one")

    def learn(self, value: str, name: str = _UNNAMED) -> None:
        """Mask `value` from now on.

        A value of fewer than `SIZE` characters is ignored, since masking it would make every text
        unreadable; the configuration refuses such secrets.
        """
        value = value.strip()
        if len(value) < SIZE:
            return
        named = _NAME.fullmatch(name)
        mask = f"${{{named[1]}}}" if named else _UNNAMED
        self._checked.clear()
        alone, in_full = secret_parts(value)
        for part in alone:
            for form in forms(part):
                self._add(form, mask)
        for whole in in_full:
            for form in forms(whole):
                for reading in readings(form):
                    self._add_whole(reading.text, mask)
        if alone != [value]:
            for reading in readings(value):
                self._weak.update(_windows(reading.text))

    def _add(self, form: str, mask: str) -> None:
        for reading in readings(form):
            read = reading.text
            starts = revealing_windows(read, SIZE, LEAST)
            if not starts:
                self._add_whole(read, mask)
                continue
            windows = _windows(read)
            for start in starts:
                self._masks.setdefault(windows[start], mask)
            self._weak.update(window for window in windows if window not in self._masks)
            raw = _latin1_bytes(read)
            for shift in range(_GRAM):
                whole_words = (len(raw) - shift) // _GRAM * _GRAM
                self._grams.update(array("I", raw[shift : shift + whole_words]))

    def _add_whole(self, read: str, mask: str) -> None:
        if len(read) >= _LEAST_WHOLE:
            self._wholes.setdefault(read, mask)

    def _safe_mask(self, mask: str) -> str:
        """Return `mask`; `***` if it reveals a part of a secret.

        PROD_TOKEN_1 does so if its value is `prod_token_1`.
        """
        if mask not in self._checked:
            self._checked[mask] = _UNNAMED if self._spans(mask) else mask
        return self._checked[mask]

    def text(self, value: str) -> str:
        """Return `value` with every secret in it masked; the same object if there is none."""
        spans = self._spans(value)
        if not spans:
            return value
        pieces: list[str] = []
        at = 0
        for start, end, mask in _joined(spans):
            pieces += (value[at:start], self._safe_mask(mask))
            at = end
        pieces.append(value[at:])
        return "".join(pieces)

    def finds(self, value: str) -> bool:
        """Return True when `text` would change `value`."""
        return bool(secret_shapes.places(value)) or self._contains_learnt(value)

    def _contains_learnt(self, value: str, layers: int = LAYERS) -> bool:
        """Return True if a text contains a secret that was learnt."""
        if len(value) < _LEAST_WHOLE or not (self._masks or self._wholes):
            return False
        return any(self._find(reading.text) for reading in readings(value)) or any(
            self._contains_learnt(inner, layers - 1)
            for _, _, inner in decoded_stretches(value)
            if layers
        )

    def data(self, value: Any) -> Any:
        """Return plain data with every secret masked, in keys too.

        It is the same object if there is none. An integer that is a secret becomes its mask, and
        so does an object of another type whose text contains a secret.
        """
        texts = sanitize.joined_texts(value)
        if texts is not None and not self.finds(texts):
            return value
        return sanitize.walk(value, self._clean)

    def _clean(self, leaf: Any) -> Any:
        if isinstance(leaf, str):
            return self.text(leaf)
        if leaf is None or isinstance(leaf, bool | float):
            return leaf
        if isinstance(leaf, int) and leaf.bit_length() > 4096:
            return leaf  # Python would refuse to convert it to text
        as_text = str(leaf)
        cleaned = self.text(as_text)
        return leaf if cleaned == as_text else cleaned

    def _spans(self, value: str) -> list[Span]:
        if len(value) < _LEAST_WHOLE:
            return []
        spans = self._learnt_spans(value)
        # A variable's name is more useful than `***`, so a shape that it mostly covers is left.
        shaped = [
            (start, end, _UNNAMED)
            for start, end in secret_shapes.places(value)
            if _uncovered(start, end, spans) >= min(SIZE, end - start)
        ]
        for start, end, _ in shaped:
            self._learn_by_shape(value[start:end])
        return spans + shaped

    def _learnt_spans(self, value: str) -> list[Span]:
        spans: list[Span] = []
        if not (self._masks or self._wholes):
            return spans
        for reading in readings(value):
            found = self._find(reading.text)
            if found:
                spans += reading.origin(found)
        # A secret that is encoded once is found directly, with its exact place.
        spans += [
            (start, end, _UNNAMED)
            for start, end, inner in decoded_stretches(value)
            if _uncovered(start, end, spans) == end - start
            and self._contains_learnt(inner, LAYERS - 1)
        ]
        return spans

    def _learn_by_shape(self, secret: str) -> None:
        """Mask the other forms of a secret, and fragments of it, from now on."""
        if (
            len(self._by_shape) < MOST_LEARNT
            and len(secret) <= LONGEST_LEARNT
            and secret not in self._by_shape
            and secret_shapes.is_distinctive(secret)
        ):
            self._by_shape.add(secret)
            self.learn(secret)

    def _find(self, read: str) -> list[Span]:
        found = [
            (start, end, masks.most_common(1)[0][0])
            for start, end, masks in self._stretches(read, self._revealing_places(read))
        ]
        for whole, mask in tuple(self._wholes.items()):  # another thread may learn
            start = read.find(whole)
            while start >= 0:
                found.append((start, start + len(whole), mask))
                start = read.find(whole, start + len(whole))
        return [self._extended(read, *span) for span in found]

    def _extended(self, read: str, start: int, end: int, mask: str) -> Span:
        """Return the span, extended by the parts of a secret next to it."""
        while start and self._is_known(read[start - 1 : start - 1 + SIZE]):
            start -= 1
        while end < len(read) and self._is_known(read[end + 1 - SIZE : end + 1]):
            end += 1
        return start, end, mask

    def _revealing_places(self, read: str) -> list[int]:
        """Return the starts of the windows that reveal a secret, in order."""
        raw = _latin1_bytes(read)
        words = array("I", raw + bytes(-len(raw) % _GRAM))
        if self._grams.isdisjoint(words):
            return []
        grams, masks = self._grams, self._masks
        return [
            place
            for at, word in enumerate(words)
            if word in grams
            for place in range(max(0, at * _GRAM - _GRAM + 1), at * _GRAM + 1)
            if read[place : place + SIZE] in masks
        ]

    def _stretches(self, read: str, places: list[int]) -> Iterator[tuple[int, int, Counter[str]]]:
        """Yield start, end and masks of each stretch that the windows at `places` cover."""
        start = end = -1
        masks = Counter[str]()
        for place in places:
            mask = self._masks[read[place : place + SIZE]]
            # Two adjacent secrets keep their two names.
            if place > end or (place == end and mask not in masks):
                if masks:
                    yield start, end, masks
                start, masks = place, Counter()
            masks[mask] += 1
            end = place + SIZE
        if masks:
            yield start, end, masks

    def _is_known(self, window: str) -> bool:
        return window in self._weak or window in self._masks


def _windows(read: str) -> list[str]:
    return [read[start : start + SIZE] for start in range(len(read) - SIZE + 1)]


def _latin1_bytes(read: str) -> bytes:
    """Return one byte per character, so that places agree, for a first quick search."""
    return read.encode("latin-1", "replace")


def _uncovered(start: int, end: int, spans: list[Span]) -> int:
    """Return the length of the longest stretch from `start` to `end` that no span covers."""
    longest, at = 0, start
    for first, last, _ in sorted(spans):
        if last > at and first < end:
            longest, at = max(longest, first - at), last
    return max(longest, end - at)


def _joined(spans: list[Span]) -> list[Span]:
    """Return the spans of several readings in order, with overlapping ones merged."""
    joined: list[Span] = []
    for start, end, mask in sorted(spans):
        if joined and (start < joined[-1][1] or (start == joined[-1][1] and mask == joined[-1][2])):
            first, last, known = joined[-1]
            joined[-1] = (first, max(last, end), mask if known == _UNNAMED else known)
        else:
            joined.append((start, end, mask))
    return joined


def scrub(value: Any, redactor: Redactor, limit: int = sanitize.LIMIT) -> Any:
    """Return plain data that is safe to write anywhere: redacted, sanitized, cut to `limit`.

    In this order: a text cut first could end in the first seven characters of a secret. A string
    gives a string. `value` itself is returned when nothing in it needs a change.
    """
    texts = sanitize.joined_texts(value)  # one search for both: nearly every report is clean
    clean = texts is not None and not redactor.finds(texts)
    if clean and texts is not None and len(texts) <= limit and sanitize.is_harmless(texts):
        return value
    return sanitize.data(value if clean else redactor.data(value), limit)


# --- credentials that are not configured ----------------------------------------------------------

_LOGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#\s@:]*:[^/?#\s]+|[^/?#\s@]{16,})@")
_PATH = re.compile(r"(?:~|\.{1,2})?/|[A-Za-z]:\\|file:|unix:|[^=]*[=@]/")
# Base64 may begin with a slash; a directory is hardly ever called 7xKd02LqPw9ZmT4c.
_RANDOM = re.compile(r"(?=[A-Z\d]*[a-z])(?=[a-z\d]*[A-Z])(?=[A-Za-z]*\d)[A-Za-z\d]{16,}")
_NUMBER = re.compile(r"[\d.,:+_-]+")


def redactor_of(secrets: "Iterable[Secret]", environ: Mapping[str, str]) -> Redactor:
    """Return a Redactor of the configuration's secrets and the environment's likely credentials."""
    known = [(secret.reveal(), secret.name) for secret in secrets]
    return Redactor([*known, *from_environment(environ)])


def from_environment(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return (value, name) of the variables that look like credentials, for `Redactor`.

    Either the value is a URL with a login, or the name is that of a credential (`API_KEY`,
    `DB_PASSWORD`) and the value could be one: at least `SIZE` characters, and not a path, number,
    word, host name or URL without credentials. A password that is one lower-case word is
    therefore not found here; name it in the configuration, which accepts any. From any other
    variable, the parts with the shape of a secret are returned.
    """
    found: list[tuple[str, str]] = []
    for name, value in environ.items():
        if len(value.strip()) < SIZE:
            continue
        if _LOGIN.match(value) or (is_credential_name(name) and _may_be_secret(value.strip())):
            found.append((value, name))
        else:
            secrets = (value[start:end] for start, end in secret_shapes.places(value))
            found += ((secret, name) for secret in secrets if secret_shapes.is_distinctive(secret))
    return found


def _may_be_secret(value: str) -> bool:
    if (_PATH.match(value) and not _RANDOM.search(value)) or _NUMBER.fullmatch(value):
        return False
    if "://" in value:
        return secret_parts(value) != ([], [value])
    return not is_plain_words(value)


# --- logging --------------------------------------------------------------------------------


# Logged before the credentials in a response's headers can have been learnt.
_RESPONSE_HEADERS = re.compile(
    r"(receive_response_headers\.complete return_value=[^\[]*)\[.*\]", re.DOTALL
)


def guard_logging(redactor: Redactor) -> Callable[[], None]:
    """Redact every log record of this process when it is made; return the function that stops it.

    It works below all handlers and formatters, whoever installs them. The values of `extra=` are
    added to a record later and are not covered.
    """
    make = logging.getLogRecordFactory()
    active = True

    def make_safe(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        if active:
            if record.name.startswith("httpcore"):
                record.msg = _RESPONSE_HEADERS.sub(r"\1[...]", str(record.msg))
            _clean_message(record, redactor)
            _clean_trace(record, redactor)
        return record

    def undo() -> None:
        nonlocal active
        active = False
        # A factory that was installed after ours still calls it; then it stays, but inactive.
        if logging.getLogRecordFactory() is make_safe:
            logging.setLogRecordFactory(make)

    logging.setLogRecordFactory(make_safe)
    return undo


def _clean_message(record: logging.LogRecord, redactor: Redactor) -> None:
    try:
        message = record.getMessage()
    except Exception:  # as logging does, which would print the arguments to stderr
        message = f"{record.msg} {record.args!r}"
    arguments = record.args.values() if isinstance(record.args, Mapping) else record.args or ()
    texts = [message, *(each for argument in arguments for each in _texts_of(argument))]
    if any(redactor.text(each) is not each for each in texts):
        record.msg = redactor.text(message)
        record.args = ()


def _texts_of(argument: object) -> tuple[str, ...]:
    if argument is None or isinstance(argument, int | float):
        return ()
    if isinstance(argument, str):
        return (argument,)
    try:
        return str(argument), repr(argument)
    except Exception:  # an object without a text reveals nothing
        return ()


def _clean_trace(record: logging.LogRecord, redactor: Redactor) -> None:
    if record.exc_info and record.exc_info[0] is not None:
        trace = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        cleaned = redactor.text(trace)
        if cleaned is not trace:
            record.exc_text, record.exc_info = cleaned, None
    if record.stack_info:
        record.stack_info = redactor.text(record.stack_info)
