"""nbgrader's own commands and pages on what `autograder grade` wrote, and `nbgrader autograde` behind the wall."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from rich.console import Console

from autograder.commands.course_folder import fill_course_folder
from autograder.commands.grade import Options, run_grade
from autograder.commands.graded import Place
from autograder.course import Course
from autograder.intake.submission import PageSource, Submission
from autograder.results import gradebook
from autograder.results.by_hand import entered_by_hand
from autograder.results.course_folder import Releases, gradable, ids_of
from autograder.results.folders import gradebook_id
from autograder.results.late import Counted, Grade
from autograder.results.record import Basis, Late, Outcome, TestResult, UnitResult
from autograder.results.scoring import score_exercise
from autograder.text import readable
from tests.exports.test_text import PAYLOADS

UNIT, PAGE = "unit0_tiny", "tiny_page"
WHEN = datetime(2026, 12, 1, 10, 0, 0, 250000, tzinfo=UTC)
RIGHT = """\
import torch

def double(x):
    return x + x

class Scale(torch.nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.f = factor

    def forward(self, x):
        return self.f * x
"""
WRONG = RIGHT.replace("x + x", "x * x")


def nbgrader(*args: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """One of nbgrader's commands in its course folder."""
    paths = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", "nbgrader", *args]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=300)


def counted(course: Course, student: str, message: str = "", when: datetime | None = WHEN) -> Counted:
    """A result that lost the first exercise, with this message."""
    unit = course.unit(UNIT)
    exercises = [
        score_exercise(
            e, [TestResult(name="t", outcome=Outcome.RAISED if e.id == "twice" else Outcome.PASSED, message=message)]
        )
        for e in unit.exercises
    ]
    result = UnitResult(
        course=course.id, student=student, unit=UNIT, score=6, max_score=10, pending=0,
        graded_at="2026-12-01T10:00:00Z", fingerprint="sha256:0", isolation="none", seed_id="0", duration_s=0,
        late=Late(), problems=[], exercises=exercises, submitted_at=when, basis=Basis(submission="d" * 64),
    )  # fmt: skip
    grade = Grade(student=student, unit=UNIT, earned=6, penalty=0, score=6, max_score=10, pending=0, submitted_at=when,
                  due=datetime(2026, 1, 1, tzinfo=UTC))  # fmt: skip
    return Counted(grade=grade, result=result)


def filled(course: Course, out: Path, everyone: dict[str, Counted], code: str = RIGHT) -> Path:
    """A gradebook and nbgrader's course folder with these results."""
    out.mkdir(exist_ok=True)
    gradebook.record_counted(course, out, everyone.values())
    submissions = {
        (student, UNIT): Submission(
            student=student,
            unit=UNIT,
            pages=[PageSource(PAGE, [code])],
            problems=[],
            digest=one.result.basis.submission,
        )
        for student, one in everyone.items()
    }
    places = [
        Place(student, UNIT, *[one.result.basis.submission] * 2, one.grade.submitted_at)
        for student, one in everyone.items()
    ]
    return fill_course_folder(course, out, places, submissions.__getitem__)


class Page(HTMLParser):
    """What stands behind "Comments:", and every tag of the page that could ask for something or run."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.comments: list[str] = []
        self._in_footer = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if dict(attrs).get("class") == "panel-footer":
            self.comments.append("")
            self._in_footer = 1
        elif tag == "div" and self._in_footer:
            self._in_footer += 1

    def handle_endtag(self, tag: str) -> None:
        self._in_footer -= tag == "div" and self._in_footer > 0

    def handle_data(self, data: str) -> None:
        if self._in_footer:
            self.comments[-1] += data


def read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    page.close()
    return page


@pytest.fixture(scope="module")
def payload_pages(tmp_path_factory: pytest.TempPathFactory, tiny_course: Callable[[Path], Course]) -> list[Path]:
    """The feedback page of a harmless student, and then one for each payload: in a message and in the code."""
    folder = tmp_path_factory.mktemp("payloads")
    course = tiny_course(folder)
    everyone = {
        f"s{n:02}": counted(course, f"s{n:02}", f"sentence\n{words}") for n, words in enumerate(["plain", *PAYLOADS])
    }
    root = filled(course, folder / "out", everyone)
    done = nbgrader("generate_feedback", UNIT, cwd=root)
    assert done.returncode == 0, done.stderr[-3000:]
    return [root / "feedback" / student / UNIT / f"{PAGE}.html" for student in everyone]


def test_nothing_in_a_message_does_anything(payload_pages: list[Path]) -> None:
    """Through nbgrader's template every page has the very tags, with the very attributes, of a harmless one."""
    plain = read(payload_pages[0])
    assert len(payload_pages) > 30
    for path, payload in zip(payload_pages[1:], PAYLOADS, strict=True):
        page = read(path)
        assert page.tags == plain.tags, payload
        (said,) = page.comments
        words = said.strip().removeprefix("Comments:").strip("\n ")
        assert words == f"sentence\n{readable(payload)}".strip("\n "), payload


def test_feedback_shows_scores(payload_pages: list[Path]) -> None:
    """The points of the exercises and the page stand in nbgrader's page."""
    text = payload_pages[0].read_text(encoding="utf-8")
    assert "Score: 6.0 / 10.0" in text and "Score: 0.0 / 4.0" in text and "Score: 6.0 / 6.0" in text


class Proxy(ThreadingHTTPServer):
    """Answers nothing, and remembers for which host it was asked."""

    def __init__(self) -> None:
        self.hosts: set[str] = set()
        super().__init__(("127.0.0.1", 0), _Refuse)


class _Refuse(BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        self.server.hosts.add((urlsplit(self.path).hostname or self.path).partition(":")[0])
        self.send_error(502)

    do_POST = do_CONNECT = do_HEAD = do_GET

    def log_message(self, *_: Any) -> None: ...


TRIPWIRE = """<script>
window.tripped = () => parent.postMessage(name, "*"); window.alert = window.tripped;
window.addEventListener("securitypolicyviolation", window.tripped);
</script>"""
COLLECT = """<!DOCTYPE html><title>none</title><script>
const seen = new Set(); window.onmessage = e => { seen.add(e.data); document.title = "tripped: " + [...seen].sort(); };
</script>"""


@pytest.mark.slow
def test_a_browser_runs_nothing_and_asks_nobody(payload_pages: list[Path], tmp_path: Path) -> None:
    """All pages in Chromium, each with a tripwire; a page with the payload as HTML shows that wire and proxy work."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium is installed")

    def opened(pages: dict[str, str]) -> tuple[str, set[str]]:
        frames = [f'<iframe name="{name}" src="{name}.html"></iframe>' for name in pages]
        for name, html in pages.items():
            (tmp_path / f"{name}.html").write_text(html.replace("<head>", f"<head>{TRIPWIRE}", 1), encoding="utf-8")
        (tmp_path / "all.html").write_text(COLLECT + "".join(frames))
        with Proxy() as proxy:
            Thread(target=proxy.serve_forever, daemon=True).start()
            command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
            command += [f"--user-data-dir={tmp_path / 'profile'}", f"--proxy-server=127.0.0.1:{proxy.server_port}"]
            command += ["--virtual-time-budget=20000", "--dump-dom", (tmp_path / "all.html").as_uri()]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
            proxy.shutdown()
        title = re.search("<title>(.*)</title>", done.stdout)
        assert title is not None, done.stderr[-2000:]
        return title[1], proxy.hosts

    plain = payload_pages[0].read_text(encoding="utf-8")
    _, usual = opened({"plain": plain})
    raw = "<script>alert(1)</script><img src=http://evil.example/x.png>"
    assert opened({"plain": plain, "raw": plain.replace("plain", raw)})[0] == "tripped: raw"
    pages = {path.parts[-3]: path.read_text(encoding="utf-8") for path in payload_pages}
    title, hosts = opened(pages)
    assert title == "none" and hosts <= usual
    assert "evil.example" in opened({"raw": plain.replace("plain", raw)})[1]


NAMES = ["ada", "Zoë Müller", "王芳", "हिन्दी", "O'Brien-Smith", "..", "-rf", "<img src=x>", "a,b", "[ab]*", "{x}", 
         "=1+1", "Ada ", "x" * 128, "界" * 120, "~2C", "bob.", ".hidden", "%2e%2e", "a\\b"]  # fmt: skip


def test_every_name_is_a_folder_and_an_id() -> None:
    """Different ids, no path, no pattern, no markup, not too long; ordinary names of any script stay."""
    ids = {name: gradebook_id(name) for name in NAMES}
    assert len(set(ids.values())) == len(NAMES)
    for made in ids.values():
        assert not re.search(r"[/\\<>&\"*?\[\]{},%=|]", made) and made.strip(" .-") == made
        assert len(made) <= 128 and len(made.encode()) <= 200
    assert [ids[name] for name in NAMES[:5]] == NAMES[:5]


def test_formgrader_finds_every_submission(tiny_course: Callable[[Path], Course], tmp_path: Path) -> None:
    """All it asks for: the unit, graded students, their notebooks with the gradebook's cells, and equal times."""
    from nbgrader.apps import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory

    course = tiny_course(tmp_path)
    untimed = counted(course, "untimed", when=None)
    root = filled(course, tmp_path / "out", {**{n: counted(course, n) for n in NAMES}, "untimed": untimed})
    ids = {gradebook_id(name) for name in [*NAMES, "untimed"]}
    url = gradebook.database_url(course, tmp_path / "out")
    api = NbGraderAPI(CourseDirectory(root=str(root), db_url=url, course_id=course.id))
    assert api.get_source_assignments() == {UNIT}
    assert api.get_submitted_students(UNIT) == api.get_autograded_students(UNIT) == ids
    submissions = api.get_submissions(UNIT)
    assert {s["student"]: s["score"] for s in submissions} == dict.fromkeys(ids, 6.0)
    assert all(s["autograded"] for s in submissions)
    assert {s["student"] for s in api.get_notebook_submissions(UNIT, PAGE)} == ids
    assert gradebook.scores(course, tmp_path / "out") == {(n, UNIT): 6.0 for n in [*NAMES, "untimed"]}
    done = nbgrader("export", "--to", str(tmp_path / "grades.csv"), cwd=root)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len((tmp_path / "grades.csv").read_text(encoding="utf-8").splitlines()) == len(ids) + 1


def test_what_an_instructor_wrote_stays(tiny_course: Callable[[Path], Course], tmp_path: Path) -> None:
    """A manual score and comment survive a second `grade`; so does the score of whom nobody touched."""
    from nbgrader.api import Gradebook

    course = tiny_course(tmp_path)
    everyone = {n: counted(course, n) for n in ("ada", "bob")}
    filled(course, tmp_path / "out", everyone)
    url = gradebook.database_url(course, tmp_path / "out")
    assert entered_by_hand(url) == entered_by_hand("postgresql+psycopg://nobody@nowhere/x") == set()
    with Gradebook(url, course_id=course.id) as book:
        book.find_grade("twice_score", PAGE, UNIT, "ada").manual_score = 3.5
        book.find_comment("twice", PAGE, UNIT, "ada").manual_comment = "Seen in my office."
        book.db.commit()
    filled(course, tmp_path / "out", everyone)
    assert gradebook.scores(course, tmp_path / "out") == {("ada", UNIT): 9.5, ("bob", UNIT): 6.0}
    assert entered_by_hand(url) == {("ada", UNIT)}
    with Gradebook(url, course_id=course.id) as book:
        assert book.find_comment("twice", PAGE, UNIT, "ada").comment == "Seen in my office."
        assert book.find_grade("twice_score", PAGE, UNIT, "ada").needs_manual_grade


@pytest.mark.parametrize(
    "cells",
    [
        None,
        [],
        [RIGHT],
        ["def double(x): pass", "def double(x): return 1", "print('between')", "class Scale: pass"],
        ["class Scale: pass", "def double(x): return 2 * x"],
        ["def double(x:\n", "# %%\nclass Scale:\n", "\x00 \udc80 ] }"],
    ],
)
def test_each_graded_cell_is_there_once(
    course: Course, tiny_course: Any, tmp_path: Path, cells: list[str] | None
) -> None:
    """Whatever was handed in: the gradebook's ids, every line of the student's, in the student's order, no output."""
    tiny = tiny_course(tmp_path)
    page = tiny.unit(UNIT).pages[0]
    made = gradable(Releases(tiny).page(page), page, cells)
    ids = [cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in made["cells"]]
    assert sorted(i for i in ids if i) == sorted(ids_of(page))
    sources = [cell["source"] for cell in made["cells"] if cell["id"].startswith("handed-in")]
    assert sources == [cell.removeprefix("# %%\n") for cell in cells or ()]
    assert not any(cell.get("outputs") for cell in made["cells"])
    assert len({cell["id"] for cell in made["cells"]}) == len(made["cells"])
    if cells and "between" in str(cells):
        assert made["cells"][ids.index("twice")]["source"] == "def double(x): return 1"


def submit(folder: Path, student: str, code: str | bytes, suffix: str = ".ipynb") -> None:
    place = folder / student / UNIT
    place.mkdir(parents=True)
    if isinstance(code, str) and suffix == ".ipynb":
        cells = [
            {"cell_type": "code", "source": c, "metadata": {}, "outputs": [], "execution_count": None}
            for c in code.split("# --")
        ]
        code = json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells})
    (place / f"{PAGE}{suffix}").write_bytes(code if isinstance(code, bytes) else code.encode())
    (place / "timestamp.txt").write_text(
        "2026-12-16 10:00:00 UTC\n" if student.startswith("late") else "2026-12-01 10:00:00 UTC\n"
    )


