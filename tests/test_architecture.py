"""The house shows in the imports: floors without a circle, the trust line, and nothing that turns data into code."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from autograder.sandbox import mounts

KIT = Path(__file__).resolve().parents[1] / "autograder"
FILES = sorted(KIT.rglob("*.py"))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file names in an import, at any depth, inside functions too, as a dotted name."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are written in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(path: Path) -> set[str]:
    """The files of the kit that a file imports, by their names below autograder/."""
    found = set()
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "autograder":
            stems = [Path(*parts[1:length]) for length in range(len(parts), 1, -1)]
            files = [file for stem in stems for file in (stem.with_suffix(".py"), stem / "__init__.py")]
            found.add(next((str(file) for file in files if (KIT / file).is_file()), "__init__.py"))
    return found


# From the roof to the ground. An import leads to the same room or to a lower floor, never up and never sideways.
FLOORS = (
    {"__init__.py", "cli.py"},
    {"commands"},
    {"authoring"},
    {"rooms", "graders"},
    {"grading"},
    {"sandbox", "intake", "results"},
    {"course.py", "extensions.py"},
    {"errors.py", "given", "installed.py", "policies.py", "roster.py", "settings.py", "tables.py", "text.py"},
)
NO_ROOM = {
    "__init__.py",
    "cli.py",
    "course.py",
    "extensions.py",
    "errors.py",
    "installed.py",
    "policies.py",
    "roster.py",
    "settings.py",
    "tables.py",
    "text.py",
}  # files, not folders


def floor(name: str) -> int:
    """The floor of a file, by its name below autograder/."""
    room = Path(name).parts[0]
    found = [number for number, rooms in enumerate(FLOORS) if room in rooms]
    assert found, f"{name} has no floor: put it into a room of FLOORS, or give it one"
    return found[0]


def up_or_sideways(graph: dict[str, set[str]]) -> list[str]:
    """Every import that runs up, or to another room of the same floor."""
    return [
        f"{name} imports {other}: from floor {floor(name)} to floor {floor(other)}"
        for name, others in sorted(graph.items())
        for other in sorted(others)
        if floor(other) < floor(name)
        or (
            floor(other) == floor(name) and Path(name).parts[0] != Path(other).parts[0] and not {name, other} <= NO_ROOM
        )
    ]


def circles(graph: dict[str, set[str]]) -> list[str]:
    """A circle of files that import each other, if there is one, file by file."""
    done: set[str] = set()

    def visit(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [" imports ".join([*way[way.index(name) :], name])]
        if name in done:
            return []
        found = [circle for other in sorted(graph.get(name, ())) for circle in visit(other, [*way, name])]
        done.add(name)
        return found

    return [circle for name in sorted(graph) for circle in visit(name, [])]


def graph() -> dict[str, set[str]]:
    """Who imports whom, by names below autograder/."""
    return {(name := str(path.relative_to(KIT))): ours(path) - {name} for path in FILES}


def test_imports_run_downwards() -> None:
    """No file imports one of a higher floor, or of another room on its own floor; imports inside functions count."""
    assert up_or_sideways(graph()) == []


def test_no_files_import_each_other_in_a_circle() -> None:
    """Every file can be understood after the ones that it imports."""
    assert circles(graph()) == []


def test_an_upward_import_and_a_circle_are_named() -> None:
    """Both files of an import that runs up are named, and all files of a circle."""
    bad = {"course.py": {"grading/draw.py"}, "sandbox/wire.py": {"results/record.py"}, "grading/draw.py": set()}
    assert [line.partition(":")[0] for line in up_or_sideways(bad)] == [
        "course.py imports grading/draw.py",
        "sandbox/wire.py imports results/record.py",
    ]
    circle = {"a.py": {"b.py"}, "b.py": {"c.py"}, "c.py": {"b.py"}}
    assert circles(circle) == ["b.py imports c.py imports b.py"]


# The launcher's list of what is bound into the sandbox; `import autograder` is inside.py there.
INSIDE = {"sandbox/inside.py", *mounts.INSIDE_FILES}
MAY_IMPORT = {
    "sandbox/packing.py": {"sandbox/wire.py"},
    "sandbox/channel.py": {"sandbox/wire.py"},
    "sandbox/turns.py": {"sandbox/driver.py", "sandbox/wire.py"},
    "sandbox/cells.py": {"sandbox/magics.py"},
    "sandbox/compiling.py": {"sandbox/wire.py"},
    "sandbox/stand_ins.py": {"sandbox/compiling.py"},
    "sandbox/refuse.py": {"sandbox/operators.py"},
    "sandbox/warm.py": {"sandbox/operators.py"},
    "sandbox/running.py": {f"sandbox/{name}.py" for name in ("cells", "interrupts", "refuse", "unread", "wire")},
    "sandbox/worker.py": {
        *(f"sandbox/{name}.py" for name in ("wire", "packing", "channel", "measure", "refuse", "running", "turns")),
        *(f"sandbox/{name}.py" for name in ("carried", "compiling", "interrupts", "stand_ins")),
    },
    "sandbox/forkserver.py": {
        *(f"sandbox/{name}.py" for name in ("channel", "worker", "warm", "fence", "processes")),
        "given/__init__.py",
    },
    "given/__init__.py": {
        f"given/{name}.py"
        for name in ("attention", "bert", "gated", "gpt", "grammar", "layers", "sequences", "t5", "vision")
    },
    "given/bert.py": {"given/layers.py"},
    "given/gpt.py": {"given/attention.py", "given/layers.py"},
    "given/layers.py": {"given/attention.py"},
    "given/sequences.py": {"given/layers.py"},
}


@pytest.mark.parametrize("name", sorted(INSIDE))
def test_what_runs_inside_the_wall_imports_nothing_else_of_ours(name: str) -> None:
    """The files that exist inside the sandbox know each other at most, and most of them know nothing of ours."""
    assert MAY_IMPORT.get(name, set()) <= INSIDE
    assert ours(KIT / name) <= MAY_IMPORT.get(name, set())


def test_nothing_hidden_is_inside_the_wall() -> None:
    """Of the kit only the sandbox's own files and the building blocks are bound into the sandbox."""
    assert all(name.startswith(("given/", "sandbox/")) for name in INSIDE)
    assert not INSIDE & {"sandbox/client.py", "sandbox/launch.py", "sandbox/local.py"}


