"""Words that came from outside, made fit to be shown."""

import re

_UNSEEN = re.compile(r"[^\x20-\x7e]")


def printable(text: str, limit: int = 80) -> str:
    """`text` for a terminal or a message: no control characters, no bidirectional marks, not too long."""
    return _UNSEEN.sub("?", text)[:limit]


def readable(text: str, limit: int = 4000) -> str:
    """`text` of a student's, in any script, for a message: invisible characters written out, not too long."""
    kept = text if len(text) <= limit else f"{text[:limit]} [{len(text) - limit} more characters]"
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in kept)