HOSTILE = {
    "loops": RIGHT + "# --\nwhile True: pass",
    "leaves": "import os; os._exit(0)" + "# --\n" + RIGHT,
    "forges": "# --\nprint(10.0)\nimport sqlite3, glob\nfor p in glob.glob('/**/gradebook.db'): open(p, 'w').close()",
    "kills": RIGHT + "# --\nimport os, signal\nos.kill(os.getppid(), 9); os.kill(-1, 9)",
    "broken": b"{not a notebook",
}


def test_a_course_that_was_not_built_is_graded(tiny_course: Callable[[Path], Course], tmp_path: Path) -> None:
    """Without released pages there are results and a gradebook, and a note that says what is missing and the fix."""
    course = tiny_course(tmp_path)
    submit(tmp_path / "submitted", "ada", WRONG)
    (course.assignments / UNIT / f"{PAGE}.ipynb").unlink()
    options = Options(submitted=tmp_path / "submitted", out=tmp_path / "out", jobs=1)
    report = run_grade(course, options, quiet=True, console=Console())
    assert report.course_folder is None and gradebook.scores(course, tmp_path / "out") == {("ada", UNIT): 7.0}
    assert [note for note in report.notes if f"{PAGE}.ipynb" in note and "autograder build" in note]


def test_grade_keeps_the_folder_up_to_date(tiny_course: Callable[[Path], Course], tmp_path: Path) -> None:
    """A second hand-in and another time are there after the second `grade`; a module becomes a notebook."""
    course = tiny_course(tmp_path)
    submit(tmp_path / "submitted", "Zoë", f"{WRONG}# first\n", ".py")
    options = Options(submitted=tmp_path / "submitted", out=tmp_path / "out", jobs=1)
    assert run_grade(course, options, quiet=True, console=Console()).course_folder == str(tmp_path / "out/nbgrader")
    place = tmp_path / "out/nbgrader/autograded/Zoë" / UNIT
    assert "# first" in (place / f"{PAGE}.ipynb").read_text(encoding="utf-8")
    shutil.rmtree(tmp_path / "submitted")
    submit(tmp_path / "submitted", "Zoë", f"{WRONG}# second\n", ".py")
    (tmp_path / "submitted/Zoë" / UNIT / "timestamp.txt").write_text("2026-12-02 09:00:00 UTC\n")
    run_grade(course, options, quiet=True, console=Console())
    text = (place / f"{PAGE}.ipynb").read_text(encoding="utf-8")
    assert "# second" in text and "# first" not in text
    assert (place / "timestamp.txt").read_text() == "2026-12-02 09:00:00.000000 UTC\n"


