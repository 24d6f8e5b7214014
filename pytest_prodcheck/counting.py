"""Counts with their nouns, as text."""


def counted(count: int, noun: str) -> str:
    """Return `1 check`, `2 checks`."""
    return f"{count} {noun}" + ("" if count == 1 else "s")
