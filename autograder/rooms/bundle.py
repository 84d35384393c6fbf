"""The bundle that carries pending tests to a machine with a GPU and back: one zip file, as it is written and read.

Inside: `bundle.json` (what is in it, with a checksum of every file), `submissions/` and `results/` of those who wait,
and `kit/`, a folder that grades: this kit's source, course.toml, and graders, reference and solution of the units
concerned. A machine with python3, torch, triton, numpy, pytest and msgspec runs `python3 BUNDLE.zip`, which adds
`completed/`; then it is merged here (trips.py).

The bundle holds the hidden graders: it is for the instructor's machines, as the course folder is.
"""

import hashlib
import io
import os
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from autograder.course import COURSE_FILE, Course
from autograder.errors import UsageError
from autograder.intake.files import Unreadable
from autograder.intake.submission import Submission
from autograder.intake.unpacking import BROKEN, Caps, members
from autograder.results.record import (
    Completion,
    TestResult,
    UnitResult,
    write_atomically,
)
from autograder.rooms.completing import Waiting
from autograder.text import printable

SCHEMA = "autograder/pending/v1"
MANIFEST, KIT = "bundle.json", "kit"
_CAPS = Caps(256 << 20, 20_000, 1 << 30, 256 << 20, 64 << 20)
_NAME = re.compile(r"(__main__\.py|bundle\.json|(kit|submissions|results|completed)(/[\w.+-]*\w)+)")
_KIT = Path(__file__).resolve().parents[1]
_NOT_NEEDED = ("authoring/", "graders/")  # of the kit, on a machine that only grades

MAIN = '''\
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


class Bundle(Struct, frozen=True):
    """A bundle that was read: every file is there, none was changed, and each has a name of ours."""

    path: Path
    manifest: Manifest
    files: dict[str, bytes]

    def waiting(self) -> Iterator[tuple[Work, Waiting]]:
        """The work that is not completed yet. Raises UsageError."""
        for work in self.manifest.work:
            if f"completed/{work.number}.json" not in self.files:
                submission = self.decoded(f"submissions/{work.number}.json", Submission)
                yield work, Waiting(submission, self.decoded(f"results/{work.number}.json", UnitResult))

    def told(self) -> Iterator[tuple[Work, Told]]:
        """What was completed. Raises UsageError."""
        for work in self.manifest.work:
            name = f"completed/{work.number}.json"
            if name in self.files:
                yield work, self.decoded(name, Told)

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
        for name, packed in self.manifest.files.items():
            if not name.startswith(f"{KIT}/autograder/") or "/graders/" in name:
                continue
            ours = _KIT / name.removeprefix(f"{KIT}/autograder/")
            if not ours.is_file() or digest(ours.read_bytes()) != packed:
                raise UsageError(
                    f"{self.path} was packed by another version of the kit ({name} differs): "
                    f"run  python3 {self.path}  instead, which brings its own"
                )

    def decoded(self, name: str, kind: type[Kind]) -> Kind:
        """A file of it. Raises UsageError."""
        try:
            return msgspec.json.decode(self.files[name], type=kind)
        except (msgspec.DecodeError, KeyError) as error:
            raise UsageError(f"{self.path}: {name} cannot be read: {error}; pack the bundle again") from None


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


def write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    """Write the files as a bundle, for its owner alone. Raises UsageError."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    try:
        write_atomically(path, data.getvalue())
        os.chmod(path, 0o600)  # it holds the hidden graders
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


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
        if name not in manifest.files or digest(files[name]) != manifest.files[name]:
            raise UsageError(f"{path}: {printable(name)} is not as it was packed; pack or copy the bundle again")
    for name in files:
        if name.startswith("completed/") and name.removeprefix("completed/").removesuffix(".json") not in numbers:
            raise UsageError(f"{path}: {printable(name)} is about no work of this bundle; nothing of it was used")
    return Bundle(path, manifest, files)


def digest(data: bytes) -> str:
    """As `Manifest.files` has it."""
    return hashlib.sha256(data).hexdigest()