@pytest.mark.slow
def test_autograde_gives_the_scores_of_grade(tiny_course: Callable[[Path], Course], tmp_path: Path) -> None:
    """Twenty submissions, five of them hostile, and modules that nbgrader does not see: the same scores, penalties and
    comments from both.
    """
    course = tiny_course(tmp_path)
    theirs = tmp_path / "theirs"
    for number in range(5):
        for kind, code in {"right": RIGHT, "wrong": WRONG, "late": WRONG}.items():
            submit(theirs / "submitted", f"{kind}{number}", code)
    for name, code in HOSTILE.items():
        submit(theirs / "submitted", name, code)
    submit(theirs / "submitted", "late modules", WRONG, ".py")
    out = tmp_path / "ours"
    run_grade(course, Options(submitted=theirs / "submitted", out=out), quiet=True, console=Console())
    (theirs / "nbgrader_config.py").write_text(
        "from autograder.commands.nbgrader_wall import configure\n"
        f"configure(get_config(), course={str(course.root)!r})\n"
    )
    done = nbgrader("autograde", UNIT, cwd=theirs)
    assert done.returncode == 0, done.stderr[-3000:]
    ours, other = gradebook.scores(course, out), gradebook.scores(course, theirs / "graded")
    assert ours == other and len(ours) == 21
    assert 0 < ours["late modules", UNIT] == ours["late0", UNIT]
    assert ours["right0", UNIT] == 10 and ours["late0", UNIT] < ours["wrong0", UNIT] < 10 and ours["broken", UNIT] == 0
    assert comments(course, out) == comments(course, theirs / "graded")
    assert any("multiplied by itself" in words for words in comments(course, out).values())
    assert {p.parts[-3] for p in (theirs / "autograded").glob(f"*/*/{PAGE}.ipynb")} == {s for s, _ in ours}
    again = nbgrader("autograde", UNIT, "--force", cwd=out / "nbgrader")
    assert again.returncode == 0, again.stderr[-3000:]
    assert gradebook.scores(course, out) == ours


