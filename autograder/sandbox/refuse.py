"""Inside the worker: refuses calls that an exercise asks students to write themselves, while that exercise is called.

Each forbidden function is replaced, before the page is run, by a wrapper that looks whether it is forbidden *now*; an
innocent use elsewhere goes through. Code in this process could undo that, so the grader reads the syntax tree as well
(`grading/shortcuts.py`).
"""

import functools
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np


class ForbiddenCall(RuntimeError):
    """The call of a function that the exercise forbids; the message is its dotted name."""


class Refusals:
    """The forbidden names of a page, and which of them are forbidden at the moment."""

    def __init__(self) -> None:
        self._now: frozenset[str] = frozenset()

    def install(self, names: Sequence[str]) -> None:
        """Wrap every function or class called `package.module.name`.

        Whole packages, NumPy's ufuncs and what is not imported yet are left to the reading of the syntax tree: wrapping
        them would break their innocent uses, or cost every worker an import.
        """
        for name in dict.fromkeys(names):
            owner, attribute = _find(name)
            target = getattr(owner, attribute, None)
            if isinstance(target, type):
                target.__init__ = self._wrap(name, target.__init__)  # type: ignore[misc]
            elif callable(target) and not isinstance(target, np.ufunc):
                setattr(owner, attribute, self._wrap(name, target))

    @contextmanager
    def during(self, names: Sequence[str]) -> Iterator[None]:
        """Refuse these while the block runs."""
        before, self._now = self._now, frozenset(names)
        try:
            yield
        finally:
            self._now = before

    def _wrap(self, name: str, function: Any) -> Any:
        @functools.wraps(function, updated=())
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if name in self._now:
                raise ForbiddenCall(name)
            return function(*args, **kwargs)

        return wrapper


def _find(name: str) -> tuple[Any, str]:
    """The object that holds the last part of a dotted name, and that part. Imports nothing."""
    *path, attribute = name.split(".")
    for end in range(len(path), 0, -1):
        owner: Any = sys.modules.get(".".join(path[:end]))
        if owner is not None:
            for step in path[end:]:
                owner = getattr(owner, step, None)
            return owner, attribute
    return None, attribute
