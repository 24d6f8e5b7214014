"""Releases compared: versions as they are, commits also by git's abbreviations."""

import re

from pytest_prodcheck.model import Release

_ABBREVIATION = re.compile(r"[0-9a-f]{7,40}", re.IGNORECASE)
"""A commit of git, whole or abbreviated."""


def same_commit(told: str | None, wanted: str | None) -> bool:
    """Return whether both are the same commit, of which one may be git's abbreviation.

    Only 7 to 40 hexadecimal digits abbreviate. `build-1234`, `3e68e18-dirty`, and two numbers of
    which neither is a whole hash, are compared as they are.
    """
    if not told or not wanted or told == wanted:
        return told == wanted
    one, other = sorted((told.lower(), wanted.lower()), key=len)
    if not (_ABBREVIATION.fullmatch(one) and _ABBREVIATION.fullmatch(other)):
        return False
    if (one + other).isdecimal() and len(other) < 40:
        return False  # numbers of builds
    return other.startswith(one)


def same_release(one: Release, other: Release) -> bool:
    """Return whether version and commit are the same, the commit as in `same_commit`."""
    return one.version == other.version and same_commit(one.commit, other.commit)


def is_another(one: Release, other: Release) -> bool:
    """Return whether *one* and *other* differ in what both of them tell."""
    versions, commits = (one.version, other.version), (one.commit, other.commit)
    return (all(versions) and one.version != other.version) or (
        all(commits) and not same_commit(*commits)
    )


def release_setting(target: str) -> str:
    """Return what to write into the configuration, so that runs on *target* know the release."""
    places = 'from = "/health", version = "$.version" and commit = "$.commit"'
    return f"[targets.{target}.release] with {places}"
