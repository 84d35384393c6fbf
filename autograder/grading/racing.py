"""The `race` fixture: a student's function against a baseline of the grader's, each behind a wall of its own.

    def naive(q, k, v):
        return torch.softmax(q @ k.mT / math.sqrt(q.shape[-1]), -1) @ v

    @pytest.mark.exercise("tiled_attention")
    @pytest.mark.parametrize("tier", TIERS)
    def test_time(student, reference, race, draw, tier):
        result = race(student.tiled_attention, naive, inputs=lambda: ..., judge=lambda answer, inputs: ...)
        result.must_reach(tier)

How fast is fast enough stands in course.toml, as ratios per tier; the tests of an exercise share one race.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from autograder.course import Exercise
from autograder.errors import UsageError
from autograder.grading.compare import Disagreement
from autograder.grading.context import Context, Deferred
from autograder.grading.draw import Draw
from autograder.grading.performance import Disturbed, Race
from autograder.grading.verdict import PAIRS, Ratio
from autograder.policies import Threshold
from autograder.results.record import Measured
from autograder.sandbox.client import Page, Remote
from autograder.sandbox.wire import Target

TIERS = ("pass", "good", "excellent")
_SEVERAL = 1.15  # from this share of its time on, a side has used more than one processor; the rest is rounding
_QUIET = 0.6  # the share of its time that the baseline must have had a processor for a ratio to count against anybody
IMPORTS = "import math\n\nimport torch\nimport torch.nn.functional as F\n\n\n"


class Result(Struct, frozen=True):
    """The ratio of a race, and the thresholds that it is held against."""

    ratio: Ratio
    threshold: Threshold
    baseline: str

    def must_reach(self, tier: str) -> None:
        """Raises Disagreement where the ratio is surely above what the tier allows."""
        allowed = self.threshold.tier(tier)
        if not self.ratio.passes(allowed):
            raise Disagreement(
                f"a call takes {self.ratio} as long as the grader's {self.baseline}; {tier!r} allows {allowed:g} times"
            )


class Racer:
    """Makes the races of one test; see the module."""

    def __init__(
        self, context: Context, page: Page, exercise: Exercise, kinds: Sequence[str] = ("cpu",), title: str = ""
    ) -> None:
        self._context, self._page, self._exercise = context, page, exercise
        self._kinds, self._title = kinds, title

    def __call__(
        self,
        student: Remote,
        baseline: Callable[..., Any],
        inputs: Callable[[], Sequence[Any]],
        judge: Callable[[Any, Sequence[Any]], None],
        measure: str = "time",
        pairs: int = PAIRS,
    ) -> Result:
        """Race `student` against `baseline`, whose source runs in a sandbox where no student code ever ran.

        Args:
            baseline: a plain function of the grader file; it may use `math`, `torch` and `F` and nothing else.
            inputs, judge: as of `performance.Race`.
            measure: which threshold of the exercise in course.toml it is about.
        Raises Deferred where somebody disturbed every run; StudentError; what `judge` raises.
        """

        def race(thresholds: Sequence[float]) -> Ratio:
            theirs = _Side(self._page, student._target.path[-1])
            ours = _Side(self._context.baseline_page(IMPORTS + inspect.getsource(baseline)), baseline.__name__)
            ratio = Race(
                theirs,
                ours,
                inputs,
                judge,
                Draw(self._context.run_seed, f"race::{self._exercise.id}::{measure}").rng(),
                pairs,
            ).ratio(thresholds)
            ratio = on_one_processor(ratio, theirs.share)
            if ours.share < _QUIET and not all(map(ratio.passes, thresholds)):
                raise Disturbed(
                    f"the machine was busy: the grader's own program had a processor {ours.share:.0%} of the time"
                )
            return ratio

        return self._raced(measure, baseline.__name__, race)

    def _raced(self, measure: str, baseline: str, race: Callable[[Sequence[float]], Ratio]) -> Result:
        """The result of a race that the tests of the exercise share. `race` is given the thresholds to decide."""
        threshold = self._threshold(measure)
        known = self._context.ratios
        key = (self._exercise.id, f"{measure}@{threshold.device}")
        if key not in known:
            try:
                known[key] = race([threshold.tier(tier) for tier in TIERS])
            except Exception as error:
                known[key] = error
        found = known[key]
        if isinstance(found, Disturbed):
            raise Deferred(f"{found}; grade again on a quiet machine")
        if isinstance(found, Exception):
            raise found
        self._context.measured = Measured(
            measure=measure,
            device=self._kinds[0],
            title=self._title,
            ratio=round(found.median, 4),
            lower=round(found.lower, 4),
            upper=round(found.upper, 4),
            pairs=found.pairs,
            pseudonym=self._context.pseudonym(self._page),
        )
        return Result(found, threshold, baseline)

    def _threshold(self, measure: str) -> Threshold:
        kinds = self._kinds
        by_kind = {t.device: t for t in self._exercise.thresholds if t.measure == measure}
        for kind in kinds:  # the most specific first
            if kind in by_kind:
                return by_kind[kind]
        raise UsageError(
            f"course.toml: exercise {self._exercise.id!r} has a test of {measure!r} on {kinds[-1]} and no threshold "
            f'for it; add [[unit.exercise.threshold]] with measure = "{measure}" and device = "{kinds[-1]}"'
        )


def on_one_processor(ratio: Ratio, share: float) -> Ratio:
    """The ratio of somebody who had only one processor; who used several for this share of the time was not quicker.

    SECURITY: the plain formula on several threads would be as good as tiles on one.
    """
    if share < _SEVERAL:
        return ratio
    return Ratio(ratio.median * share, ratio.lower * share, ratio.upper * share, ratio.pairs)


class _Side:
    """A function of a page, as the clock sees it. `share` is its processor time by its wall time.

    For the grader's own side an idle machine gives nearly 1; one on which many wait has other ratios, since long calls
    are interrupted and short ones are not.
    """

    def __init__(self, page: Page, symbol: str | int) -> None:
        self._page, self._symbol = page, symbol
        self._wall_s = self._cpu_s = 0.0

    def fresh(self) -> None:
        self._page.end()

    @property
    def share(self) -> float:
        """CPU time by wall time, over all calls; the kernel counts it in hundredths of a second."""
        return self._cpu_s / self._wall_s if self._wall_s else 1.0

    def timed(self, inputs: Sequence[Any]) -> tuple[Any, float]:
        self._page.load()
        before = self._page.cpu_seconds()
        self._page.transcript.clear()  # megabytes, and nobody diagnoses a time
        answered = self._page.call(Remote(self._page, Target(None, [self._symbol])), inputs, {})
        self._cpu_s += self._page.cpu_seconds() - before
        self._wall_s += self._page.last_call_s
        return answered.value, self._page.last_call_s
