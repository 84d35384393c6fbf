"""The workflows under .github/ and docs/ci/, and Gradescope's bundle: their shell steps, run without their services."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from autograder.authoring import build
from autograder.course import Course, load_course
from tests.outside import fresh_clone, unpacked_kit

ROOT = Path(__file__).resolve().parents[1]
UNIT = "unit0_prerequisites"
WORKFLOWS = (ROOT / ".github/workflows/test.yml", ROOT / "docs/ci/student.yml", ROOT / "docs/ci/instructor.yml")


def steps(path: Path, job: str) -> Iterator[dict[str, Any]]:
    """The steps of a job that are shell lines."""
    for step in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"][job]["steps"]:
        if "run" in step:
            yield step


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_are_what_github_reads(path: Path) -> None:
    """Jobs with a machine, a time limit and steps; a step runs or uses something; actions are pinned to a version."""
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert True in workflow or "on" in workflow  # YAML 1.1 reads the key `on` as true
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 180 and job["runs-on"]
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            assert "uses" not in step or "@v" in step["uses"]
            assert "${{" not in step.get("run", ""), "what a person types reaches the shell by `env` only"


def run_steps(lines: list[str], folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    script = "\n".join(["set -eo pipefail", *lines])
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **environment}
    return subprocess.run(["bash", "-c", script], cwd=folder, env=env, capture_output=True, text=True, check=False)


def solved(course: Course, folder: Path) -> None:
    """The unit's solutions as pages."""
    folder.mkdir(parents=True)
    unit = course.unit(UNIT)
    for page in unit.pages:
        notebook = build.source_notebook(course, unit, page)
        (folder / f"{page.name}.ipynb").write_bytes(build._write_notebook(notebook))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files of the repository, as a fresh clone has them, with an environment that is set up already."""
    copy = fresh_clone(tmp_path / "course")
    (copy / ".venv").mkdir()
    (copy / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    return copy


@pytest.mark.slow
@pytest.mark.parametrize("system", ["github", "gitlab"])
def test_an_instructors_repository(course: Course, checkout: Path, system: str) -> None:
    """Collected submissions are graded, and the reports are there: a summary, a table, JUnit's XML."""
    solved(course, checkout / "submitted" / "ada" / UNIT)
    shutil.copytree(ROOT / "assignments" / UNIT, checkout / "submitted" / "bob" / UNIT)
    if system == "github":
        lines = [
            step["run"] for step in steps(ROOT / "docs/ci/instructor.yml", "grade") if "make setup" not in step["run"]
        ]
    else:
        jobs = yaml.safe_load((ROOT / "docs/ci/gitlab-ci.yml").read_text(encoding="utf-8"))
        lines = [line for line in jobs["grade"]["script"] if not line.startswith(("apt-get", "make"))]
    summary = checkout / "job-summary.md"
    done = run_steps(lines, checkout, GITHUB_STEP_SUMMARY=str(summary), MIN_SCORE="", PYTHONPATH=str(checkout))
    assert done.returncode == 0, done.stdout + done.stderr
    told = (checkout / "reports" / "summary.md").read_text(encoding="utf-8")
    assert "<code>ada</code> | 82 |" in told and "<code>bob</code> | 0 |" in told
    assert system == "gitlab" or summary.read_text(encoding="utf-8") == told
    assert (checkout / "reports" / "junit.xml").is_file() and (checkout / "reports" / "grades.csv").is_file()
    assert (checkout / "graded" / "gradebook.db").is_file()


