"""The trust line shows in the imports, and nothing in the kit turns data into code."""

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
            files = [Path(*parts[1:length]).with_suffix(".py") for length in range(len(parts), 1, -1)]
            found.add(next((str(file) for file in files if (KIT / file).is_file()), "__init__.py"))
    return found


# The launcher's list of what is bound into the sandbox; `import autograder` is inside.py there.
INSIDE = {"sandbox/inside.py", *mounts.INSIDE_FILES}
MAY_IMPORT = {
    "sandbox/channel.py": {"sandbox/wire.py"},
    "sandbox/worker.py": {"sandbox/wire.py", "sandbox/channel.py", "sandbox/refuse.py"},
    "sandbox/forkserver.py": {"sandbox/channel.py", "sandbox/worker.py", "sandbox/fence.py", "given.py"},
}


@pytest.mark.parametrize("name", sorted(INSIDE))
def test_what_runs_inside_the_wall_imports_nothing_else_of_ours(name: str) -> None:
    """The files that exist inside the sandbox know each other at most, and most of them know nothing of ours."""
    assert MAY_IMPORT.get(name, set()) <= INSIDE
    assert ours(KIT / name) <= MAY_IMPORT.get(name, set())


def test_nothing_hidden_is_inside_the_wall() -> None:
    """Of the kit only the sandbox's own files and the building blocks are bound into the sandbox."""
    assert all(name == "given.py" or name.startswith("sandbox/") for name in INSIDE)
    assert not INSIDE & {"sandbox/client.py", "sandbox/launch.py", "sandbox/local.py"}


def test_the_sandbox_decides_nothing() -> None:
    """Nothing below sandbox/ imports outcomes, scores or comparisons."""
    for path in (KIT / "sandbox").glob("*.py"):
        deciding = {"grading/outcomes.py", "grading/scoring.py", "grading/compare.py", "gradebook.py"}
        assert not ours(path) & deciding, path


CODE_FROM_DATA = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jsonpickle"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(KIT)))
def test_nothing_turns_data_into_code(path: Path) -> None:
    """No pickle in any guise, no eval, no loading of arrays that may hold objects; exec is the worker's alone."""
    where = str(path.relative_to(KIT))
    assert not {name.split(".")[0] for name in imports(path)} & CODE_FROM_DATA, where
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Name):
            assert node.id not in ("eval", "__import__"), f"{where}:{node.lineno}: {node.id}"
            assert node.id not in ("exec", "compile") or where == "sandbox/worker.py", (
                f"{where}:{node.lineno}: {node.id}"
            )
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
