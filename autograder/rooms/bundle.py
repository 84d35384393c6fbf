"""The bundle that carries pending tests to a machine with a GPU and back: one zip file each way.

Inside: `bundle.json` (what is in it, with a checksum of every file), `submissions/` and `results/` of those who wait,
and `kit/`, a folder that grades: this kit's source, course.toml, and graders, reference and solution of the units
concerned. A machine with python3, torch, triton, numpy, pytest and msgspec runs `python3 BUNDLE.zip`, which adds
`completed/`; then it is merged here.

The bundle holds the hidden graders: it is for the instructor's machines, as the course folder is.

SECURITY: a bundle is believed only where its random id stands in `pending.json` beside the results, which no student
reads; and then only about the tests that wait there, of results that are still as they were packed.
"""

import hashlib
import io
import os
import re
import secrets
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from autograder.course import COURSE_FILE, Course
from autograder.errors import UsageError
from autograder.intake.files import Unreadable
from autograder.intake.submission import Submission
from autograder.intake.unpacking import BROKEN, Caps, members
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
from autograder.rooms.completing import Waiting, completed
from autograder.text import printable, readable

SCHEMA = "autograder/pending/v1"
LEDGER_FILE = "pending.json"
MANIFEST, KIT = "bundle.json", "kit"
_CAPS = Caps(256 << 20, 20_000, 1 << 30, 256 << 20, 64 << 20)
_NAME = re.compile(r"(__main__\.py|bundle\.json|(kit|submissions|results|completed)(/[\w.+-]*\w)+)")
_KIT = Path(__file__).resolve().parents[1]
_NOT_NEEDED = ("authoring/", "graders/")  # of the kit, on a machine that only grades

_MAIN = '''\
"""Completes the pending tests of this bundle: python3 BUNDLE.zip [--isolation landlock|bubblewrap|none]"""

import sys
import tempfile
import zipfile

with tempfile.TemporaryDirectory(prefix="autograder-") as folder:
    with zipfile.ZipFile(sys.argv[0]) as bundle:
        bundle.extractall(folder, [name for name in bundle.namelist() if name.startswith("kit/")])
    sys.path.insert(0, folder + "/kit")
    from autograder.commands.bare import main

    status = main(["grade", "--only-pending", *sys.argv])
sys.exit(status)
'''


Kind = TypeVar("Kind")


class Work(Struct, frozen=True):
    """One submission whose result waits; `number` names its files."""

    number: str
    student: str
    unit: str


class Manifest(Struct, frozen=True, kw_only=True):
    """`bundle.json`. `files` are SHA-256 sums."""

    schema: str = SCHEMA
    id: str
    course: str
    packed_at: str
    work: list[Work]
    files: dict[str, str]


class Told(Struct, frozen=True, kw_only=True):
    """`completed/<number>.json`: what the other machine says of one result."""

    tests: dict[str, TestResult]
    completion: Completion


class Ledger(Struct):
    """`pending.json`: the digests of the results that each bundle carries, by `<student>\\n<unit>`."""

    bundles: dict[str, dict[str, str]] = {}


class Bundle(Struct, frozen=True):
    """A bundle that was read: every file is there, none was changed, and each has a name of ours."""

    path: Path
    manifest: Manifest
    files: dict[str, bytes]

    def waiting(self) -> Iterator[tuple[Work, Waiting]]:
        """The work that is not completed yet. Raises UsageError."""
        for work in self.manifest.work:
            if f"completed/{work.number}.json" not in self.files:
                submission = self._decoded(f"submissions/{work.number}.json", Submission)
                yield work, Waiting(submission, self._decoded(f"results/{work.number}.json", UnitResult))

    def told(self) -> Iterator[tuple[Work, Told]]:
        """What was completed. Raises UsageError."""
        for work in self.manifest.work:
            name = f"completed/{work.number}.json"
            if name in self.files:
                yield work, self._decoded(name, Told)

    def unpack_kit(self, folder: Path) -> Path:
        """Write the course into `folder`; returns its root. Names were checked when the bundle was read."""
        for name, data in self.files.items():
            if name.startswith(f"{KIT}/"):
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        return folder / KIT

    def require_this_kit(self) -> None:
        """Raises UsageError where the bundle was packed by another kit than the one that runs."""
        for name, digest in self.manifest.files.items():
            if not name.startswith(f"{KIT}/autograder/") or "/graders/" in name:
                continue
            ours = _KIT / name.removeprefix(f"{KIT}/autograder/")
            if not ours.is_file() or _digest(ours.read_bytes()) != digest:
                raise UsageError(
                    f"{self.path} was packed by another version of the kit ({name} differs): "
                    f"run  python3 {self.path}  instead, which brings its own"
                )

    def _decoded(self, name: str, kind: type[Kind]) -> Kind:
        try:
            return msgspec.json.decode(self.files[name], type=kind)
        except (msgspec.DecodeError, KeyError) as error:
            raise UsageError(f"{self.path}: {name} cannot be read: {error}; pack the bundle again") from None


