"""The trusted clock: how long a student's function takes, judged so that it cannot influence the judgement.

Every timed call is a sandwich. The grader draws fresh inputs in its own memory and packs them; it looks at its clock;
only then the first byte leaves for the worker. The answer has arrived with its last byte; the grader looks at its clock
again, and only after that the reference is computed and the answer is judged. **Every** timed answer is judged, not a
sample. So nothing has to be detected that the order of events excludes: an early or empty reply is a wrong answer, a
cache meets inputs that it has not seen, a patched clock is not asked, a thread that finishes later is too late, and
what will be expected does not exist yet.

The baseline goes the same way, in a sandbox of its own that never runs student code. The two take turns in random
order. It is also timed alone, before the student's worker is there and after it is gone: who slows it down voids the
run (`verdict.slowed_down`).

What a call costs to carry is the same on both sides and pulls a ratio towards 1: use sizes at which the computation is
at least twenty times as long, or say what it is (`sandwich.overhead_s`), and it is taken off.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from autograder.grading.verdict import BATCHES, DISCARDED, PAIRS, Ratio, ratio_of, slowed_down
from autograder.sandbox.failures import StudentError

_ALONE = 7  # calls of the baseline alone, before and after
_VOID_RUNS = 3  # runs that may be void before the machine is given up


class Runner(Protocol):
    """One side: a function behind a wall."""

    def fresh(self) -> None:
        """End the worker, and everything that it has started; the next call gets a new one."""

    def timed(self, inputs: Sequence[Any]) -> tuple[Any, float]:
        """The answer, and the seconds from the first byte sent to the last byte received. Raises StudentError."""


class Disturbed(Exception):
    """No ratio can be had: again and again the baseline was slower beside the student's worker than alone, or a right
    answer came sooner than it can be computed, so that the clock itself is not to be trusted.
    """


class _TooFast(Exception):
    """A right answer came sooner than it can be computed."""


class Race:
    """The student's function against the baseline, on equal inputs.

    Args:
        student, baseline: the two sides.
        inputs: draws the arguments of one call anew.
        judge: raises (an AssertionError) where an answer to such inputs is wrong.
        rng: decides the order of the two sides, and the bootstrap. Its seed is the grader's secret.
        pairs: timed pairs of a batch.
        overhead_s: what a call takes with a worker that answers at once; taken off both sides.
        floor_s: of a call's arguments, the seconds that no computation of the answer can stay below.
    """

    def __init__(
        self,
        student: Runner,
        baseline: Runner,
        inputs: Callable[[], Sequence[Any]],
        judge: Callable[[Any, Sequence[Any]], None],
        rng: np.random.Generator,
        pairs: int = PAIRS,
        overhead_s: float = 0.0,
        floor_s: Callable[[Sequence[Any]], float] = lambda inputs: 0.0,
    ) -> None:
        self._student, self._baseline = student, baseline
        self._inputs, self._judge = inputs, judge
        self._rng = rng
        self._pairs = pairs
        self._overhead_s = overhead_s
        self._floor_s = floor_s

    def ratio(self, thresholds: Sequence[float] = ()) -> Ratio:
        """t_student / t_baseline, measured until each threshold is decided or three batches are done.

        Raises Disturbed, StudentError, and what `judge` raises for a wrong answer.
        """
        logs: list[float] = []
        for _ in range(BATCHES):
            logs += self._undisturbed()
            ratio = ratio_of(logs, self._rng)
            if all(ratio.decides(threshold) for threshold in thresholds):
                break
        return ratio

    def _undisturbed(self) -> list[float]:
        """The log-ratios of one batch whose baseline was as fast as alone, and no call faster than can be."""
        for _ in range(_VOID_RUNS):
            alone = self._alone()
            try:
                logs, beside = self._batch()
            except _TooFast:
                why = "a right answer came sooner than it can be computed: the clock is not to be trusted here"
                continue
            alone += self._alone()
            if not slowed_down(alone, beside, self._rng):
                return logs
            why = "the grader's own program ran more than 5 % slower beside this code than alone"
        raise Disturbed(f"{_VOID_RUNS} runs did not count, the last one since {why}")

    def _alone(self) -> list[float]:
        """The baseline's seconds while there is no student's worker."""
        self._student.fresh()
        self._baseline.fresh()
        return [self._ours(self._inputs()) for _ in range(_ALONE + 1)][1:]  # the first one warms up

    def _batch(self) -> tuple[list[float], list[float]]:
        """Log-ratios of pairs in a fresh worker, and the baseline's seconds among them."""
        logs, beside = [], []
        for pair in range(DISCARDED + self._pairs):
            inputs, others = self._inputs(), self._inputs()
            if self._rng.integers(2):
                theirs, ours = self._judged(inputs), self._ours(others)
            else:
                ours, theirs = self._ours(others), self._judged(inputs)
            if pair >= DISCARDED:
                logs.append(math.log(self._net(theirs) / self._net(ours)))
                beside.append(ours)
        return logs, beside

    def _ours(self, inputs: Sequence[Any]) -> float:
        try:
            return self._baseline.timed(inputs)[1]
        except StudentError as error:  # whoever caused it, this code is ours
            raise RuntimeError(f"the baseline failed: {error}") from error

    def _net(self, seconds: float) -> float:
        """Without what carrying costs; a call that is lost in that keeps a tenth, for a ratio that is a number."""
        return max(seconds - self._overhead_s, seconds / 10)

    def _judged(self, inputs: Sequence[Any]) -> float:
        answer, seconds = self._student.timed(inputs)
        self._judge(answer, inputs)
        if seconds < self._floor_s(inputs):  # all of it counts: what carrying costs is on the safe side
            raise _TooFast
        return seconds