@pytest.mark.parametrize("fault", ["course.toml", "path", "no autograder"])
def test_no_wall_no_grading(
    tiny_course: Callable[[Path], Course], tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the configuration fails nbgrader does not run a notebook by itself, as it would of its own accord.

    Its gradebook knows the assignment, as one does that was used without us before.
    """
    from nbgrader.api import Gradebook

    from autograder.commands.course_folder import _CONFIG

    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)  # nbgrader calls alembic
    course, marker = tiny_course(tmp_path), tmp_path / "ran"
    theirs = tmp_path / "theirs"
    submit(theirs / "submitted", "eve", f"open({str(marker)!r}, 'w').close()")
    with Gradebook(f"sqlite:///{theirs / 'gradebook.db'}") as book:
        book.add_assignment(UNIT)
        book.add_notebook(PAGE, UNIT)
    text = _CONFIG.format(course=str(course.root), out=str(theirs / "graded"), root=str(theirs))
    said = {
        "course.toml": "unknown key $.dew",
        "path": "course.toml does not exist: give the folder",
        "no autograder": "No module named 'nowhere': run nbgrader where autograder is installed",
    }
    if fault == "course.toml":
        toml = course.root / "course.toml"
        toml.write_text(f"dew = 1\n{toml.read_text()}")
    elif fault == "path":
        text = text.replace(str(course.root), str(tmp_path / "elsewhere"))
    else:
        text = text.replace("autograder.commands.nbgrader_wall", "nowhere")
    (theirs / "nbgrader_config.py").write_text(text)
    done = nbgrader("autograde", UNIT, "--create", cwd=theirs)
    assert done.returncode != 0 and said[fault] in done.stderr and "Traceback" not in done.stderr, done.stderr[-3000:]
    assert not marker.exists() and not (theirs / "autograded").exists()


def comments(course: Course, out: Path) -> dict[tuple[str, str], str]:
    from nbgrader.api import Comment, Gradebook

    with Gradebook(gradebook.database_url(course, out), course_id=course.id) as book:
        return {(c.student.id, c.name): c.comment or "" for c in book.db.query(Comment).all()}
