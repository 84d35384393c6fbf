"""The tables of course.toml that say nothing of what is taught: limits, late days, feedback, thresholds, gradebook."""

import math
from fractions import Fraction
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

DAY_S = 86400

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
NotNegative = Annotated[float, Meta(ge=0)]
Identifier = Annotated[
    str, Meta(pattern=r"^[a-z][a-z0-9_]*$", description="a text of small letters, digits and _, a letter first")
]


class Table(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of course.toml."""


class GradebookConfig(Table, frozen=True, kw_only=True):
    url: str = "sqlite:///gradebook.db"


class LatePolicy(Table, frozen=True, kw_only=True):
    """After the grace period each started day costs a share of the score earned; past the cut-off nothing counts.

    `slip_days` is a budget of the whole course: started days that cost a student nothing, at most `max_slip_days` of
    them on one unit. A day is 24 hours. All arithmetic is exact: 0.1 means one tenth.
    """

    grace_minutes: NotNegative = 0.0
    penalty_per_day: Share = 0.0
    max_penalty: Share = 1.0
    cutoff_days: NotNegative | None = None
    slip_days: Annotated[int, Meta(ge=0)] = 0
    max_slip_days: Annotated[int, Meta(ge=0)] | None = None

    def started_days(self, seconds_late: Fraction) -> int:
        """Started days since the due date; none within the grace period."""
        return 0 if seconds_late <= exact(self.grace_minutes) * 60 else math.ceil(seconds_late / DAY_S)

    def is_cut_off(self, seconds_late: Fraction) -> bool:
        """Whether it is too late to count at all."""
        if self.cutoff_days is None or math.isinf(self.cutoff_days):
            return False
        return seconds_late > max(exact(self.cutoff_days) * DAY_S, exact(self.grace_minutes) * 60)

    def share(self, days: int) -> Fraction:
        """The share of the score that so many days cost, in 0..max_penalty."""
        return min(exact(self.max_penalty), days * exact(self.penalty_per_day))


class UnitLatePolicy(Table, frozen=True, kw_only=True):
    """What a unit does differently from [late]; `inf` as cut-off takes the course's away."""

    grace_minutes: NotNegative | None = None
    penalty_per_day: Share | None = None
    max_penalty: Share | None = None
    cutoff_days: NotNegative | None = None
    max_slip_days: Annotated[int, Meta(ge=0)] | None = None


class SubmissionPolicy(Table, frozen=True, kw_only=True):
    """Of several submissions of one student for one unit, which counts."""

    keep: Literal["latest", "best"] = "latest"


FeedbackLevel = Literal["full", "hint", "score"]


class Feedback(Table, frozen=True, kw_only=True):
    """How much of a test's message students see: everything, the cause without what was seen, or the score alone."""

    before_due: FeedbackLevel = "hint"
    after_due: FeedbackLevel = "full"


class Limits(Table, frozen=True, kw_only=True):
    """What one submission may use; enforced from outside by SIGKILL."""

    call_wall_s: Positive = 5.0
    memory_mb: Count = 1536
    submission_wall_s: Positive = 120.0
    processes: Count = 64
    open_files: Annotated[int, Meta(ge=16)] = 128
    disk_mb: Count = 64
    reply_mb: Count = 16  # the largest right answer of the course has 4.8 MB; a test may make lists of what comes


class Threshold(Table, frozen=True, kw_only=True):
    """The largest ratio to the baseline for each tier, on one kind of device, and where that was measured.

    `device` is "cpu", "cuda" for any GPU, or a family of them ("sm_90"): the most specific one that fits counts.
    """

    measure: Identifier
    device: Annotated[
        str, Meta(pattern=r"^(cpu|cuda|sm_[0-9]{2,3})$", description='"cpu", "cuda" or a family like "sm_90"')
    ] = "cpu"
    enough: Positive = msgspec.field(name="pass")
    good: Positive
    excellent: Positive
    measured: str

    def tier(self, name: str) -> float:
        """The ratio that `pass`, `good` or `excellent` allows."""
        tiers: dict[str, float] = {"pass": self.enough, "good": self.good, "excellent": self.excellent}
        return tiers[name]


def exact(number: float) -> Fraction:
    """The number as it is written: 0.1 is one tenth, which no float is."""
    return Fraction(str(number))
