"""Points that wait for a GPU: deferred here, completed there, merged back; the CPU's clock stands in for the card."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from autograder.commands import pending as commands
from autograder.course import Course, load_course
from autograder.errors import UsageError
from autograder.results.gradebook import scores
from autograder.results.record import Outcome, UnitResult, read_result
from autograder.rooms import bundle as bundles
from autograder.rooms import trips
from tests.outside import block

ROOT = Path(__file__).resolve().parents[1]
UNIT = "unit0_powers"
COURSE = f"""
id = "powers"
title = "Powers"
[[unit]]
id = "{UNIT}"
title = "Powers"
[[unit.exercise]]
id = "power"
page = "powers"
title = "Powers of a matrix"
symbols = ["power"]
points = 10
[[unit.exercise.threshold]]
measure = "time"
device = "cuda"
pass = 30.0
good = 20.0
excellent = 1e-6
measured = "made up: what anybody reaches, and what nobody does"
"""
RIGHT = """
import torch


def power(x):
    out = x
    for _ in range(30):
        out = out @ x
        out = out / out.norm()
    return out
"""
CACHED = RIGHT.replace("def power", "def work") + "\n\nkept = {}\n\n\ndef power(x):\n    if x.shape not in kept:\n"
CACHED += "        kept[x.shape] = work(x)\n    return kept[x.shape]\n"
GRADER = '''"""Powers, and how long they take on a GPU."""

import pytest

from autograder.grading import agree, close
from autograder.grading.racing import TIERS


def slow_power(x):
    out = x
    for _ in range(30):
        out = out @ x
        out = out / out.norm()
    return out


@pytest.mark.exercise("power")
@pytest.mark.weight(6)
def test_power(student, reference, draw):
    """The power of a matrix, scaled."""
    agree(student.power, reference.power, draw.tensor(7, 7))


@pytest.mark.exercise("power")
@pytest.mark.parametrize("tier", TIERS)
def test_gpu_time(student, reference, draw, gpu, tier):
    """As fast as the grader's own loop."""
    result = gpu(
        student.power,
        slow_power,
        inputs=lambda: (draw.tensor(61, 61),),
        judge=lambda answer, inputs: close(answer, reference.power(*inputs)),
        pairs=5,
    )
    result.must_reach(tier)
