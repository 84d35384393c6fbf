"""What a submission can do instead of returning a value: every fault of its own is a `StudentError`."""

import difflib
import re
from collections.abc import Iterable
from typing import NoReturn

from autograder.sandbox import wire


class StudentError(Exception):
    """The submission did not return a value; `outcome` says how that is recorded."""

    outcome = "raised"


class StudentRaised(StudentError):
    """Student code raised. `bases` are the exception's class names, most derived first."""

    def __init__(self, raised: wire.Raised) -> None:
        self.bases = raised.bases
        self.text = raised.message
        self.frames = raised.frames
        self.printed = raised.printed
        where = "".join(f"\n  {f.file}:{f.line} in {f.function}: {f.text}" for f in raised.frames[-3:])
        super().__init__(f"{self.bases[0] if self.bases else 'an exception'}: {self.text}{where}")

    def is_a(self, exception: type[BaseException]) -> bool:
        """Whether the exception is one of `exception`, judged by class name."""
        return exception.__name__ in self.bases


class StudentMissing(StudentError):
    """Nothing was written yet: the name is not defined, or the stub still raises NotImplementedError."""

    outcome = "missing"


class StudentForbidden(StudentError):
    """The code calls what the exercise asks to write."""

    outcome = "forbidden"


class StudentTimedOut(StudentError):
    outcome = "timed_out"


class StudentOutOfMemory(StudentError):
    outcome = "out_of_memory"


class StudentBroke(StudentError):
    """The worker died, or sent something that is not an answer."""


def raise_failure(raised: wire.Raised) -> NoReturn:
    """Raise the StudentError that an exception of the student's code counts as."""
    error = StudentRaised(raised)
    if "ForbiddenCall" in raised.bases:
        raise StudentForbidden(shortcut_words(raised.message, f"\n{error}".partition("\n")[2].partition("\n")[2]))
    if "NotImplementedError" in raised.bases:
        raise StudentMissing(f"not written yet: {error}")
    if "MemoryError" in raised.bases or "can't allocate memory" in raised.message:
        raise StudentOutOfMemory(f"out of memory (limit memory_mb): {error}")
    raise error


_DEFINED = re.compile(r"^(?:async +def|def|class) +(\w+)|^(\w+) *=(?!=)", re.MULTILINE)


# a definition, or a name that gets a value, in the indented lines below the guard; the name itself follows
_GUARDED = (
    r"""^if +__name__ *== *['"]__main__['"] *:.*\n(?:[ \t].*\n|\n)*?"""
    r"""[ \t]+(?:(?:async +)?def +|class +|(?=\w+ *=[^=]))"""
)


def renamed(symbol: str, cells: Iterable[str]) -> str:
    """Where the missing name is after all, or a question about one that is nearly the same; else nothing."""
    cells = list(cells)
    if any(re.search(_GUARDED + re.escape(symbol) + r"\b", cell, re.MULTILINE) for cell in cells):
        return '; it is under `if __name__ == "__main__":`, where nothing is run: move it out'
    names = {
        (match[1] or match[2]).casefold(): match[1] or match[2] for cell in cells for match in _DEFINED.finditer(cell)
    }
    if symbol in names.values():
        return ""  # it was deleted again, or its cell raised
    near = difflib.get_close_matches(symbol.casefold(), names, n=1, cutoff=0.8)
    return f"; is it {names[near[0]]}? The name must be {symbol}" if near else ""


def shortcut_words(name: str, where: str) -> str:
    """What a student reads who called a forbidden function."""
    return f"{name} is used here; this exercise asks you to write what it does yourself\n{where}".rstrip()
