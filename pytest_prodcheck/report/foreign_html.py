"""Extras of tests for pytest-html, which puts names, links and HTML into its page unchanged."""

import base64
import binascii
import warnings
from collections.abc import Mapping
from html import escape
from typing import Any
from urllib.parse import urlsplit

from pytest_prodcheck.redaction import sanitize
from pytest_prodcheck.report import phrases

MOST_TEXT = 4000
"""Characters shown of an extra that a test gave as HTML, or as an unsafe link."""


def harmless(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return *extra* as something that adds neither live markup nor a request to the page."""
    kind, content = extra.get("format_type"), extra.get("content")
    name = escape(phrases.line(str(extra.get("name") or ""), 100))
    match kind:
        case "url" if _relative_or_web(str(content)):
            return extra_of("url", escape(str(content)), name)
        case "text":
            return extra_of("text", _text(content), name, "text/plain", "txt")
        case "json":
            return extra_of("json", content, name, "application/json", "json")
        case "image" | "video" if _is_base64(content):
            return extra_of(
                kind,
                content,
                name,
                *(("image/png", "png") if kind == "image" else ("video/mp4", "mp4")),
            )
        case _:
            source = escape(sanitize.text(_text(content), MOST_TEXT))
            label = f"{name}: " if name else ""
            return extra_of("html", f'<pre class="pc-extra">{label}{source}</pre>')


def extra_of(
    kind: str,
    content: Any,
    name: str | None = None,
    mime_type: str | None = None,
    extension: str | None = None,
) -> dict[str, Any]:
    return {
        "name": name,
        "format_type": kind,
        "content": content,
        "mime_type": mime_type,
        "extension": extension,
    }


def _text(content: Any) -> str:
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)
    # pytest-html encodes it as UTF-8, which a lone surrogate would end.
    return text.encode("utf-8", "replace").decode("utf-8")


def _relative_or_web(url: str) -> bool:
    # Browsers skip white space and controls ("java\\nscript:") and read a backslash as a slash.
    if not url.isprintable() or url != url.strip() or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") or (not parts.scheme and not parts.netloc)


def _is_base64(content: Any) -> bool:
    """Return whether pytest-html will embed it; anything else would become a request of the
    page."""
    try:
        return bool(base64.b64decode(str(content).encode("utf-8"), validate=True))
    except (binascii.Error, UnicodeEncodeError):
        return False


def survives(node_id: str) -> bool:
    """Return whether pytest-html can name a file after this id: it reads backslashes as escapes, so
    that an id with `\\U` in it would end the run with an internal error."""
    if "\\" not in node_id and node_id.isascii():
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)
            node_id.encode("utf-8").decode("unicode_escape")
    except (UnicodeError, DeprecationWarning):
        return False
    return True
