"""The one place that decides how words become a line of a terminal, a CSV field, Markdown, HTML or XML.

Words are a plain `str`, and every one of them may hold what a student wrote: a name, an exception's text, a value. The
functions below make of them what a format can carry, and the type of what they return says so: a writer of CSV that
takes `CsvField` only cannot be given anything else. What we write ourselves in a format is made that type by its name,
where it stands as a literal: `Html("<td>")`. What is read is what was written: nothing is dropped, and what cannot be
seen or cannot stand in the format is written out (`\\x1b`, `\\u202e`).
"""

import unicodedata
from typing import NewType

Line = NewType("Line", str)
CsvField = NewType("CsvField", str)
Markdown = NewType("Markdown", str)
Html = NewType("Html", str)
Xml = NewType("Xml", str)

# Spreadsheets take a cell that begins like this for a formula (OWASP, CSV Injection); with full-width forms, which
# Excel for some languages takes as well.
_FORMULA = "=+-@\t\r\n＝＋－＠"


def printable(text: str, limit: int = 80) -> Line:
    """`text` on one line of a terminal or a message, in any script; what cannot be seen is written out, the end cut."""
    seen = "".join(c if c.isprintable() else _written_out(c) for c in text[:limit])
    return Line(seen if len(text) <= limit else f"{seen}…")


def readable(text: str, limit: int = 4000) -> str:
    """`text` of a student's, in any script, for a message: invisible characters written out, not too long."""
    kept = text if len(text) <= limit else f"{text[:limit]} [{len(text) - limit} more characters]"
    return "".join(c if c.isprintable() or c in "\n\t" else _written_out(c) for c in kept)


def csv_field(text: str) -> CsvField:
    """`text` as a cell that no spreadsheet runs: what looks like a formula gets an apostrophe before it.

    Quoting commas and line ends is the CSV writer's. Composed Unicode, so that equal names are equal bytes.
    """
    shown = unicodedata.normalize("NFC", _visible(text.replace("\r\n", "\n")))
    begins = shown.lstrip(" \xa0\u3000")  # spreadsheets look behind spaces
    return CsvField(f"'{shown}" if begins[:1] and begins[0] in _FORMULA else shown)


def csv_number(number: float) -> CsvField:
    """A number as a cell, up to four decimals; a negative one is no formula."""
    return CsvField(decimal(number))


def decimal(number: float) -> str:
    """A number of points as people write it: up to four decimals, none that says nothing, no exponent."""
    text = f"{number:.4f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def html(text: str) -> Html:
    """`text` between tags or in a quoted attribute of HTML. Line ends stay line ends: `<pre>` or CSS shows them."""
    return Html("".join(_HTML.get(c, c) for c in _visible(text)))


def xml(text: str) -> Xml:
    """`text` between tags or in a quoted attribute of XML 1.0, which has no way to say most control characters."""
    return Xml("".join(_XML.get(c, c) for c in _visible(text)))


def preformatted(text: str) -> Html:
    """`text` as a block of its own, where no filter looks for anything: not Markdown's, HTML's, TeX's or for links.

    Every character with a meaning is written as its number, so that it does not matter which dialect reads it; MathJax,
    which reads the finished page, passes over `<pre>` and `<code>`.
    """
    return Html(f"<pre>{_numbered(text)}</pre>")


def comment(text: str) -> Markdown:
    """`text`, ours or a student's, as a comment in nbgrader's gradebook.

    nbgrader shows comments in two ways: through nbconvert's Markdown filter (feedback pages), where this is one block
    of HTML that ends at its own `</pre>` and at nothing in the text, and as they are, in formgrader's box for the
    instructor to change. So a character is written as its number only where it could do something: `&<>` in HTML, `$`,
    backslash and backtick for filters that look for TeX or code first, the line ends that `_visible` does not leave,
    and the slash of `files/`, which nbconvert's templates take out of whatever looks like an address.
    """
    shown = "".join(_COMMENT.get(c, c) for c in _visible(text)).replace("files/", "files&#47;")
    return Markdown(f'<pre style="white-space: pre-wrap; word-break: normal">\n{shown}</pre>')  # that line end is eaten


def markdown_inline(text: str) -> Markdown:
    """`text` within a line or a cell of a table, like a word in code."""
    return Markdown(f"<code>{_numbered(' '.join(_visible(text).split()))}</code>")


def listed(names: list[str], limit: int = 5) -> Line:
    """`a, b, c and 4 more`, each fit for a terminal."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return Line(", ".join(printable(name, 160) for name in names[:limit]) + more)


def _visible(text: str) -> str:
    """`text` with invisible characters written out, but those that words of some script are made of.

    The spaces of every script, and the joiners of Persian, Indic scripts and emoji: names are spelled with them.
    """
    shown = (c.isprintable() or c in _KEPT or unicodedata.category(c) == "Zs" for c in text)
    return "".join(c if is_shown else _written_out(c) for c, is_shown in zip(text, shown, strict=True))


def _written_out(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"


def _numbered(text: str) -> str:
    """Letters and digits of any script and spaces as they are, line ends and all else by number."""
    return "".join(c if c.isalnum() or c == " " or ord(c) > 127 else f"&#{ord(c)};" for c in _visible(text))


_KEPT = "\n\t\u200c\u200d"
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"}
_COMMENT = {**{c: f"&#{ord(c)};" for c in "$\\`\t\u2424"}, "&": "&amp;", "<": "&lt;", ">": "&gt;"}
_XML = {**_HTML, "'": "&apos;", "\n": "&#10;", "\t": "&#9;"}
