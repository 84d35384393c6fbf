"""`make mutation`: how many small faults in the solutions the hidden graders notice (docs/mutation.md).

Exit codes: 0 enough are caught, 1 too few or a stale entry, 3 a grader error, 4 bad usage.
"""

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from autograder.authoring.mutation.report import render, to_json
from autograder.authoring.mutation.run import Options, run_mutants
from autograder.course import Course, Unit, find_root, load_course
from autograder.errors import UsageError
from autograder.grading.session import grader_files
from autograder.sandbox.rungs import choose_rung
from autograder.sandbox.workers import SandboxError
from autograder.settings import did_you_mean

DONE, FAILED, OUR_FAULT, BAD_USAGE = 0, 1, 3, 4


def main() -> int:
    """Parse, run, render."""
    out = Console(highlight=False, soft_wrap=True)
    err = Console(stderr=True, highlight=False, soft_wrap=True)
    parser = argparse.ArgumentParser(prog="python -m autograder.authoring.mutation", description=__doc__)
    parser.add_argument("--unit", metavar="U", help="only this unit (all that have hidden graders)")
    parser.add_argument("--exercise", metavar="E", help="only this exercise")
    parser.add_argument("--sample", type=int, metavar="N", help="only N mutants, drawn with --seed")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="decides the sample and the graders' inputs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="J", help="mutants graded at once")
    parser.add_argument("--isolation", default="auto", metavar="R", help="as for autograder grade")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--course", type=Path, metavar="DIR", help="the folder with course.toml (found upwards)")
    given = parser.parse_args()
    try:
        course = load_course(given.course or find_root(Path.cwd()))
        units = _units(course, given.unit, given.exercise)
        options = Options(
            exercise=given.exercise,
            sample=given.sample,
            seed=given.seed,
            jobs=given.jobs,
            rung=choose_rung(given.isolation),
        )
        with Progress(console=err, transient=True, disable=given.json or not err.is_terminal) as bar:
            task = bar.add_task("mutants", total=None)
            mutated = run_mutants(course, units, options, lambda n, of: bar.update(task, completed=n, total=of))
    except (UsageError, SandboxError) as error:
        err.print(f"mutation: {error}", style="red", markup=False)
        return BAD_USAGE if isinstance(error, UsageError) else OUR_FAULT
    if given.json:
        print(to_json(mutated))  # noqa: T201 - the machine's output, not the console's
    else:
        render(mutated, out)
    if any(unit.grader_errors for unit in mutated):
        return OUR_FAULT
    return DONE if all(unit.passed for unit in mutated) else FAILED


def _units(course: Course, unit_id: str | None, exercise: str | None) -> list[Unit]:
    """The units asked for; without --unit, those that have their graders."""
    units = [course.unit(unit_id)] if unit_id else [unit for unit in course.units if _has_graders(course, unit)]
    if exercise is None:
        return units
    found = [unit for unit in units if any(e.id == exercise for e in unit.exercises)]
    if not found:
        names = [e.id for unit in units for e in unit.exercises]
        raise UsageError(f"no exercise {exercise!r}{did_you_mean(exercise, names)}")
    return found


def _has_graders(course: Course, unit: Unit) -> bool:
    try:
        return bool(grader_files(course, unit))
    except UsageError:
        return False


if __name__ == "__main__":
    sys.exit(main())
