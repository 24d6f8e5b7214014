"""Words for a curl command that can be pasted into sh, bash or zsh.

A *template* is a text in which `${NAME}` stands for an environment variable; the shell that runs
the command fills it in. Everything else is literal, whatever it means to a shell.
"""

import os
import re
import shlex
from collections.abc import Iterator

VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)\}", re.ASCII)

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def literal(text: str) -> str:
    """Return *text* as one word, with control characters (only a tab is legal) as blanks."""
    return shlex.quote(_CONTROL.sub(" ", text))


def template(text: str) -> str:
    """Return *text* as one word in which the shell fills in the variables."""
    if not VARIABLE.search(text):
        return literal(text)
    text = _CONTROL.sub(" ", text)
    if "!" in text:  # an interactive shell looks into its history even in double quotes
        return "".join(_apart(text))
    return f'"{"".join(_within_quotes(text))}"'


def filled(text: str) -> str:
    """Return the template as the shell will fill it in, if it has this process' environment."""
    return VARIABLE.sub(lambda found: os.environ.get(found[1], ""), text)


def piped(body: str) -> tuple[str, str]:
    """Return what stands before the command, and the value of `--data-binary`, for *body*.

    sh has no way to write a control character within a word, but printf has.
    """
    if not _CONTROL.search(body):
        return "", literal(body)
    text = body.replace("\\", "\\\\").replace("%", "%%")
    text = _CONTROL.sub(lambda found: f"\\{ord(found[0]):03o}", text)
    return f"printf {shlex.quote(text)} | ", "@-"


def _apart(text: str) -> Iterator[str]:
    """Yield literal pieces in single quotes, and variables in double ones."""
    for before, name, _ in _pieces(text):
        if before:
            yield shlex.quote(before)
        if name:
            yield f'"${name}"'


def _within_quotes(text: str) -> Iterator[str]:
    for before, name, after in _pieces(text):
        yield re.sub(r'([\\"$`])', r"\\\1", before)
        if name:
            yield f"${{{name}}}" if re.match(r"\w", after) else f"${name}"


def _pieces(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield each variable with the literal text before it, and all that follows; then the rest."""
    at = 0
    for found in VARIABLE.finditer(text):
        yield text[at : found.start()], found[1], text[found.end() :]
        at = found.end()
    yield text[at:], "", ""
