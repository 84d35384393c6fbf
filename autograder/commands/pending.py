"""`grade --only-pending` and `pending pack|merge`: completing what waits for hardware, here or on another machine.

Needs no package beyond those that grading needs (no typer, rich or nbgrader): texts go to `say`, line by line.
"""

import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

from msgspec import Struct

from autograder.course import Course, load_course
from autograder.errors import UsageError
from autograder.intake.finding import Asked
from autograder.results.record import Outcome, UnitResult, write_result
from autograder.rooms import bundle as bundles
from autograder.rooms import trips
from autograder.rooms.batch import new_seed, remember_seed, seed_id
from autograder.rooms.completing import complete_all, find_waiting
from autograder.sandbox.devices import Device, find_device
from autograder.sandbox.rungs import choose_rung
from autograder.text import printable

Say = Callable[[str], None]


class Options(Struct, frozen=True, kw_only=True):
    """How the pending tests are run."""

    isolation: str = "auto"
    device: str = "auto"
    seed: bytes | None = None


def complete_here(
    course: Course, submitted: Path, out: Path, asked: Asked, options: Options, say: Say
) -> list[UnitResult]:
    """Complete the pending tests of the results in `out`. Returns all results that stand now. Raises UsageError."""
    found = find_waiting(course, submitted, out, asked)
    for line in [*found.notes, *found.refused]:
        say(f"note: {line}")
    standing = list(found.complete)
    if found.waiting:
        seed = options.seed or new_seed()
        device = usable_device(course, {one.result.unit for one in found.waiting}, options.device, say)
        hidden = [submitted.resolve(), out.resolve()]
        rung = choose_rung(options.isolation)
        remember_seed(out, seed, submitted)
        for result in complete_all(
            course, found.waiting, rung=rung, device=device, seed=seed, seed_id=seed_id(seed), hidden=hidden
        ):
            write_result(out, result)
            standing.append(result)
            _tell(result, say)
        where = "without a GPU" if device is None else f"on {device.title}"
        say(f"completed {len(found.waiting)} results {where}; isolation {rung}; seed id {seed_id(seed)}")
    else:
        say("nothing is pending")
    return standing


def usable_device(course: Course, units: Collection[str], wanted: str, say: Say) -> Device | None:
    """The GPU; or None where there is none, but something that waits may be a race on a CPU that was too busy.

    Raises UsageError where only a GPU can help.
    """
    try:
        return find_device(wanted)
    except UsageError as error:
        exercises = [exercise for unit in units for exercise in course.unit(unit).exercises]
        if wanted != "auto" or not any(t.device == "cpu" for e in exercises for t in e.thresholds):
            raise
        say(f"note: {error}; only what was raced on the CPU is tried again")
        return None


def complete_bundle(path: Path, options: Options, say: Say) -> None:
    """Complete the pending tests in a bundle, and write what came out into it. Raises UsageError."""
    bundle = bundles.read_bundle(path)
    bundle.require_this_kit()
    waiting = list(bundle.waiting())
    say(f"{len(waiting)} of {len(bundle.manifest.work)} results wait")
    if not waiting:
        return
    device, rung, seed = find_device(options.device), choose_rung(options.isolation), options.seed or new_seed()
    with tempfile.TemporaryDirectory(prefix="autograder-bundle-") as folder:
        course = load_course(bundle.unpack_kit(Path(folder)))
        results = complete_all(
            course,
            [one for _, one in waiting],
            rung=rung,
            device=device,
            seed=seed,
            seed_id=seed_id(seed),
            hidden=[path.resolve().parent],
        )
        for (work, _), result in zip(waiting, results, strict=True):
            trips.add_completed(bundle, work, result)
            _tell(result, say)
    say(f"completed on {device.title}; isolation {rung}; take {path} back and run: autograder pending merge {path}")


def pack(course: Course, submitted: Path, path: Path, out: Path, asked: Asked, say: Say) -> None:
    """Write the bundle of what waits in `out`. Raises UsageError."""
    found = find_waiting(course, submitted, out, asked)
    for line in [*found.notes, *found.refused]:
        say(f"note: {line}")
    manifest = trips.pack(course, out, found.waiting, path)
    say(f"wrote {path}: {len(manifest.work)} results wait; on a machine with a GPU run  python3 {path.name}")


def merge(course: Course, path: Path, out: Path, say: Say) -> list[UnitResult]:
    """Take the completed results of a bundle into `out`. Returns those that changed. Raises UsageError."""
    bundle = bundles.read_bundle(path)
    merged = trips.merge(course, out, bundle)
    for result in merged.results:
        write_result(out, result)
        _tell(result, say)
    trips.remember_merged(out, bundle, merged.results)
    for line in merged.refused:
        say(f"note: {line}")
    say(f"merged {len(merged.results)} of {len(bundle.manifest.work)} results into {out}")
    return merged.results


def _tell(result: UnitResult, say: Say) -> None:
    """A line for the result, and one for what waits on, with the reason."""
    pending = f", {result.pending:g} pending" if result.pending else ""
    who = f"{printable(result.student, 128)} {result.unit}"
    say(f"{who}: {result.score:g} of {result.max_score:g}{pending}")
    waiting = [test for e in result.exercises for test in e.tests if test.outcome is Outcome.DEFERRED]
    if waiting:
        last = waiting[0].message.strip().splitlines()[-1:] or [""]
        say(f"note: {who}: {waiting[0].name} and {len(waiting) - 1} more wait on: {printable(last[0].strip(), 200)}")


def refuse_folder(path: Path) -> None:
    """Raises UsageError where something else than a bundle was given where only a bundle serves."""
    if not bundles.is_bundle(path):
        raise UsageError(f"{path} is no bundle: give the file that `autograder pending pack` wrote")
