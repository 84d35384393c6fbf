"""What a grader file imports: comparisons that run outside the wall on plain values."""

from autograder.grading.compare import agree, agree_gradients, close, quiet_rng, raises
from autograder.sandbox.client import StudentError

__all__ = ["StudentError", "agree", "agree_gradients", "close", "quiet_rng", "raises"]
