"""Inside the worker: refuses calls that an exercise asks students to write themselves, while that exercise is called.

Each forbidden function is replaced, before the page is run, by a wrapper that looks whether it is forbidden *now*; an
innocent use elsewhere goes through. Code in this process could undo that, so the grader reads the syntax tree as well
(`grading/shortcuts.py`).
"""

import functools
import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class ForbiddenCall(RuntimeError):
    """The call of a function that the exercise forbids; the message is its dotted name."""


class Refusals:
    """The forbidden names of a page, and which of them are forbidden at the moment."""

    def __init__(self) -> None:
        self._now: frozenset[str] = frozenset()

    def install(self, names: Sequence[str]) -> None:
        """Wrap every function (or class) called `package.module.name`. Names that do not exist here are passed over."""
        for name in dict.fromkeys(names):
            owner, attribute = _find(name)
            if owner is None:
                continue
            target = getattr(owner, attribute)
            if isinstance(target, type):
                target.__init__ = self._wrap(name, target.__init__)  # type: ignore[misc]
            else:
                wrapper = self._wrap(name, target)
                for part in filter(lambda part: not part.startswith("_"), dir(target)):  # np.logaddexp.reduce
                    value = getattr(target, part)
                    setattr(wrapper, part, self._wrap(name, value) if callable(value) else value)
                setattr(owner, attribute, wrapper)

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
    """The object that holds the last part of a dotted name, and that part; (None, "") where there is none."""
    *path, attribute = name.split(".")
    for end in range(len(path), 0, -1):
        try:
            owner = importlib.import_module(".".join(path[:end]))
        except ImportError:
            continue
        for step in path[end:]:
            owner = getattr(owner, step, None)  # type: ignore[assignment]
        return (owner, attribute) if hasattr(owner, attribute) else (None, "")
    return None, ""