def test_the_sandbox_decides_nothing() -> None:
    """Nothing below sandbox/ imports outcomes, scores or comparisons."""
    for path in (KIT / "sandbox").glob("*.py"):
        assert not any(name.startswith(("results/", "grading/", "rooms/")) for name in ours(path)), path


CODE_FROM_DATA = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jsonpickle"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(KIT)))
def test_nothing_turns_data_into_code(path: Path) -> None:
    """No pickle in any guise, no eval, no loading of arrays that may hold objects; exec is for cells alone."""
    where = str(path.relative_to(KIT))
    assert not {name.split(".")[0] for name in imports(path)} & CODE_FROM_DATA, where
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Name):
            assert node.id not in ("eval", "__import__"), f"{where}:{node.lineno}: {node.id}"
            runs_cells = where in ("sandbox/cells.py", "sandbox/magics.py")
            assert node.id not in ("exec", "compile") or runs_cells, f"{where}:{node.lineno}: {node.id}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called = ast.unparse(node.func)
            assert called not in ("torch.load", "torch.save", "np.save", "builtins.exec", "builtins.eval"), (
                f"{where}:{node.lineno}: {called}"
            )
            flags = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert flags.get("allow_pickle", "False") == "False", f"{where}:{node.lineno}"
            assert flags.get("shell", "False") == "False", f"{where}:{node.lineno}: a shell line"


def test_the_inside_files_need_nothing_else(tmp_path: Path) -> None:
    """What is bound into the sandbox can be imported where there is nothing else of ours."""
    for name in INSIDE:
        target = tmp_path / "autograder" / ("__init__.py" if name == "sandbox/inside.py" else name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((KIT / name).read_bytes())
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
        "import autograder.given, autograder.sandbox.worker, autograder.sandbox.forkserver as f; print(f.__file__)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "autograder" / "sandbox" / "forkserver.py")
