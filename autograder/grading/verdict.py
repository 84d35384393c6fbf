"""When is one program slower than another? Paired log-ratios of times, and a verdict that does not hang on luck.

The statistic is the median of log(t_student / t_baseline) over pairs that were timed next to each other; means are not
used, since a few disturbed calls move them. Bounds come from the bootstrap (2.5 % and 97.5 %). What the bounds do not
decide is measured again in a fresh worker, which may lie better or worse in memory; after three batches the doubt is
the student's. A threshold T is the largest ratio that passes.
"""

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

# With 31 pairs, 0.26 % of simulated gradings 10 % above a threshold passed (jitter 8 %, 3 % between workers); with 51
# fewer than 0.1 % go the wrong way on either side: tests/test_verdict.py.
PAIRS, DISCARDED, BATCHES = 51, 3, 3
_RESAMPLES = 2000
_BOUNDS = (2.5, 97.5)  # per cent
_SLOWED = math.log(1.05)  # a baseline that is surely more than 5 % slower than alone: somebody else was at work


class Ratio(Struct, frozen=True):
    """The median of t_student / t_baseline with its bounds, and from how many pairs."""

    median: float
    lower: float
    upper: float
    pairs: int

    def __str__(self) -> str:
        return f"{self.median:.2f} times (between {self.lower:.2f} and {self.upper:.2f}, from {self.pairs} pairs)"

    def decides(self, threshold: float) -> bool:
        """Whether the bounds lie on one side of it."""
        return self.upper <= threshold or self.lower > threshold

    def passes(self, threshold: float) -> bool:
        """At most the threshold, or not surely above it: decide first whether more pairs are to be had."""
        return self.lower <= threshold


def ratio_of(logs: Sequence[float], rng: np.random.Generator) -> Ratio:
    """The ratio whose logarithms were seen. Raises ValueError for none, or one that is not finite."""
    values = np.asarray(logs, float)
    if not len(values) or not np.isfinite(values).all():
        raise ValueError(f"{len(values)} log-ratios, of which {np.isfinite(values).sum()} are finite")
    lower, upper = np.percentile(_medians(values, rng), _BOUNDS)
    median = float(np.median(values))
    return Ratio(math.exp(median), math.exp(float(lower)), math.exp(float(upper)), len(values))


def slowed_down(alone: Sequence[float], beside: Sequence[float], rng: np.random.Generator) -> bool:
    """Whether times beside a student's worker are surely more than 5 % longer than alone: then no ratio is believed.

    Args:
        alone: the baseline's seconds before the worker was there and after it was gone.
        beside: its seconds in between the student's calls.
    """
    apart = _medians(np.log(beside), rng) - _medians(np.log(alone), rng)
    return float(np.percentile(apart, _BOUNDS[0])) > _SLOWED


def _medians(values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Medians of resampled values."""
    medians: NDArray[np.float64] = np.median(rng.choice(values, (_RESAMPLES, len(values))), axis=1)
    return medians
