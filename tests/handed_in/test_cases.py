"""Right work in odd clothes, a student each, graded by the real command: nobody loses a point for the clothes.

Each case is a name, the files, the points (of 10; None where no result is expected) and words that the student, or the
instructor where there is no result, must read. `{solved}` and `{broken}` stand for the page's code.
"""

import json
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from textwrap import indent
from typing import Any, NamedTuple

import pytest

from autograder.course import Course
from tests.handed_in.conftest import UNIT, notebook

SOLVED = """\
# %%
from torch import nn


# %%
def double(x):
    return x + x


# %%
class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x
"""
_, IMPORTS, DOUBLE, SCALE = (f"# %%{part}" for part in SOLVED.split("# %%"))
PLAIN = SOLVED.replace("# %%\n", "")
CELLS = (IMPORTS, DOUBLE, SCALE)
PAGE = f"{UNIT}/tiny_page"
READ_AS = "read as tiny_page"
Files = dict[str, str | bytes]


class Case(NamedTuple):
    student: str
    files: Files
    points: float | None = 10
    words: tuple[str, ...] = ()
    folder: str | None = None  # in SUBMITTED, where it is not the student's name


def zipped(files: Files) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def under(name: str, code: str | bytes = SOLVED) -> Files:
    return {f"{UNIT}/{name}": code}


def page(code: str | bytes, **beside: str) -> Files:
    """The page as a module, and modules beside it."""
    return {f"{PAGE}.py": code, **{f"{UNIT}/{name}.py": text for name, text in beside.items()}}


def book(*codes: str, **beside: str) -> Files:
    """The page as a notebook, and modules beside it."""
    return {f"{PAGE}.ipynb": notebook(*codes), **{f"{UNIT}/{name}.py": text for name, text in beside.items()}}


PICTURES = json.dumps(
    {
        "nbformat": 4,
        "cells": [
            {
                "cell_type": "code",
                "source": SOLVED,
                "outputs": [{"data": {"image/png": random.Random(1).randbytes(10 << 20).hex()}}],
            }
        ],
    }
)
OLD = json.dumps({"nbformat": 3, "worksheets": [{"cells": [{"cell_type": "code", "input": SOLVED}]}]})
BROKEN = SOLVED.replace("return x + x", "return x * x")
COLAB = "from google.colab import drive\ndrive.mount('/content/drive')\n"
TWICE = "def twice(x):\n    return x + x\n"
SCRIPT = f"get_ipython().run_line_magic('matplotlib', 'inline')\n\n# In[1]:\n\n{SOLVED}"

