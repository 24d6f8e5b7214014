"""Nothing is public that only the team should see.

A debug page left on in a build, a `.env` in the web root or an open actuator gives away
credentials, and scanners ask for these very paths within minutes. On a read-only target a list of
the usual ones is asked for, and everywhere the paths that the target names:
`private = ["/internal"]`.
"""

import difflib
import re
import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_prodcheck.errors import CheckFailed
from pytest_prodcheck.rules import failure


@pytest.mark.smoke
def test_nothing_private_is_public(api, target, private_paths):
    """Check that no such path answers 2xx with anything but the page that every unknown path
    gets."""
    # Public is what needs no credentials: an empty header leaves out the one of the target.
    nobody = dict.fromkeys(target.headers, "")
    # What a path that cannot exist gets: many apps answer all of them with their start page.
    unknown = f"/{secrets.token_hex(8)}"

    def ask(path):
        response = api.get(path, headers=nobody, follow_redirects=False)
        if response.headers.get("location", "").split("?")[0].endswith(f"{path}/"):
            response = api.get(f"{path}/", headers=nobody, follow_redirects=False)
        return response

    with ThreadPoolExecutor(8) as threads:
        catch_all, *answers = threads.map(ask, [unknown, *private_paths])

    public, unclear = [], []
    for path, answer in zip(private_paths, answers, strict=True):
        status, page = answer.status_code, f"GET {path}"
        if status >= 500 or status == 429:
            reason = "server_error" if status >= 500 else "status"
            found = f"{path} ({status})"
            unclear.append(
                failure("private.unclear", page, found, title="", status=status, reason=reason)
            )
        elif answer.is_success and answer.content and not same_page(answer, catch_all):
            found = f"{path} ({status}, {len(answer.content)} bytes)"
            title = "public without credentials"
            public.append(failure("private.exposed", page, found, title=title))
    if public:
        raise CheckFailed(f"public without credentials: {listed(public)}", public)
    if unclear:
        raise CheckFailed(f"cannot tell whether these are public: {listed(unclear)}", unclear)


def listed(failures):
    """Return the messages of failures in one line."""
    return ", ".join(one.message for one in failures)


def same_page(answer, catch_all):
    """Return True if two responses are one page, apart from tokens and the path that some show."""
    facts = [(page.status_code, page.headers.get("content-type")) for page in (answer, catch_all)]
    one, other = (
        re.sub(r"[\w/.+=-]*\d[\w/.+=-]*", "", page.text[:5000].replace(page.url.path, ""))
        for page in (answer, catch_all)
    )
    alike = difflib.SequenceMatcher(None, one, other, autojunk=False)
    return facts[0] == facts[1] and (one == other or alike.ratio() > 0.95)
