"""The variables `${VAR}` of the chosen target, and all secrets, for the redactor."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from pytest_prodcheck.config.config_file import ConfigFile, spell
from pytest_prodcheck.config.settings import Secret
from pytest_prodcheck.config.validation import Keys
from pytest_prodcheck.errors import UsageError

LEAST = 8
"""Characters of the shortest secret: masking a shorter one would also mask ordinary words."""

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_CREDENTIAL_NAME = re.compile(
    r"(^|[-_])(auth|authorization|cookie|credentials?|jwt|otp|passw(or)?d|secret|session|sid"
    r"|signature|token|((access|api|functions|private|subscription)[-_]?key))($|[-_])",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"(Basic|Bearer|Token|ApiKey|JWT|Digest|Negotiate)\s+(\S+)", re.IGNORECASE)
_USERINFO = re.compile(r"[a-z][a-z0-9+.-]*://([^/?#]*?):([^/?#]+)@([^/?#]*)/?([^?#]*)", re.I)
_PASSWORD = re.compile(r"[?&](?:ssl)?(?:password|passwd|pwd|token|secret)=([^&#]+)", re.IGNORECASE)
_SCHEME_AND_VARIABLE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]* +\$\{[A-Za-z_][A-Za-z0-9_]*\}")


class Variables:
    """The environment variables that one configuration file uses.

    Only these are read, and no message shows a value.
    """

    def __init__(self, file: ConfigFile, environ: Mapping[str, str]) -> None:
        self._file = file
        self._environ = environ
        self._secrets: dict[str, Secret] = {}

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Return every secret so far, each value once."""
        return tuple(self._secrets.values())

    def text(self, template: str, keys: Keys) -> str:
        """Return the template with its variables filled in; raises UsageError with the key."""
        if "${" in _VARIABLE.sub("", template):
            raise self._file.error(
                keys, "has ${ without a variable's name and }; write it like ${PROD_TOKEN}"
            )
        return _VARIABLE.sub(lambda match: self._value(match[1], keys), template)

    def secret(self, template: str, keys: Keys) -> Secret:
        """Return the filled-in template as a Secret, and remember the secrets inside it."""
        value = self.text(template, keys)
        names = _VARIABLE.findall(template)
        label = " ".join(f"${{{name}}}" for name in names) or spell(keys)
        for name in names:
            self._remember(self._environ[name], f"${{{name}}}", keys)
        for part in _secrets_inside(value):
            self._remember(part, f"password in {label}", keys)
        if not _SCHEME_AND_VARIABLE.fullmatch(template):  # a scheme is public, and may be shown
            self._remember(value, label, keys)
        return Secret(value, label, template if names else "")

    def url(self, template: str, keys: Keys) -> Secret:
        """Return the filled-in URL of a database as a Secret.

        Only its password, and a query parameter with such a name, is a secret: a variable with the
        user, the host or the name of the database is not.
        """
        value = self.text(template, keys)
        names = _VARIABLE.findall(template)
        label = " ".join(f"${{{name}}}" for name in names) or spell(keys)
        inside = list(_secrets_inside(value))
        for name in names:
            if self._environ[name] in (value, *inside):
                self._remember(self._environ[name], f"${{{name}}}", keys)
        for part in inside:
            self._remember(part, f"password in {label}", keys)
        self._remember(value, label, keys)
        return Secret(value, label)

    def header(self, name: str, template: str, keys: Keys) -> str | Secret:
        """Return the value of a header to send: a Secret if it has a variable or a telltale name.

        An empty value leaves out the target's header of that name.
        """
        if not template or not (_VARIABLE.search(template) or _CREDENTIAL_NAME.search(name)):
            return self.text(template, keys)
        secret = self.secret(template, keys)
        if name.lower() == "cookie":
            for pair in secret.reveal().split(";"):
                crumb = pair.partition("=")[2].strip()
                if len(crumb) >= LEAST:  # a shorter one is a preference rather than a session
                    self._secrets.setdefault(crumb, Secret(crumb, secret.name))
        return secret

    def _value(self, name: str, keys: Keys) -> str:
        value = self._environ.get(name)
        if value is not None and value.strip():
            return value
        state = "is not set" if value is None else "is only white space" if value else "is empty"
        raise self._file.error(
            keys, f"${{{name}}} {state}; export {name} before the run, or choose another target"
        )

    def _remember(self, value: str, name: str, keys: Keys) -> None:
        if value != value.strip():
            raise self._error(keys, name, "begins or ends with white space; remove it")
        if len(value) < LEAST:
            literal = name == spell(keys)
            remedy = "" if literal else ", or write the value into the file if it is not a secret"
            raise self._error(
                keys,
                name,
                f"is a secret of fewer than {LEAST} characters, which cannot be masked without "
                f"making a report unreadable; use a longer one{remedy}",
            )
        self._secrets.setdefault(value, Secret(value, name))

    def _error(self, keys: Keys, name: str, facts: str) -> UsageError:
        # A literal is named by its key, which is at the beginning already.
        return self._file.error(keys, facts if name == spell(keys) else f"{name} {facts}")


def _secrets_inside(value: str) -> Iterator[str]:
    """Yield the parts of a secret that servers and libraries show separately."""
    if scheme := _SCHEME.fullmatch(value):
        yield scheme[2]
        if scheme[1].lower() == "basic" and (password := _basic_password(scheme[2])):
            yield password
    for found in _USERINFO.finditer(value):
        user, password, host, path = map(unquote, found.groups())
        # `postgres:postgres@` is a login, but the word alone is in any report.
        if password not in (user, host.partition(":")[0], path):
            yield from dict.fromkeys((found[2], password))
    for found in _PASSWORD.finditer(value):
        yield from dict.fromkeys((found[1], unquote(found[1])))


def _basic_password(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
