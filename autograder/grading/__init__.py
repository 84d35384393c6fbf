"""What a grader file imports: comparisons that run outside the wall on plain values."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autograder.grading.compare import agree, agree_gradients, close, quiet_rng, raises, unjudged
    from autograder.sandbox.failures import StudentError

__all__ = ["StudentError", "agree", "agree_gradients", "close", "quiet_rng", "raises", "unjudged"]


def __getattr__(name: str) -> Any:
    """These names need torch, which takes a second to import; the command that starts the rooms does without."""
    if name not in __all__:
        raise AttributeError(name)
    from autograder.grading import compare
    from autograder.sandbox import failures

    return getattr(compare, name, None) or getattr(failures, name)
