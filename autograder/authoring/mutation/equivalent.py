"""The list of equivalent mutants: changes that no check can see, each with the reason. One file per unit, hidden.

autograder/graders/<unit>/equivalent_mutants.toml:

    [[mutant]]
    exercise = "sdpa_torch"
    symbol = "scaled_dot_product_attention"
    line = "if dropout_p > 0.0:"
    changes = ["comparison: dropout_p > 0.0 -> dropout_p >= 0.0"]
    reason = "..."

The first four stand in the JSON of every survivor. There are no line numbers, so an entry lasts as long as
its line does; after that it is stale, and reported. `changes = ["*"]`: all of the line that no test catches, for a line
of which nothing can be seen here (a table of tile sizes for a card that is not there).
"""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from autograder.course import Course
from autograder.errors import UsageError

FILE = "equivalent_mutants.toml"

Key = tuple[str, str, str, str]  # exercise, symbol, line, change
_Text = Annotated[str, Meta(min_length=1)]


ANY = "*"


class _Entry(Struct, frozen=True, forbid_unknown_fields=True):
    exercise: _Text
    symbol: _Text
    line: _Text
    changes: Annotated[tuple[_Text, ...], Meta(min_length=1)]
    reason: Annotated[str, Meta(min_length=10)]


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    mutant: list[_Entry] = []


def listed(course: Course, unit: str) -> set[Key]:
    """The mutants of a unit that are listed as equivalent. Raises UsageError."""
    path = _path(course, unit)
    try:
        entries = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _File).mutant
    except FileNotFoundError:
        return set()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise UsageError(f"{path}: {error}") from None
    return {(e.exercise, e.symbol, e.line, change) for e in entries for change in e.changes}


def is_listed(key: Key, wanted: set[Key]) -> bool:
    """Whether the mutant, which no test has caught, is one of the list's."""
    return key in wanted or (*key[:3], ANY) in wanted


def stale(course: Course, unit: str, wanted: Iterable[Key], mutants: set[Key], caught: dict[Key, str]) -> list[str]:
    """The entries that name no mutant of the solutions, or one that a test tells from the solution."""
    path = _path(course, unit).relative_to(course.root)
    lines = []
    mutants = mutants | {(*key[:3], ANY) for key in mutants}
    for key in sorted(wanted):
        exercise, symbol, line, change = key
        entry = f"{path}: {exercise}, {symbol}, `{line}`, {change}"
        if key not in mutants:
            lines.append(f"{entry}: there is no such mutant (any more)")
        elif key in caught:
            lines.append(f"{entry}: not equivalent, {caught[key]} tells it from the solution")
    return lines


def _path(course: Course, unit: str) -> Path:
    return course.graders / unit / FILE
