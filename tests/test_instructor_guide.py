"""docs/instructor.md, followed to the letter in a fresh copy of the repository."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.outside import fresh_clone, guide_commands

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = guide_commands("instructor.md")


def test_the_guide_names_what_is_there() -> None:
    """Its links lead somewhere, and each of its commands is one of ours, make or the shell."""
    text = (ROOT / "docs" / "instructor.md").read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / "docs" / link).exists(), link
    assert {command.split()[0] for command in COMMANDS} <= {"make", "source", "autograder", "printf"}


@pytest.mark.slow
def test_from_a_fresh_clone_to_exported_grades(tmp_path: Path) -> None:
    """Every command ends well; the exports hold the class; neither an extension nor a dry run grades anything again."""
    clone = fresh_clone(tmp_path / "course")
    (clone / ".venv" / "bin").mkdir(parents=True)
    run = f'#!/bin/sh\nPYTHONPATH="{clone}" exec "{sys.executable}" -m autograder.cli "$@"\n'
    (clone / ".venv" / "bin" / "autograder").write_text(run)
    (clone / ".venv" / "bin" / "autograder").chmod(0o755)
    lines = ["set -eu"]
    for command in COMMANDS:  # `make setup` would install it all once more; its environment stands in for it
        lines += [f'echo "## {command.split(">")[0].strip()}"']
        lines += ['PATH="$PWD/.venv/bin:$PATH"'] if command.startswith("source") else []
        lines += [command] if not command.startswith(("make", "source")) else []
    done = subprocess.run(["bash", "-c", "\n".join(lines)], cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = dict(re.findall(r"(?ms)^## ([^\n]*)\n(.*?)(?=^## |\Z)", done.stdout))
    assert (
        "half-finished, unit2_self_attention:"
        in told["autograder show half-finished unit2_self_attention --out trial/graded"]
    )
    assert "0 graded again" in told["autograder grade trial/submitted --out trial/graded --dry-run"]
    summary = (clone / "summary.md").read_text(encoding="utf-8")
    assert "solved&#45;as&#45;modules" in summary and "solved-as-modules" in (clone / "grades.csv").read_text(
        encoding="utf-8-sig"
    )
    assert (clone / "canvas.csv").is_file() and (clone / "junit.xml").is_file() and (clone / "kit.zip").is_file()
