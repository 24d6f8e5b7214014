"""Comparison of releases: versions as they are, commits also by git's abbreviations."""

import re

from pytest_prodcheck.model import Release

_ABBREVIATION = re.compile(r"[0-9a-f]{7,40}", re.IGNORECASE)
"""A commit of git, in full or abbreviated."""


def same_commit(found: str | None, wanted: str | None) -> bool:
    """Return True if both are the same commit, of which one may be git's abbreviation.

    Only 7 to 40 hexadecimal digits are an abbreviation. `build-1234`, `3e68e18-dirty`, and two
    numbers of which neither is a full hash, are compared as they are.
    """
    if not found or not wanted or found == wanted:
        return found == wanted
    one, other = sorted((found.lower(), wanted.lower()), key=len)
    if not (_ABBREVIATION.fullmatch(one) and _ABBREVIATION.fullmatch(other)):
        return False
    if (one + other).isdecimal() and len(other) < 40:
        return False  # build numbers
    return other.startswith(one)


def same_release(one: Release, other: Release) -> bool:
    """Return True if version and commit are the same, the commit by `same_commit`."""
    return one.version == other.version and same_commit(one.commit, other.commit)


def is_another(one: Release, other: Release) -> bool:
    """Return True if a version or commit that both have differs."""
    versions, commits = (one.version, other.version), (one.commit, other.commit)
    return (all(versions) and one.version != other.version) or (
        all(commits) and not same_commit(*commits)
    )


def release_setting(target: str) -> str:
    """Return the setting by which runs on *target* learn the release, as part of a message."""
    places = 'from = "/health", version = "$.version" and commit = "$.commit"'
    return f"[targets.{target}.release] with {places}"
