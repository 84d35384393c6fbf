"""`autograder export gradescope-bundle OUT.zip --unit U`: the autograder of a programming assignment on Gradescope.

Gradescope unpacks the zip to /autograder/source, runs setup.sh once to build an image, and run_autograder for each
submission, in a container without privileges. Grading takes the landlock rung there (bubblewrap where user namespaces
are allowed) and refuses where neither works: then no results.json is written, and Gradescope shows the run as failed.

Source: gradescope/autograder_samples, docs/specs.md.
"""

import zipfile
from pathlib import Path

from autograder.course import Course, Unit
from autograder.errors import UsageError
from autograder.intake.released import RELEASED_FILE
from autograder.rooms.bundle import KIT, kit_files

_SETUP = """\
#!/usr/bin/env bash
# Builds the image: Python 3.11 or newer, torch's CPU build, and the kit.
set -euo pipefail
apt-get update -qq
apt-get install -y -qq bubblewrap python3-venv || true
python=python3
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    apt-get install -y -qq python3.11 python3.11-venv
    python=python3.11
fi
"$python" -m venv /autograder/venv
/autograder/venv/bin/pip install --quiet "torch=={torch}" --index-url https://download.pytorch.org/whl/cpu
kit=/autograder/source/kit
/autograder/venv/bin/pip install --quiet -c $kit/constraints.txt "$kit[nbgrader,kernels]"
"""

_RUN = '''\
#!/usr/bin/env python3
"""Grades /autograder/submission and writes /autograder/results/results.json. Needs the standard library only."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(os.environ.get("AUTOGRADER_ROOT", "/autograder"))
PYTHON = os.environ.get("AUTOGRADER_PYTHON", str(ROOT / "venv" / "bin" / "python"))
UNIT = "{unit}"


def main() -> int:
    kit, work = ROOT / "source" / "kit", ROOT / "work"
    shutil.rmtree(work, ignore_errors=True)
    metadata = ROOT / "submission_metadata.json"
    try:
        told = json.loads(metadata.read_text(encoding="utf-8-sig"))
        student, when = name_of(told.get("users")), str(told["created_at"] or "")
    except (OSError, ValueError, KeyError, AttributeError) as error:
        print(f"{metadata} does not say when this was handed in: {error!r}; submit it again", file=sys.stderr)
        return 1
    handed_in = work / "submitted" / student / UNIT
    shutil.copytree(ROOT / "submission", handed_in, symlinks=True)
    own = handed_in / "timestamp.txt"  # SECURITY: nbgrader's exchange would say when it came, and be believed
    if own.is_file() or own.is_symlink():
        own.unlink()
    with open(work / "times.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["student", "unit", "submitted_at"], [student, UNIT, when]])
    one = ["--unit", UNIT, "--student", student, "--course", str(kit)]
    times = ["--submitted-at", str(work / "times.csv")]
    out = ["--out", str(work / "graded"), "--no-gradebook", "--jobs", "1", "--layout", "nbgrader"]
    graded = run("grade", str(work / "submitted"), *one, *times, *out)
    if graded not in (0, 3):  # 3: one of our tests broke, which lowers no score
        print("this submission could not be graded; it is not the student's fault. See above.", file=sys.stderr)
        return 1
    results = ROOT / "results"
    results.mkdir(exist_ok=True)
    return run("export", "gradescope", str(work / "graded"), str(results / "results.json"), *one)


def name_of(users) -> str:
    """What a submission's people are called here: their ids, or what else is told of them, in one name."""
    told = [user if isinstance(user, dict) else {} for user in users or []]
    names = [str(user.get("id") or user.get("email") or user.get("name") or "student") for user in told]
    names = [re.sub(r"[^\\w@.+-]", "_", name).lstrip(".") or "student" for name in names] or ["student"]
    joined = "-".join(names)
    return joined if len(joined) <= 100 else f"{names[0][:80]}-and-{len(names) - 1}-more"


def run(*arguments: str) -> int:
    # the kit from its folder: an installed copy holds no graders
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "source" / "kit")}
    return subprocess.run([PYTHON, "-m", "autograder.cli", *arguments], env=environment, check=False).returncode


sys.exit(main())
'''


def write_bundle(course: Course, unit: Unit, out: Path, torch: str) -> Path:
    """Write the zip: two scripts, and the kit with the hidden parts of one unit. Raises UsageError."""
    if out.suffix != ".zip":
        raise UsageError(f"{out}: a Gradescope bundle is a zip; give a name that ends in .zip")
    shipped = [course.root / name for name in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE")]
    missing = [str(file) for file in shipped if not file.is_file()]
    if missing:
        raise UsageError(f"{missing[0]} does not exist: a Gradescope bundle is made from the folder of the whole kit")
    released = course.assignments / RELEASED_FILE
    shipped += [released] if released.is_file() else []
    try:
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bundle:
            for name, text in (("setup.sh", _SETUP), ("run_autograder", _RUN)):
                entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                entry.external_attr = 0o755 << 16
                bundle.writestr(entry, text.replace("{unit}", unit.id).replace("{torch}", torch))
            for path in shipped:
                bundle.write(path, f"{KIT}/{path.relative_to(course.root).as_posix()}")
            for name, data in kit_files(course, [unit.id]):
                bundle.writestr(name, data)
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}; give another name") from None
    return out