CASES = [
    # another file name
    Case("name-browser", under("tiny_page (1).py"), words=(READ_AS,)),
    Case("name-copy", under("tiny_page - Copy.py"), words=(READ_AS,)),
    Case("name-copy-of", under("Copy of tiny_page.py"), words=(READ_AS,)),
    Case("name-old", under("tiny_page-old.py"), words=(READ_AS,)),
    Case("name-case", under("Tiny_Page.py"), words=(READ_AS,)),
    Case("name-suffix-case", under("tiny_page.PY"), words=(READ_AS,)),
    Case("name-own-before", under("name-own-before_tiny_page.py"), words=(READ_AS,)),
    Case("name-own-behind", under("tiny_page_name-own-behind.py"), words=(READ_AS,)),
    Case("name-txt", under("tiny_page.py.txt"), words=(READ_AS,)),
    Case("name-hyphen", under("tiny-page.py"), words=(READ_AS,)),
    Case("name-camel", under("TinyPage.py"), words=(READ_AS,)),
    Case("name-version", under("tiny_page_v2_final.py"), words=(READ_AS,)),
    Case("name-notebook", under("tiny_page(3).ipynb", notebook(*CELLS)), words=(READ_AS,)),
    Case(
        "two-look-alikes",
        {f"{UNIT}/tiny_page (1).py": SOLVED, f"{UNIT}/tiny_page (2).py": BROKEN},
        0,
        ("tiny_page (1).py and tiny_page (2).py", "none was read"),
    ),
    Case(
        "look-alike-beside",
        {f"{PAGE}.py": SOLVED, f"{UNIT}/tiny_page-old.py": BROKEN},
        words=("tiny_page-old.py: not read",),
    ),
    Case("json-called-py", page(notebook(*CELLS)), words=("it is a notebook",)),
    # another place
    Case("place-loose", {"tiny_page.py": SOLVED}),
    Case("place-deeper", {f"my work/{PAGE}.py": SOLVED}),
    Case("place-two-deeper", {f"a/b/{PAGE}.py": SOLVED}),
    Case(
        "place-kit",
        {
            f"assignments/{PAGE}.py": SOLVED,
            "course.toml": "",
            "README.md": "",
            f"assignments/{UNIT}/diagrams/tiny_page.svg": "",
        },
    ),
    Case("place-twice-the-unit", {f"{UNIT}/{PAGE}.py": SOLVED}),
    Case("place-other-folder", {"unit0/tiny_page.py": SOLVED}),
    Case("place-odd-unit", {"Unit 0 - Tiny/tiny_page.py": SOLVED}),
    Case("zip-flat", {"": zipped({"tiny_page.py": SOLVED})}, folder="zip-flat.zip"),
    Case("zip-unit", {"": zipped(page(SOLVED))}, folder="zip-unit.zip"),
    Case("zip-named-otherwise", {f"{UNIT}/Homework of mine.zip": zipped({"tiny_page.py": SOLVED})}),
    Case("zip-at-the-top", {"hand-in.zip": zipped({"x/tiny_page.py": SOLVED})}),
    Case("zip-in-zip", {"": zipped({"all.zip": zipped({"tiny_page.py": SOLVED})})}, folder="zip-in-zip.zip"),
    Case("zip-windows", {"": zipped({f"{UNIT}\\tiny_page.py": SOLVED})}, folder="zip-windows.zip"),
    Case(
        "zip-mac",
        {"": zipped({f"w/{PAGE}.py": SOLVED, f"__MACOSX/w/._{UNIT}": b"\0\5\x16\7"})},
        folder="zip-mac.zip",
    ),
    Case("rar", {"": b"Rar!"}, None, ("rar.rar", "repack it"), folder="rar.rar"),
    Case("zip-broken", {"": b"PK\3\4"}, 0, ("zip-broken.zip", "damaged"), folder="zip-broken.zip"),
    Case("typing-error", {f"{UNIT}/tiny_pgae.py": SOLVED}, 0, ("is it tiny_page?",)),
    Case("nothing", {"notes.txt": "later"}, 0, ("not read", "notes.txt")),
    # names of people
    *(
        Case(name, page(SOLVED))
        for name in (
            "Zoë Müller",
            "王小明",
            "O'Neill, Sam",
            "=SUM(1+1)",
            "-x",
            "+1",
            "@x",
            "a b  c",
            "<b>x",
            "Ελένη",
            "[red]",
        )
    ),
    Case("Ana María", page(SOLVED), folder="Ana María_5550001_assignsubmission_file_"),
    Case("lovelaceada", {"": SOLVED}, folder="lovelaceada_LATE_77_1234_tiny_page-1.py", words=("late, says Canvas",)),
    # notebooks as Jupyter and Colab leave them
    *(
        Case(f"magic-{name}", book(f"%%{name}\n{DOUBLE}", IMPORTS, SCALE))
        for name in ("time", "timeit -n1 -r1", "capture out", "prun -q")
    ),
    Case("magic-two", book(IMPORTS, f"%%capture\n%%time\n{DOUBLE}", SCALE)),
    Case(
        "magic-lines",
        book("!pip install x\n%matplotlib inline\nfiles = !ls\n?print\n%load_ext a\n" + SOLVED),
    ),
    Case(
        "magic-lost",
        book(IMPORTS, f"%%writefile double.py\n{DOUBLE}", SCALE),
        6,
        ("%%writefile",),
    ),
    Case("magic-of-a-package", book(IMPORTS, f"%%memit -r 1\n{DOUBLE}", f"%%wandb\n{SCALE}")),
    Case("magic-unknown", book(IMPORTS, "%%sparql\nSELECT double FROM x", SCALE), 6, ("begins with %%sparql",)),
    Case("magic-help", book(IMPORTS, f"torch.nn.*Norm?\n{DOUBLE}", SCALE)),
    Case("magic-unneeded", book("%%bash\nls", *CELLS)),
    Case("magic-shells", book("%%shell\nls", "%%powershell\nls", "%%pwsh\nls", *CELLS)),
    Case(
        "run-a-module",
        book(IMPORTS, "%run -i ./twice.py --fast", DOUBLE.replace("x + x", "twice(x)"), SCALE, twice=TWICE),
    ),
    Case("run-what-is-not-there", book(IMPORTS, "%run mine.py", SCALE), 6, ("No module named 'mine'",)),
    Case("margin", book(IMPORTS, indent(DOUBLE, "    "), f"%%time\n{indent(SCALE, '    ')}")),
    Case("indented-comment", book(IMPORTS, "  # twice\ndef double(x):\n  return x + x\n", SCALE)),
    Case("prompts", book(IMPORTS, ">>> def double(x):\n...     return x + x\n", SCALE)),
    Case("prompts-of-ipython", book(IMPORTS, "In [3]: def double(x):\n   ...:     return x + x\n", SCALE)),
    Case(
        "cells-from-windows",
        book(*(cell.replace("\n", "\r\n") for cell in ("!pip install \\\n  x\n" + IMPORTS, *CELLS[1:]))),
    ),
    Case("cells-with-cr", book(*(cell.replace("\n", "\r") for cell in ("%matplotlib inline\n" + IMPORTS, *CELLS[1:])))),
    Case("console-of-windows", page("import sys\nsys.stdout.reconfigure(encoding='utf-8')\n" + PLAIN)),
    Case("awaiting", book(f"import asyncio\nawait asyncio.sleep(0)\n{SOLVED}")),
    Case("colab-notebook", book(COLAB, *CELLS), words=("google",)),
    Case("colab-magic", book("!nvidia-smi\n%cd /content\n" + IMPORTS, DOUBLE, SCALE)),
    Case("display", book(IMPORTS, DOUBLE + "\ndisplay(double(1))\n", SCALE)),
    Case("pictures", {f"{PAGE}.ipynb": PICTURES}),
    Case("format-3", {f"{PAGE}.ipynb": OLD}),
    Case(
        "future-once", book("from __future__ import annotations", IMPORTS, DOUBLE.replace("(x)", "(x: T) -> T"), SCALE)
    ),
    Case("notebook-bom", {f"{PAGE}.ipynb": b"\xef\xbb\xbf" + notebook(*CELLS).encode()}),
    Case("conflict", {f"{PAGE}.ipynb": "<<<<<<< HEAD\n{}\n>>>>>>> theirs\n"}, 0, ("marks of a conflict",)),
    # a statement that fails costs what it defines
    Case("imports-in-one-cell", book("import seaborn\nfrom torch import nn", DOUBLE, SCALE), words=("seaborn",)),
    Case("all-in-one-cell", book(COLAB + SOLVED), words=("google",)),
    Case("tried-before-it-is-there", book(IMPORTS, f"print(double(1))\n{DOUBLE}", SCALE), words=("NameError",)),
    Case(
        "colab-export",
        page(f'"""Automatically generated by Colab."""\n\n!pip install x\n{COLAB}{PLAIN}'),
        words=("google",),
    ),
    Case("own-test", page(PLAIN.replace("class", "assert double(2) == 5\nclass")), words=("AssertionError",)),
    Case("ends-early", page(PLAIN.replace("class", "import sys\nsys.exit()\nclass")), words=("SystemExit",)),
    Case("asks", page(f"n = int(input('n?'))\n{PLAIN}"), words=("EOFError",)),
    Case("own-file", page(f"import os\nHERE = os.path.dirname(__file__)\n{PLAIN}")),
    Case("a-hundred-errors", page("no\n" * 100 + PLAIN), 0, ("NameError",)),
    Case("cell-broken", book(IMPORTS, DOUBLE, "def (:", SCALE), words=("cell 3: line 1: SyntaxError",)),
    # modules
    Case("colab-module", {f"{PAGE}.py": f"# %%\n{COLAB}\n{SOLVED}"}, words=("tiny_page.py: line 2:", "google")),
    Case("syntax-in-one-cell", page(SOLVED.replace("return x + x", "return x +")), 6, ("line 7: SyntaxError",)),
    Case("nbconvert-script", page(SCRIPT)),
    Case(
        "nbconvert-magic",
        {f"{PAGE}.py": f"{IMPORTS}\nget_ipython().run_cell_magic('time', '', {DOUBLE!r})\n\n# In[2]:\n\n{SCALE}"},
    ),
    Case("main-guard", page(SOLVED + "\nif __name__ == '__main__':\n    import sys\n    sys.exit(1)\n")),
    Case(
        "helper",
        page("from helpers import twice\n" + SOLVED.replace("x + x", "twice(x)"), helpers=TWICE),
    ),
    Case(
        "helper-of-notebook",
        book("from helpers import *", IMPORTS, DOUBLE.replace("x + x", "twice(x)"), SCALE, helpers=TWICE),
    ),
    Case(
        "helper-broken",
        page(f"# %%\nimport helpers\n{SOLVED}", helpers="\n\nraise ValueError('no')\n"),
        words=("tiny_page.py: line 2: ValueError: no (helpers.py, line 3)",),
    ),
    Case(
        "helper-installed",
        page(f"# %%\nimport random\nrandom.mine\n{SOLVED}", random="mine = 1\n"),
        words=("random.py: not read, it has the name of an installed module",),
    ),
    Case("compiled", page("import torch\n" + SOLVED.replace("def double", "@torch.compile\ndef double"))),
    Case(
        "compiled-with-options",
        page(
            "import torch\n"
            + SOLVED.replace("class Scale", "@torch.compile(mode='max-autotune')\ndef g(x): return x\n\nclass Scale")
            + "\ndouble = torch.compile(double, fullgraph=True)\n"
        ),
    ),
    Case(
        "conflict-in-a-module",
        page(
            SOLVED.replace("    return x + x", "<<<<<<< HEAD\n    return x + x\n=======\n    return 2 * x\n>>>>>>> b")
        ),
        6,
        ("tiny_page.py: line 7: IndentationError: git's mark of a conflict (<<<<<<<)",),
    ),
    Case("conflict-in-a-cell", book(IMPORTS, f"a = 1\n=======\n{DOUBLE}", SCALE), 6, ("conflict (=======)",)),
    Case("utf-16", page(SOLVED.encode("utf-16"))),
    Case("windows-lines", page(SOLVED.replace("\n", "\r\n"))),
    Case("latin-1", page(("# é\n" + SOLVED).encode("latin-1")), 0, ("save it as UTF-8",)),
    Case("tabs", page(SOLVED.replace("    ", "\t"))),
    # the release beside it
    Case("other-form-untouched", {f"{PAGE}.py": SOLVED, f"{PAGE}.ipynb": "<released>"}),
    Case("untouched", {f"{PAGE}.py": "<released>", f"{PAGE}.ipynb": "<released>"}, 0),
    # times
    Case(
        "time-in-zip",
        {"": zipped({f"{PAGE}.py": SOLVED, f"{UNIT}/timestamp.txt": "2026-01-01"})},
        words=("timestamp.txt", "not believed"),
        folder="time-in-zip.zip",
    ),
    Case("time-odd", {f"{PAGE}.py": SOLVED, f"{UNIT}/timestamp.txt": "16.12.2026"}, words=("is not a time like",)),
    Case("time-to-come", {f"{PAGE}.py": SOLVED, f"{UNIT}/timestamp.txt": "2999-01-01"}, 5, ("still to come",)),
]