@pytest.mark.parametrize("system", ["github", "gitlab"])
@pytest.mark.parametrize("code", [0, 3])
def test_reports_of_a_run_that_fails(tmp_path: Path, system: str, code: int) -> None:
    """A grader error, or too few points, end the job as failed, with its reports, and the cache is kept."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    tool = tmp_path / ".venv" / "bin" / "autograder"
    tool.write_text(f'#!/bin/sh\n[ "$1" = grade ] && exit {code}\necho written > "$4"\n')
    tool.chmod(0o755)
    if system == "github":
        job = yaml.safe_load((ROOT / "docs/ci/instructor.yml").read_text(encoding="utf-8"))["jobs"]["grade"]
        after = [step for step in job["steps"] if step.get("if") == "always()"]
        assert {"actions/cache/save@v4", "actions/upload-artifact@v4"} <= {step.get("uses") for step in after}
        lines = [step["run"] for step in after if "run" in step]
    else:
        job = yaml.safe_load((ROOT / "docs/ci/gitlab-ci.yml").read_text(encoding="utf-8"))["grade"]
        assert job["artifacts"]["when"] == job["cache"]["when"] == "always"
        lines = [line for line in job["script"] if not line.startswith(("apt-get", "make"))]
    done = run_steps(lines, tmp_path, GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md"))
    assert done.returncode == (code if system == "gitlab" else 0), done.stderr
    assert {path.name for path in (tmp_path / "reports").iterdir()} == {"summary.md", "grades.csv", "junit.xml"}


@pytest.mark.parametrize("path", ["student.yml", "gitlab-ci.yml"])
def test_of_two_kits_the_newer_is_installed(tmp_path: Path, path: str) -> None:
    """A student who unpacks a later kit over the first one has two wheels."""
    for version in ("0.2.0", "0.10.0"):
        (tmp_path / f"attention_autograder-{version}-py3-none-any.whl").touch()
    text = (ROOT / "docs" / "ci" / path).read_text(encoding="utf-8")
    (line,) = [line.strip().removeprefix("- ") for line in text.splitlines() if "[kernels]" in line]
    done = run_steps([line.replace("pip install", "echo")], tmp_path)
    assert done.stdout == "./attention_autograder-0.10.0-py3-none-any.whl[kernels]\n"


@pytest.mark.slow
def test_a_students_repository(course: Course, tmp_path: Path) -> None:
    """Public checks on each push: red while something is missing, with the output in the job's summary."""
    root = unpacked_kit(course, tmp_path)
    (lines,) = [
        step["run"] for step in steps(ROOT / "docs/ci/student.yml", "check") if "pip install" not in step["run"]
    ]
    done = run_steps([lines], root, GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md"), PYTHONPATH=str(ROOT))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "✗ softmax_stable" in (tmp_path / "summary.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gradescope's /autograder, with the bundle unpacked and one submission."""
    from rich.console import Console

    from autograder.commands.export import export_bundle

    root = tmp_path_factory.mktemp("autograder")
    export_bundle(load_course(ROOT), UNIT, root / "bundle.zip", None, Console(quiet=True))
    with zipfile.ZipFile(root / "bundle.zip") as packed:
        packed.extractall(root / "source")
    (root / "submission_metadata.json").write_text(
        json.dumps(
            {"created_at": "2026-11-29T10:00:00-08:00", "users": [{"id": 7, "name": "Zoë, =1", "email": "z@x.y"}]}
        )
    )
    return root


def test_a_bundle_holds_one_unit(bundle: Path) -> None:
    """The two scripts can be run; the graders of the unit are there, and those of no other."""
    with zipfile.ZipFile(bundle / "bundle.zip") as packed:
        modes = {info.filename: info.external_attr >> 16 for info in packed.infolist()}
    assert modes["setup.sh"] & 0o111 and modes["run_autograder"] & 0o111
    graders = {name.split("/")[3] for name in modes if name.startswith("kit/autograder/graders/")}
    assert graders == {UNIT}
    assert not any("__pycache__" in name for name in modes)


@pytest.mark.slow
def test_gradescope_runs_the_bundle(bundle: Path, course: Course) -> None:
    """A submission in, results.json out, in Gradescope's form, with the student's points."""
    solved(course, bundle / "submission")
    env = {**os.environ, "AUTOGRADER_ROOT": str(bundle), "AUTOGRADER_PYTHON": sys.executable}
    command = [sys.executable, bundle / "source" / "run_autograder"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((bundle / "results" / "results.json").read_text(encoding="utf-8"))
    assert results["score"] == course.unit(UNIT).points == sum(test["max_score"] for test in results["tests"])


def test_gradescope_where_nothing_isolates(bundle: Path) -> None:
    """No results are written where grading is refused: Gradescope then shows the run as failed, not as a zero."""
    (bundle / "submission").mkdir(exist_ok=True)
    (bundle / "results").mkdir(exist_ok=True)
    (bundle / "results" / "results.json").unlink(missing_ok=True)
    env = {**os.environ, "AUTOGRADER_ROOT": str(bundle), "AUTOGRADER_PYTHON": "/bin/false"}
    command = [sys.executable, bundle / "source" / "run_autograder"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "not the student's fault" in done.stderr
    assert not (bundle / "results" / "results.json").exists()


@pytest.mark.parametrize(
    ("told", "student"),
    [
        ({"users": [{"id": 9}, {"id": 3}]}, "9-3"),
        ({"users": None}, "student"),
        ({}, "student"),
        ({"users": [{"email": "z@x.y"}, {"name": "../Zoë"}, {}]}, "z@x.y-_Zoë-student"),
        ({"users": [{"id": 10**8 + i} for i in range(20)]}, "100000000-and-19-more"),
    ],
)
def test_whoever_gradescope_names(bundle: Path, tmp_path: Path, told: dict[str, object], student: str) -> None:
    """A group, and people of whom little is told, have a name that is one; the student's own timestamp.txt is none."""
    root = copied(bundle, tmp_path, json.dumps({"created_at": "2026-11-29T10:00:00-08:00", **told}))
    run_bundle(root)
    assert [path.name for path in (root / "work" / "submitted").iterdir()] == [student]
    times = (root / "work" / "times.csv").read_text(encoding="utf-8").splitlines()
    assert times[1] == f"{student},{UNIT},2026-11-29T10:00:00-08:00"
    assert [path.name for path in (root / "work" / "submitted" / student / UNIT).iterdir()] == ["page.py"]


@pytest.mark.parametrize("text", ["{", "[]", "{}", None])
def test_gradescopes_metadata_without_a_time(bundle: Path, tmp_path: Path, text: str | None) -> None:
    """One sentence that names the file, and no results: nobody is on time for a broken file."""
    done = run_bundle(root := copied(bundle, tmp_path, text))
    assert done.returncode == 1 and not (root / "results" / "results.json").exists()
    assert "submission_metadata.json does not say when this was handed in" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bundle_knows_no_extensions(tiny_course: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever granted some is told before the first student with one is charged."""
    from rich.console import Console

    from autograder.commands.export import export_bundle

    made = tiny_course(tmp_path)
    for name in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
        (made.root / name).touch()
    for granted in (False, True):
        if granted:
            (made.root / "extensions.csv").write_text("student,unit,due,days,excused,note\n")
        export_bundle(made, made.unit_ids[0], tmp_path / "b.zip", None, Console(width=300))
        assert ("extensions.csv does not go with it" in capsys.readouterr().out) == granted


def copied(bundle: Path, root: Path, metadata: str | None) -> Path:
    """Another /autograder, with a submission of two files and this metadata."""
    shutil.copytree(bundle / "source", root / "source")
    (root / "submission").mkdir()
    (root / "submission" / "page.py").write_text("x = 1\n")
    (root / "submission" / "timestamp.txt").write_text("2020-01-01 00:00:00 UTC\n")
    if metadata is not None:
        (root / "submission_metadata.json").write_text(metadata, encoding="utf-8-sig")
    return root


def run_bundle(root: Path) -> "subprocess.CompletedProcess[str]":
    """run_autograder, where no grading is possible."""
    env = {**os.environ, "AUTOGRADER_ROOT": str(root), "AUTOGRADER_PYTHON": "/bin/false"}
    command = [sys.executable, root / "source" / "run_autograder"]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)