'''
STUDENTS = {
    "ada": RIGHT + '\n\nPSEUDONYM = "the \\x1b[31m fastest"\n',
    "bob": CACHED,
    "cyd": "def power(x):\n    raise NotImplementedError\n",
}
FILES = {
    "course/course.toml": COURSE,
    f"course/solutions/{UNIT}/powers.py": RIGHT,
    f"course/reference/{UNIT}/powers.py": '"""The loop."""\n' + RIGHT,
    f"course/autograder/graders/{UNIT}/test_powers.py": GRADER,
    **{f"submitted/{student}/{UNIT}/powers.py": text for student, text in STUDENTS.items()},
}
TIERS = [f"power::test_gpu_time[{tier}]" for tier in ("pass", "good", "excellent")]


class Class:
    """A course, its submissions, and results that wait."""

    def __init__(self, root: Path, cli: Any) -> None:
        self.root, self._cli = root, cli

    @property
    def course(self) -> Course:
        return load_course(self.root / "course")

    @property
    def out(self) -> Path:
        return self.root / "graded"

    @property
    def bundle(self) -> Path:
        return self.root / "pending.zip"

    def run(self, *arguments: object, code: int = 0) -> str:
        done = self._cli(*arguments, "--course", self.root / "course", "--out", self.out)
        assert done.returncode == code, done.stdout + done.stderr
        return str(done.stdout + done.stderr)

    def result(self, student: str) -> UnitResult:
        result = read_result(self.out / "students" / student / UNIT / "result.json")
        assert result is not None
        return result

    def outcomes(self, student: str) -> dict[str, str]:
        return {t.name: t.outcome.value for e in self.result(student).exercises for t in e.tests}


@pytest.fixture(scope="module")
def _graded(tmp_path_factory: pytest.TempPathFactory, cli: Any) -> Class:
    root = tmp_path_factory.mktemp("pending")
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    graded = Class(root, cli)
    graded.run("grade", root / "submitted", "--jobs", "1")
    graded.run("pending", "pack", root / "submitted", graded.bundle)
    return graded


@pytest.fixture
def graded(_graded: Class, tmp_path: Path, cli: Any) -> Class:
    """A copy that a test may change."""
    return Class(Path(shutil.copytree(_graded.root, tmp_path / "class")), cli)


@pytest.fixture
def there(graded: Class, tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """`python3 BUNDLE.zip ...` where nothing of this kit is installed, and little else."""
    site = tmp_path / "site"
    site.mkdir()
    block(site)

    def run(*command: object, kit: Path | None = None) -> "subprocess.CompletedProcess[str]":
        path = os.pathsep.join(map(str, [site, *([kit] if kit else [])]))
        environment = {**os.environ, "PYTHONPATH": path}
        return subprocess.run(
            [sys.executable, *map(str, command)],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return run


def test_without_the_hardware_points_are_pending(graded: Class) -> None:
    """Neither won nor lost; and nothing is pending where nothing else passes."""
    ada = graded.result("ada")
    assert (ada.score, ada.pending) == (pytest.approx(10 * 6 / 9, abs=1e-3), pytest.approx(10 * 3 / 9, abs=1e-3))
    assert ada.waiting() == TIERS == graded.result("bob").waiting()
    cyd = graded.result("cyd")
    assert (cyd.score, cyd.pending) == (0.0, 0.0)
    assert set(graded.outcomes("cyd").values()) == {"missing", "blocked"}


def test_the_whole_trip(graded: Class, there: Callable[..., "subprocess.CompletedProcess[str]"]) -> None:
    """Packed here, completed where there is no nbgrader, typer or rich, merged here; the gradebook follows."""
    before = {student: graded.result(student) for student in STUDENTS}
    done = there(graded.bundle, "--device", "cpu-as-gpu")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 results wait" in done.stdout and "stands in for a GPU" in done.stdout
    said = graded.run("pending", "merge", graded.bundle)
    assert "merged 2 of 2 results" in said and "gradebook:" in said
    ada, bob = graded.result("ada"), graded.result("bob")
    assert graded.outcomes("bob") == {"test_power": "passed"} | {f"test_gpu_time[{t}]": "failed" for t in _tiers()}
    assert bob.score == before["bob"].score and bob.pending == 0
    if not ada.waiting():  # else the machine was too busy for any ratio, and the points wait on
        assert graded.outcomes("ada") | {"test_gpu_time[good]": "?"} == {
            "test_power": "passed",
            "test_gpu_time[pass]": "passed",
            "test_gpu_time[good]": "?",
            "test_gpu_time[excellent]": "failed",
        }
        assert ada.score > before["ada"].score and ada.pending == 0
        assert isinstance(ada.completed, list) and ada.completed[0].device == "cpu-as-gpu"
        (measured,) = ada.exercises[0].measured or []
        assert (measured.measure, measured.device, measured.pairs >= 5) == ("time", "cpu-as-gpu", True)
        assert measured.lower <= measured.ratio <= measured.upper and measured.pseudonym == r"the \x1b[31m fastest"
    for student in ("ada", "bob"):
        assert graded.result(student).fingerprint == before[student].fingerprint
    assert graded.result("cyd") == before["cyd"]
    assert scores(graded.course, graded.out)["ada", UNIT] == pytest.approx(ada.score)
    again = graded.run("grade", graded.root / "submitted", "--jobs", "1")
    assert "graded 0, unchanged 3" in again, "what was completed stands"
    assert "merged before" in graded.run("pending", "merge", graded.bundle)


def _tiers() -> tuple[str, ...]:
    return ("pass", "good", "excellent")


def test_completing_in_place(graded: Class) -> None:
    """`grade --only-pending` on the machine that has the results runs what waits, and nothing else."""
    before = graded.result("bob")
    submitted = graded.root / "submitted"
    said = graded.run("grade", submitted, "--only-pending", "--device", "cpu-as-gpu", "--student", "bob")
    assert "completed 1 results" in said and "gradebook:" in said
    after = graded.result("bob")
    assert after.waiting() == [] and after.exercises[0].tests[0] == before.exercises[0].tests[0]
    assert graded.result("ada").waiting() == TIERS


def test_no_gpu_is_said_so(graded: Class) -> None:
    """Without a card nothing is completed, and why is one sentence."""
    said = graded.run("grade", graded.root / "submitted", "--only-pending", code=4)
    assert "no GPU" in said and graded.result("ada").waiting() == TIERS


def test_what_changed_in_between_is_refused_by_name(graded: Class) -> None:
    """A page that was handed in again, and a result that is not there: both are named, with what to do."""
    (graded.root / "submitted" / "ada" / UNIT / "powers.py").write_text(RIGHT + "\n# again\n", encoding="utf-8")
    shutil.rmtree(graded.out / "students" / "bob")
    said = graded.run("grade", graded.root / "submitted", "--only-pending", "--device", "cpu-as-gpu")
    assert f"ada/{UNIT}: the submission, its time or the course has changed" in said
    assert f"bob/{UNIT}: not graded yet" in said
    assert graded.result("ada").waiting() == TIERS


def test_the_bundle_needs_the_kit_that_packed_it(
    graded: Class, there: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    """With a kit at hand, `python3 -m autograder.cli grade --only-pending` works as well, if it is the same."""
    with zipfile.ZipFile(graded.bundle) as bundle:
        bundle.extractall(tmp_path / "there")
    kit = tmp_path / "there" / "kit"
    changed = kit / "autograder" / "text.py"
    text = changed.read_text()
    changed.write_text(text + "\n# changed\n")
    command = ("-m", "autograder.cli", "grade", "--only-pending", graded.bundle, "--device", "cpu-as-gpu")
    done = there(*command, kit=kit)
    assert done.returncode == 4 and "another version of the kit" in done.stderr and "text.py" in done.stderr
    changed.write_text(text)
    done = there(*command[:-2], kit=kit)
    assert done.returncode == 4 and "no GPU" in done.stderr


def test_a_bundle_holds_what_is_needed_and_nothing_else(graded: Class) -> None:
    """The tests, reference and solution of the units that wait; no seed, no other result, no authoring tools."""
    with zipfile.ZipFile(graded.bundle) as bundle:
        names = bundle.namelist()
        assert "runs.json" not in " ".join(names) and "students" not in " ".join(names)
        packed = [json.loads(bundle.read(name))["student"] for name in names if name.startswith("results/")]
    assert packed == ["ada", "bob"]
    kit = [name.removeprefix("kit/") for name in names if name.startswith("kit/")]
    assert f"autograder/graders/{UNIT}/test_powers.py" in kit and f"reference/{UNIT}/powers.py" in kit
    assert not [name for name in kit if "authoring" in name or "unit2" in name or name.endswith(".ipynb")]
    assert (
        oct(graded.bundle.stat().st_mode & 0o777)
        == "0o600"
        == oct((graded.out / "pending.json").stat().st_mode & 0o777)
    )


# ---------------------------------------------------------------- bad bundles, without a process


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The bundle with some of its files changed, added or removed."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@contextlib.contextmanager
def refused(*words: str) -> Iterator[None]:
    with pytest.raises(UsageError) as caught:
        yield
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize("name", ["../evil.py", "kit/../../evil.py", "/etc/evil", "kit\\..\\evil.py"])
def test_a_name_that_leaves_the_bundle(graded: Class, name: str) -> None:
    """Nothing of such a bundle is used."""
    path = rewritten(graded.bundle, lambda files: files.update({name: b"x"}))
    with refused("does not belong into a bundle"):
        bundles.read_bundle(path)


def test_a_link_in_a_bundle(graded: Class) -> None:
    """A symbolic link is no file of ours."""
    with zipfile.ZipFile(graded.bundle, "a") as archive:
        link = zipfile.ZipInfo("kit/link.py")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with refused("does not belong into a bundle"):
        bundles.read_bundle(graded.bundle)


def test_missing_changed_and_unknown_files(graded: Class, tmp_path: Path) -> None:
    """Each is named."""
    original = graded.bundle.read_bytes()

    def changed(change: Callable[[dict[str, bytes]], None]) -> Path:
        path = tmp_path / "changed.zip"
        path.write_bytes(original)
        return rewritten(path, change)

    with refused("results/00001.json is missing"):
        bundles.read_bundle(changed(lambda files: files.pop("results/00001.json")))  # type: ignore[arg-type, return-value]
    with refused("submissions/00002.json is not as it was packed"):
        bundles.read_bundle(changed(lambda files: files.update({"submissions/00002.json": b"{}"})))
    with refused("kit/more.py is not as it was packed"):
        bundles.read_bundle(changed(lambda files: files.update({"kit/more.py": b""})))
    with refused("completed/00009.json is about no work"):
        bundles.read_bundle(changed(lambda files: files.update({"completed/00009.json": b"{}"})))
    with refused("no bundle.json"):
        bundles.read_bundle(changed(lambda files: files.pop("bundle.json")))  # type: ignore[arg-type, return-value]
    with refused("a bundle of the kind"):
        bundles.read_bundle(changed(lambda files: _edit(files, schema="other/v9")))
    nothing = tmp_path / "nothing.zip"
    with refused("does not exist"):
        bundles.read_bundle(nothing)
    nothing.write_bytes(b"PK\x03\x04 not a zip")
    with refused("cannot be read"):
        bundles.read_bundle(nothing)
    assert not bundles.is_bundle(nothing)


def _edit(files: dict[str, bytes], **values: object) -> None:
    files["bundle.json"] = json.dumps(json.loads(files["bundle.json"]) | values).encode()


def _told(tests: dict[str, str]) -> bytes:
    """What a bundle would say of a result."""
    return json.dumps(
        {
            "tests": {name: {"name": name, "outcome": outcome, "weight": 99.0} for name, outcome in tests.items()},
            "completion": {
                "at": "2026-12-01T00:00:00Z",
                "device": "sm_90",
                "title": "x",
                "isolation": "landlock",
                "versions": {},
                "seed_id": "0",
            },
        }
    ).encode()


def merged(graded: Class, change: Callable[[dict[str, bytes]], None]) -> trips.Merged:
    return trips.merge(graded.course, graded.out, bundles.read_bundle(rewritten(graded.bundle, change)))


def test_a_bundle_of_another_course_or_origin(graded: Class) -> None:
    """A bundle that was not packed from these results is not believed, whoever made it."""
    with refused("is of the course 'other'"):
        merged(graded, lambda files: _edit(files, course="other"))
    with refused("was not packed from", "nothing in it is believed"):
        merged(graded, lambda files: _edit(files, course="powers", id="0" * 32))


def test_only_what_waits_is_taken(graded: Class) -> None:
    """Outcomes of other tests and weights stay; a test that is still undecided waits on."""
    told = _told({"power::test_power": "failed", TIERS[0]: "passed", TIERS[1]: "deferred", TIERS[2]: "failed"})
    found = merged(graded, lambda files: files.update({"completed/00001.json": told}))
    assert found.refused == [f"bob/{UNIT}: not completed in this bundle yet; it stays pending"]
    tests = {t.name: t for t in found.results[0].exercises[0].tests}
    assert tests["test_power"] == graded.result("ada").exercises[0].tests[0]
    assert tests["test_gpu_time[pass]"].outcome is Outcome.PASSED and tests["test_gpu_time[pass]"].weight == 1
    assert found.results[0].waiting() == [TIERS[1]]


def test_words_about_the_other_machine_are_fit_to_be_shown(graded: Class) -> None:
    """What the bundle calls the machine is written out where it cannot be seen."""
    told = _told({TIERS[0]: "passed"}).replace(b'"title": "x"', b'"title": "\\u202ea \\u001b[31m card"')
    found = merged(graded, lambda files: files.update({"completed/00001.json": told}))
    (completion,) = found.results[0].completed or []
    assert completion.title == r"\u202ea \x1b[31m card"


def test_a_test_that_nobody_knows(graded: Class) -> None:
    """The whole result is refused."""
    told = _told({TIERS[0]: "passed", "power::test_more": "passed"})
    found = merged(graded, lambda files: files.update({"completed/00001.json": told}))
    assert found.results == [] and "a test that is not there (power::test_more)" in found.refused[0]


def test_graded_again_since_it_was_packed(graded: Class) -> None:
    """What stands by now is not overwritten."""
    result = graded.result("ada")
    path = graded.out / "students" / "ada" / UNIT / "result.json"
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(result, graded_at="2027-01-01T00:00:00Z")))
    told = _told(dict.fromkeys(TIERS, "passed"))
    found = merged(graded, lambda files: files.update({"completed/00001.json": told}))
    assert found.results == [] and "graded again or completed elsewhere" in found.refused[0]


def test_the_rest_of_a_bundle_can_follow(graded: Class) -> None:
    """What one visit to the machine has not decided, the next one may."""
    said = io.StringIO()
    for outcomes in ({TIERS[0]: "passed"}, dict.fromkeys(TIERS, "failed")):
        told = _told(outcomes)
        rewritten(graded.bundle, lambda files, told=told: files.update({"completed/00001.json": told}))  # type: ignore[misc]
        commands.merge(graded.course, graded.bundle, graded.out, lambda line: print(line, file=said))
    tests = graded.outcomes("ada")
    assert [tests[name.partition("::")[2]] for name in TIERS] == ["passed", "failed", "failed"], said.getvalue()


def test_what_is_done_is_not_done_again(graded: Class) -> None:
    """A bundle that was stopped half-way goes on with the rest."""
    told = _told({TIERS[0]: "passed"})
    rewritten(graded.bundle, lambda files: files.update({"completed/00001.json": told}))
    assert [work.student for work, _ in bundles.read_bundle(graded.bundle).waiting()] == ["bob"]
