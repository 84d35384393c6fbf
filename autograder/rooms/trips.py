"""Pending results go to a machine with a GPU, in a bundle, and come back completed: packing and merging.

SECURITY: a bundle is believed only where its random id stands in `pending.json` beside the results, which no student
reads; and then only about the tests that wait there, of results that are still as they were packed.
"""

import os
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import UNSET, Struct, UnsetType

from autograder.course import Course
from autograder.errors import UsageError
from autograder.results.folders import result_path
from autograder.results.record import (
    Completion,
    Measured,
    Outcome,
    TestResult,
    UnitResult,
    encode_json,
    read_result,
    write_atomically,
)
from autograder.rooms.bundle import MAIN, MANIFEST, Bundle, Manifest, Told, Work, digest, kit_files, write_zip
from autograder.rooms.completing import Waiting, completed
from autograder.text import printable, readable

LEDGER_FILE = "pending.json"


class Ledger(Struct):
    """`pending.json`: the digests of the results that each bundle carries, by `<student>\\n<unit>`."""

    bundles: dict[str, dict[str, str]] = {}


def pack(course: Course, out: Path, waiting: Sequence[Waiting], path: Path) -> Manifest:
    """Write the bundle of those who wait to `path`, and remember it in `out`. Raises UsageError."""
    if not waiting:
        raise UsageError(f"{out}: no result waits for hardware; there is nothing to pack")
    files = dict(kit_files(course, sorted({one.submission.unit for one in waiting})))
    work = []
    for number, one in enumerate(waiting, 1):
        work.append(Work(f"{number:05}", one.submission.student, one.submission.unit))
        files[f"submissions/{number:05}.json"] = msgspec.json.encode(one.submission)
        files[f"results/{number:05}.json"] = msgspec.json.encode(one.result)
    files["__main__.py"] = MAIN.encode()
    manifest = Manifest(
        id=secrets.token_hex(16),
        course=course.id,
        packed_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        work=work,
        files={name: digest(data) for name, data in files.items()},
    )
    files[MANIFEST] = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    ledger = _read_ledger(out)
    ledger.bundles[manifest.id] = {_key(w): _result_digest(one.result) for w, one in zip(work, waiting, strict=True)}
    _write_ledger(out, ledger)
    write_zip(path, files)
    return manifest


def add_completed(bundle: Bundle, work: Work, result: UnitResult) -> None:
    """Put one completed result into the bundle, so that what is done is kept whatever comes."""
    before = bundle.decoded(f"results/{work.number}.json", UnitResult)
    waited = set(before.waiting())
    tests = {
        name: test
        for e in result.exercises
        for test in e.tests
        if (name := f"{e.id}::{test.name}") in waited and test.outcome is not Outcome.DEFERRED
    }
    if not tests or not isinstance(result.completed, list):
        return
    told = Told(tests=tests, completion=result.completed[-1])
    bundle.files[f"completed/{work.number}.json"] = msgspec.json.encode(told)
    write_zip(bundle.path, bundle.files)


class Merged(Struct, frozen=True):
    """What a bundle brought: results to be written, and by name what was refused or stands already."""

    results: list[UnitResult]
    refused: list[str]


def merge(course: Course, out: Path, bundle: Bundle) -> Merged:
    """The results in `out` with what the bundle completed. Writes nothing. Raises UsageError."""
    manifest = bundle.manifest
    if manifest.course != course.id:
        raise UsageError(f"{bundle.path} is of the course {printable(manifest.course)!r}; this is {course.id!r}")
    packed = _read_ledger(out).bundles.get(manifest.id)
    if packed is None:
        raise UsageError(
            f"{bundle.path} was not packed from {out} ({out / LEDGER_FILE} does not know its id): "
            "nothing in it is believed; give the --out that it was packed with, or pack again"
        )
    merged = Merged([], [])
    told = dict((work.number, (work, one)) for work, one in bundle.told())
    for work in manifest.work:
        who = f"{printable(work.student, 128)}/{printable(work.unit, 128)}"
        if work.number not in told:
            merged.refused.append(f"{who}: not completed in this bundle yet; it stays pending")
            continue
        now = read_result(result_path(out, work.student, work.unit)) if _key(work) in packed else None
        problem = _problem(course, now, packed.get(_key(work)), told[work.number][1])
        if problem or now is None:
            merged.refused.append(f"{who}: {problem}")
        else:
            merged.results.append(_merged(course, now, told[work.number][1]))
    return merged


def _problem(course: Course, now: UnitResult | None, packed: str | None, told: Told) -> str:
    """Why a result cannot take what was told, or nothing."""
    if now is None or packed is None:
        return "no result here, or none that was packed; nothing was changed"
    if now.unit not in course.unit_ids:
        return "its unit is no longer in the course; nothing was changed"
    if _result_digest(now) != packed:
        if isinstance(now.completed, list) and _named(told.completion) in now.completed:
            return "merged before; nothing was changed"
        return "graded again or completed elsewhere since the bundle was packed; nothing was changed (pack anew)"
    unknown = set(told.tests) - {f"{e.id}::{test.name}" for e in now.exercises for test in e.tests}
    if unknown:
        return f"the bundle tells of a test that is not there ({printable(min(unknown))}); nothing was changed"
    return ""


def _merged(course: Course, now: UnitResult, told: Told) -> UnitResult:
    tests = {
        name: TestResult(
            name=name.partition("::")[2],
            outcome=test.outcome,
            message=readable(test.message),
            duration_s=test.duration_s,
            measured=_shown(test.measured),
        )
        for name, test in told.tests.items()
    }
    return completed(course, now, tests, _named(told.completion))


def _shown(measured: Measured | UnsetType) -> Measured | UnsetType:
    """With words that are fit to be shown, wherever the bundle has been."""
    if isinstance(measured, UnsetType):
        return UNSET
    words = {name: printable(getattr(measured, name), 80) for name in ("measure", "device", "title", "pseudonym")}
    return msgspec.structs.replace(measured, **words)


def _named(completion: Completion) -> Completion:
    """The other machine, in words that are fit to be shown."""
    names = ("at", "device", "title", "isolation", "seed_id")
    words = {name: printable(getattr(completion, name)) for name in names}
    versions = {printable(name): printable(version) for name, version in completion.versions.items()}
    return msgspec.structs.replace(completion, versions=versions, **words)


def remember_merged(out: Path, bundle: Bundle, results: Sequence[UnitResult]) -> None:
    """Note the results as they are now, so that the rest of the bundle can be merged later. After they were written."""
    ledger = _read_ledger(out)
    packed = ledger.bundles[bundle.manifest.id]
    packed.update((_key(Work("", r.student, r.unit)), _result_digest(r)) for r in results if r.waiting())
    _write_ledger(out, ledger)


def _read_ledger(out: Path) -> Ledger:
    path = out / LEDGER_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Ledger)
    except FileNotFoundError:
        return Ledger()
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}; move it away and pack again") from None


def _write_ledger(out: Path, ledger: Ledger) -> None:
    path = out / LEDGER_FILE
    try:
        write_atomically(path, encode_json(ledger))
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    os.chmod(path, 0o600)


def _key(work: Work) -> str:
    return f"{work.student}\n{work.unit}"


def _result_digest(result: UnitResult) -> str:
    return digest(msgspec.json.encode(result))
