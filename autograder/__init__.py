"""A graded course on attention and transformers, and the autograder that student code cannot cheat."""

from typing import Any

__all__ = ["check"]


def __getattr__(name: str) -> Any:
    """`from autograder import check` in a notebook, without making every import of the package pay for it."""
    if name == "check":
        import random

        state = random.getstate()  # rich draws from it while it is imported, and a student's next draw is the student's
        from autograder.commands.notebook import check

        random.setstate(state)
        return check
    raise AttributeError(f"module 'autograder' has no attribute {name!r}")