class Graded(NamedTuple):
    report: dict[str, Any]
    out: Path


@pytest.fixture(scope="module")
def graded(
    tiny_course: Callable[[Path], Course], tmp_path_factory: pytest.TempPathFactory, cli: Any
) -> Iterator[Graded]:
    folder = tmp_path_factory.mktemp("class")
    course = tiny_course(folder)
    for case in CASES:
        for name, data in case.files.items():
            target = folder / "submitted" / (case.folder or case.student) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if data == "<released>":
                data = (course.assignments / name).read_text()
            target.write_bytes(data if isinstance(data, bytes) else data.encode())
    done = cli("grade", folder / "submitted", "--out", folder / "out", "--json", cwd=course.root)
    assert done.returncode == 0, done.stderr
    yield Graded(json.loads(done.stdout), folder / "out")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.student)
def test_what_becomes_of_it(graded: Graded, case: Case) -> None:
    """The points that the work deserves, and the words that say what was done with the files."""
    found = [result for result in graded.report["results"] if result["student"] == case.student]
    if case.points is None:
        assert found == []
        said = [line for line in graded.report["passed_over"] if case.student in line]
    else:
        (result,) = found
        said = result["problems"]
        (grade,) = (grade for grade in graded.report["grades"] if grade["student"] == case.student)
        assert (grade["score"], result["unit"]) == (case.points, UNIT), (said, result["exercises"])
    for words in case.words:
        assert any(words in line for line in said), said
    if not case.words:
        assert [line for line in said if "no time of submission" not in line] == []