# ---------------------------------------------------------------- there


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
    files["__main__.py"] = _MAIN.encode()
    manifest = Manifest(
        id=secrets.token_hex(16),
        course=course.id,
        packed_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        work=work,
        files={name: _digest(data) for name, data in files.items()},
    )
    files[MANIFEST] = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    ledger = _read_ledger(out)
    ledger.bundles[manifest.id] = {_key(w): _result_digest(one.result) for w, one in zip(work, waiting, strict=True)}
    _write_ledger(out, ledger)
    _write_zip(path, files)
    return manifest


def add_completed(bundle: Bundle, work: Work, result: UnitResult) -> None:
    """Put one completed result into the bundle, so that what is done is kept whatever comes."""
    before = bundle._decoded(f"results/{work.number}.json", UnitResult)
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
    _write_zip(bundle.path, bundle.files)


def kit_files(course: Course, units: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """What a machine needs that grades these units, by its name below `kit/`: the hidden parts of no other unit."""
    for path in sorted(_KIT.rglob("*.py")):
        name = path.relative_to(_KIT).as_posix()
        if not name.startswith(_NOT_NEEDED):
            yield f"{KIT}/autograder/{name}", path.read_bytes()
    yield f"{KIT}/{COURSE_FILE}", (course.root / COURSE_FILE).read_bytes()
    for unit in units:
        for folder in (course.graders / unit, course.reference / unit):
            for path in sorted(folder.rglob("*.py")):
                yield f"{KIT}/{path.relative_to(course.root).as_posix()}", path.read_bytes()
        for page in course.unit(unit).pages:
            solution = course.solutions / unit / f"{page.name}.py"
            if solution.is_file():
                yield f"{KIT}/{solution.relative_to(course.root).as_posix()}", solution.read_bytes()


def _write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    try:
        write_atomically(path, data.getvalue())
        os.chmod(path, 0o600)  # it holds the hidden graders
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


# ---------------------------------------------------------------- reading


def is_bundle(path: Path) -> bool:
    """Whether the file at `path` is meant as a bundle, whatever else may be wrong with it."""
    try:
        with zipfile.ZipFile(path) as archive:
            return MANIFEST in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def read_bundle(path: Path) -> Bundle:
    """Read and check a bundle, in memory. Raises UsageError for one that is not as it was packed."""
    if not path.is_file():
        raise UsageError(f"{path} does not exist: give the bundle that `autograder pending pack` wrote")
    files: dict[str, bytes] = {}
    try:
        with open(path, "rb") as file:
            for member in members(file, path.name, _CAPS):
                if member.kind == "folder":
                    continue
                shown = printable(member.path)
                # SECURITY: a name that leaves its folder, a link, or one file twice: not from `pack`
                if member.kind != "file" or not _NAME.fullmatch(member.path) or ".." in member.path.split("/"):
                    raise UsageError(f"{path}: {shown} does not belong into a bundle; nothing of it was used")
                if member.path in files:
                    raise UsageError(f"{path}: {shown} is in it twice; nothing of it was used")
                files[member.path] = member.read()
                if sum(map(len, files.values())) > _CAPS.kept_bytes:
                    raise UsageError(
                        f"{path} unpacks to more than {_CAPS.kept_bytes >> 20} MiB; nothing of it was used"
                    )
    except (Unreadable, *BROKEN) as error:
        raise UsageError(f"{path} cannot be read: {printable(str(error), 160)}; is it a bundle?") from None
    if MANIFEST not in files:
        raise UsageError(f"{path}: no {MANIFEST} in it; give the bundle that `autograder pending pack` wrote")
    try:
        manifest = msgspec.json.decode(files[MANIFEST], type=Manifest)
    except msgspec.DecodeError as error:
        raise UsageError(f"{path}: {MANIFEST} cannot be read: {error}") from None
    if manifest.schema != SCHEMA:
        raise UsageError(f"{path}: a bundle of the kind {printable(manifest.schema)}; this kit reads {SCHEMA}")
    numbers = {work.number for work in manifest.work}
    for name in sorted({*manifest.files, *(name for name in files if not name.startswith("completed/"))} - {MANIFEST}):
        if name not in files:
            raise UsageError(f"{path}: {printable(name)} is missing from it; pack or copy the bundle again")
        if name not in manifest.files or _digest(files[name]) != manifest.files[name]:
            raise UsageError(f"{path}: {printable(name)} is not as it was packed; pack or copy the bundle again")
    for name in files:
        if name.startswith("completed/") and name.removeprefix("completed/").removesuffix(".json") not in numbers:
            raise UsageError(f"{path}: {printable(name)} is about no work of this bundle; nothing of it was used")
    return Bundle(path, manifest, files)


# ---------------------------------------------------------------- and back


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
        if isinstance(now.completed, list) and told.completion in now.completed:
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
    return completed(course, now, tests, told.completion)


def _shown(measured: Measured | UnsetType) -> Measured | UnsetType:
    """With words that are fit to be shown, wherever the bundle has been."""
    if isinstance(measured, UnsetType):
        return UNSET
    words = {name: printable(getattr(measured, name), 80) for name in ("measure", "device", "title", "pseudonym")}
    return msgspec.structs.replace(measured, **words)


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
    return _digest(msgspec.json.encode(result))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
