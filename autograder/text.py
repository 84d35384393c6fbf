"""Words that came from outside, made fit to be shown."""


def printable(text: str, limit: int = 80) -> str:
    """`text` on one line of a terminal or a message, in any script; what cannot be seen is written out, the end cut."""
    seen = "".join(c if c.isprintable() else _written_out(c) for c in text[:limit])
    return seen if len(text) <= limit else f"{seen}…"


def readable(text: str, limit: int = 4000) -> str:
    """`text` of a student's, in any script, for a message: invisible characters written out, not too long."""
    kept = text if len(text) <= limit else f"{text[:limit]} [{len(text) - limit} more characters]"
    return "".join(c if c.isprintable() or c in "\n\t" else _written_out(c) for c in kept)


def _written_out(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"


def listed(names: list[str], limit: int = 5) -> str:
    """`a, b, c and 4 more`, each fit for a terminal."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(printable(name, 160) for name in names[:limit]) + more
