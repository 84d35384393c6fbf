"""Lays the attacks out as submissions, grades them through the command line, and watches what that leaves behind.

An attack is a folder here: `attack.toml` says what it tries and what may come of it, `arena.py` and `fair.py` are its
pages, other files lie beside them as they are handed in. A name that ends in `.attack` loses that ending (so that our
own pytest never meets a planted conftest.py); `make.py` makes what git cannot hold; `accomplice.py` is the page of a
second student, graded just before, in the same sandbox. `{{word}}` in a page is filled in by `_fill`.
"""

import importlib.util
import os
import runpy
import secrets
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from msgspec import Struct, field

from autograder.course import load_course
from autograder.results.gradebook import scores
from autograder.results.record import UnitResult, read_result, result_path
from autograder.sandbox.rungs import RUNGS, probe

HERE = Path(__file__).parent
UNIT = "unit0_arena"
SEED = "00112233445566778899aabbccddeeff"
HONEST = ("aaa_first", "mmm_middle", "zzz_last")
USERNS = "userns"
ACCOMPLICE = ".accomplice"  # sorts before the attack's own name with anything behind it

collect_ignore_glob = ["*/*"]  # attacks and their course are data


def _sibling(name: str) -> ModuleType:
    """A module of this folder, which is no package and not on the path."""
    spec = importlib.util.spec_from_file_location(f"tests.attacks.{name}", HERE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


watching = _sibling("watching")


class Attack(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """attack.toml. `expect` are the outcomes allowed on the attacked exercise; none where no result comes about."""

    description: str
    attacks: str = "attacked"
    expect: tuple[str, ...] = ("failed", "raised", "missing")
    keeps: tuple[str, ...] = ("honest", "layer")
    max_score: float = 0.0  # what it honestly earned of the attacked exercise
    rungs: tuple[str, ...] = ()  # all, where none is named; `userns` counts as bubblewrap
    not_as_root: bool = False  # not where root itself works in a user namespace (`userns`): docs/security.md
    needs: tuple[str, ...] = ()  # "root": making its files takes root


class Graded(Struct, kw_only=True):
    """One run of the command line, and what was seen around it."""

    results: dict[str, UnitResult | None]
    code: int
    stdout: str
    stderr: str
    seconds: float
    canary: str
    left: dict[str, list[str]] = field(default_factory=dict)  # kind -> what was left behind
    contacts: list[str] = field(default_factory=list)
    gradebook: dict[tuple[str, str], float] = field(default_factory=dict)


def attacks() -> dict[str, Attack]:
    """Every attack of this folder, by name."""
    import msgspec

    files = sorted(HERE.glob("*/attack.toml"))
    return {f.parent.name: msgspec.convert(tomllib.loads(f.read_text(encoding="utf-8")), Attack) for f in files}


def rungs_here() -> list[str]:
    """The rungs that keep something out and work on this machine.

    `userns` is bubblewrap as it runs without root, in a user namespace. Its corpus is slow to run as well.
    """
    works = [rung for rung in RUNGS if rung not in ("auto", "none") and probe(rung) is None]
    return [*works, *([USERNS] if "bubblewrap" in works and os.geteuid() == 0 else [])]


# ---------------------------------------------------------------- laying submissions out


class Arena(Struct, frozen=True):
    """The folders of one run, and what the pages are filled in with."""

    root: Path
    words: dict[str, str]

    @property
    def course(self) -> Path:
        return self.root / "course"

    @property
    def submitted(self) -> Path:
        return self.root / "submitted"

    @property
    def out(self) -> Path:
        return self.root / "graded"

    def hand_in(self, student: str, name: str, text: str) -> None:
        """Put a page into a student's folder, with its words filled in."""
        path = self.submitted / student / UNIT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_fill(text, self.words), encoding="utf-8")


def _fill(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace("{{" + word + "}}", value)
    return text


def make_arena(root: Path, listeners: dict[str, str]) -> Arena:
    """A course of its own with a secret in every hidden file."""
    canary = f"canary-{secrets.token_hex(8)}"
    solution = (HERE / "_course" / "solutions" / UNIT / "arena.py").read_text(encoding="utf-8")
    solved, layer = solution.split("\n\n\nclass Gate")
    words = {
        **{name: (HERE / "_snippets" / f"{name}.py").read_text(encoding="utf-8") for name in ("raw", "guard")},
        "solved": solved,
        "layer": f"import torch\n\n\nclass Gate{layer}",
        "root": str(root / "course"),
        "submitted": str(root / "submitted"),
        "out": str(root / "graded"),
        "canary": canary,
        **listeners,
    }
    arena = Arena(root, words)
    for path in (HERE / "_course").rglob("*.*"):
        target = arena.course / path.relative_to(HERE / "_course")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_fill(path.read_text(encoding="utf-8"), words), encoding="utf-8")
    return arena


def hand_in_honest(arena: Arena) -> None:
    """Three students who attack nothing: solved, half right with every kind of message, solved as notebooks."""
    import json

    solutions = HERE / "_course" / "solutions" / UNIT
    pages = {name: (solutions / name).read_text(encoding="utf-8") for name in ("arena.py", "fair.py")}
    for name, text in pages.items():
        arena.hand_in(HONEST[0], name, text)
        cells = [{"cell_type": "code", "source": part, "metadata": {}, "outputs": []} for part in text.split("\n\n\n")]
        notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        arena.hand_in(HONEST[2], name.replace(".py", ".ipynb"), json.dumps(notebook))
    half = pages["arena.py"].replace("torch.softmax(scores, -1)", "torch.softmax(scores, 0)")
    half = half.replace("float(scores.max())", "float(scores.missing())").replace("def offset", "def offsets")
    arena.hand_in(HONEST[1], "arena.py", half)
    arena.hand_in(HONEST[1], "fair.py", pages["fair.py"])


def hand_in_attack(arena: Arena, name: str) -> None:
    """One attack, as the student `name`. Both pages are there, solved where the attack brings none of its own."""
    folder = HERE / name
    taken = {"attack.toml", "make.py", "accomplice.py"}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in taken and path.suffix != ".pyc":
            inside = str(path.relative_to(folder)).removesuffix(".attack")
            arena.hand_in(name, inside, path.read_text(encoding="utf-8"))
    if not (folder / "fair.py").exists():
        fair = HERE / "_course" / "solutions" / UNIT / "fair.py"
        arena.hand_in(name, "fair.py", fair.read_text(encoding="utf-8"))
    if (folder / "accomplice.py").exists():
        arena.hand_in(f"{name}{ACCOMPLICE}", "arena.py", (folder / "accomplice.py").read_text(encoding="utf-8"))
        shutil.move(arena.submitted / name, arena.submitted / f"{name}.thief")  # sorts behind its accomplice
    if (folder / "make.py").exists():
        runpy.run_path(str(folder / "make.py"))["make"](arena.submitted / name / UNIT, arena)


# ---------------------------------------------------------------- running and watching


def grade(arena: Arena, rung: str, *options: str) -> Graded:
    """`autograder grade` in a process of its own, with everything compared before and after."""
    import autograder

    before = watching.traces(arena)
    command = [sys.executable, "-m", "autograder.cli", "grade", str(arena.submitted), "--course", str(arena.course)]
    command += ["--out", str(arena.out), "--isolation", "bubblewrap" if rung == USERNS else rung]
    command += ["--seed", SEED, *options]
    environment = {**os.environ, "AUTOGRADER_CANARY": arena.words["canary"], "COLUMNS": "200"}
    path = [Path(autograder.__file__).parents[1], *([HERE / "_userns"] if rung == USERNS else [])]
    environment["PYTHONPATH"] = os.pathsep.join(map(str, path))
    started = time.monotonic()
    with (arena.root / "stdout").open("w+b") as out, (arena.root / "stderr").open("w+b") as err:
        process = subprocess.Popen(command, cwd=arena.root, env=environment, stdout=out, stderr=err)
        seen = watching.watch(process)
    seconds = time.monotonic() - started
    gone_by = time.monotonic() + 3
    while watching.still_alive(seen) and time.monotonic() < gone_by:
        time.sleep(0.1)
    after = watching.traces(arena)
    left = {kind: sorted(set(after[kind]) - set(before[kind])) for kind in after}
    left["processes"] = watching.still_alive(seen)
    left["files"] += watching.owned_by(watching.sandbox_uids(seen))
    students = sorted(path.name for path in arena.submitted.iterdir())
    course = load_course(arena.course)
    booked = scores(course, arena.out) if "--no-gradebook" not in options and process.returncode != 1 else {}
    return Graded(
        results={student: read_result(result_path(arena.out, student, UNIT)) for student in students},
        code=process.returncode,
        stdout=(arena.root / "stdout").read_text(encoding="utf-8", errors="replace"),
        stderr=(arena.root / "stderr").read_text(encoding="utf-8", errors="replace"),
        seconds=seconds,
        canary=arena.words["canary"],
        left=left,
        gradebook=booked,
    )


# ---------------------------------------------------------------- fixtures


@pytest.fixture(scope="session")
def graded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, str], Graded]]:
    """`graded(rung, "honest" | "all" | "pairs")`: each is run once per session, with the attacks that are asked for.

    `pytest tests/attacks -k renice` grades that attack only.
    """
    runs: dict[tuple[str, str], Graded] = {}
    root = tmp_path_factory.mktemp("arena")
    selected = {item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")}
    names = sorted(selected & attacks().keys()) or list(attacks())  # other files have parameters called name, too

    def run(rung: str, who: str) -> Graded:
        if (rung, who) not in runs:
            runs[rung, who] = _run(root / f"{rung}-{who}", rung, who, names)
        return runs[rung, who]

    yield run
    for path in root.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)


def _run(root: Path, rung: str, who: str, names: list[str]) -> Graded:
    known = attacks()
    chosen = [name for name in names if is_run(known[name], rung) and (who == "pairs") == is_pair(name)]
    if who == "pairs" and not chosen:
        pytest.skip("no attack with an accomplice was asked for")
    listeners = watching.Listeners(root)
    with listeners:
        arena = make_arena(root, listeners.words)
        if who != "pairs":
            hand_in_honest(arena)
        for name in chosen if who != "honest" else ():
            hand_in_attack(arena, name)
        options = ["--jobs", "1", "--no-gradebook"] if who == "pairs" else ["--jobs", "2"]
        found = grade(arena, rung, *options)
    found.contacts = listeners.contacts
    return found


def is_pair(name: str) -> bool:
    """Whether the attack has an accomplice, and so is graded one after the other in a single sandbox."""
    return (HERE / name / "accomplice.py").exists()


def is_run(attack: Attack, rung: str) -> bool:
    """Whether the attack concerns the rung and can be made here."""
    if rung == USERNS and attack.not_as_root:
        return False
    concerned = not attack.rungs or ("bubblewrap" if rung == USERNS else rung) in attack.rungs
    return concerned and ("root" not in attack.needs or os.geteuid() == 0)