def test_nobody_is_lost(graded: Graded) -> None:
    """Every student is in the results, or in a line of their own; names stay as they are in every file."""
    named = {result["student"] for result in graded.report["results"]}
    assert named == {case.student for case in CASES if case.points is not None}
    files = [json.loads(path.read_text("utf-8")) for path in graded.out.glob("students/*/*/result.json")]
    assert {file["student"] for file in files} == named and len(files) == len(named)
    assert all(path.name.isascii() for path in (graded.out / "students").iterdir())


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_on_any_terminal(graded: Graded, cli: Any, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    """A terminal without UTF-8 shows escapes and no question marks; the machine's output is UTF-8 wherever it goes."""
    folder = graded.out.parent
    monkeypatch.setenv("PYTHONIOENCODING", f"{encoding}:strict")
    monkeypatch.setenv("PYTHONUTF8", "0")
    arguments = ("grade", folder / "submitted", "--out", folder / "out", "--student", "王小明")
    course = folder / "course"

    done = subprocess.run(
        [sys.executable, "-m", "autograder.cli", *map(str, arguments)], cwd=course, capture_output=True, check=True
    )
    shown = "王小明" if encoding == "utf-8" else "\\u738b\\u5c0f\\u660e"
    assert shown in done.stdout.decode(encoding) and b"?" not in done.stdout
    as_json = subprocess.run(
        [sys.executable, "-m", "autograder.cli", *map(str, arguments), "--json"],
        cwd=course,
        capture_output=True,
        check=True,
    )
    assert json.loads(as_json.stdout.decode("utf-8"))["results"][0]["student"] == "王小明"
