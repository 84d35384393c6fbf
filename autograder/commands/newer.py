"""Syntax that a student's own Python reads and the grader's does not: said by `check`, before the deadline.

In a module one such line costs its cell, and students on a newer Python cannot see it. An f-string that holds its own
quotes, say, is Python 3.12 (PEP 701); Python's own parser can be asked for an older grammar, but not about f-strings.
"""

import ast
import io
import sys
import tokenize
from collections.abc import Sequence

from autograder.course import Course
from autograder.intake.submission import PageSource
from autograder.sandbox.magics import plain_python

_F_STRINGS = (3, 12)  # since then tokens of Python's own, and free of limits


def newer_syntax(course: Course, pages: Sequence[PageSource]) -> list[str]:
    """A line for each page whose syntax is newer than the Python that the course is graded with."""
    graded = course.python_version
    if sys.version_info[:2] <= graded:
        return []
    said = []
    for page in pages:
        above = 0
        for number, cell in enumerate(page.cells, start=1):
            found = _first_newer(cell, graded)
            if found is not None:
                line, what = found
                place = f"{page.name}.ipynb, cell {number}" if page.notebook else f"{page.name}.py"
                said.append(
                    f"{place}, line {line + (0 if page.notebook else above)}: {what}; your Python is "
                    f"{sys.version_info[0]}.{sys.version_info[1]}, and pages are graded with Python "
                    f"{course.python}, which cannot read this: write it another way"
                )
                break
            above += cell.count("\n")
    return said


def _first_newer(cell: str, graded: tuple[int, int]) -> tuple[int, str] | None:
    """The line and what stands there. None where all is as old as `graded`, or the cell is no Python for anybody."""
    try:
        code = plain_python(cell)[0]
        ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    try:
        ast.parse(code, feature_version=graded)
    except SyntaxError as error:
        return error.lineno or 0, error.msg
    return _newer_f_string(code) if graded < _F_STRINGS else None


def _newer_f_string(code: str) -> tuple[int, str] | None:
    """The first f-string with something between its braces that Python 3.11 does not allow there."""
    opened: list[str] = []  # the quotes of the f-strings that we are in
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        name = tokenize.tok_name[token.type]
        if name == "FSTRING_END":
            opened.pop()
        elif (opened and name != "FSTRING_MIDDLE") or len(opened) > 1:
            if any(quote in token.string for quote in opened):
                return token.start[0], "an f-string holds its own quotes"
            if "\\" in token.string:
                return token.start[0], "between the braces of an f-string stands a backslash"
            if name == "COMMENT":
                return token.start[0], "between the braces of an f-string stands a comment"
            if name == "NL" and any(len(quote) == 1 for quote in opened):
                return token.start[0], "between the braces of an f-string a line ends"
        if name == "FSTRING_START":
            opened.append(token.string.lstrip("fFrR"))
    return None
