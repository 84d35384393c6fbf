"""Diagrams: drawn from primitives, the same bytes every time, readable on any page, and carried by both forms."""

import base64
import html
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nbformat
import pytest

from autograder.authoring import build as building
from autograder.authoring.course_map import draw_map
from autograder.authoring.diagrams import style
from autograder.authoring.diagrams.drawing import Diagram
from autograder.course import Course, load_course
from autograder.errors import UsageError
from autograder.policies import GradebookConfig

TinyCourse = Callable[[Path], Course]
ROOT = Path(__file__).resolve().parents[1]
SVG = "{http://www.w3.org/2000/svg}"

DRAWN = '''\
"""Twice, as a picture."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(360, 190, title="Twice", description="A number goes into a box, and < twice > of it comes out.")
    number = d.box(20, 30, 90, 40, "x_{t}^{2}")
    twice = d.box(200, 30, 90, 40, "double & *more*", tone="blue")
    d.arrow(number.right, twice.left)
    d.arrow(twice.bottom, (245, 90), (65, 90), number.bottom, tone="red", dashed=True)
    grid = d.grid(20, 110, [["1", "2"], ["3", ""]], tones=[["blue", ""], ["red", "green"]], row_labels=["a", "b"])
    d.brace((100, 110), (100, 170), "rows")
    d.circle(*grid.cell(1, 1).left, 2, filled=True)
    d.arc(300, 150, 15, 0, 90)
    d.caption("What goes in comes out twice as large.")
    return d
'''
LINE = "![A number goes [into] a box](diagrams/tiny_page.svg)"


@pytest.fixture
def course_with(tiny_course: TinyCourse, tmp_path: Path) -> Callable[..., Course]:
    """Makes the tiny course with a diagram and a line that shows it; either may be left out or be another."""

    def make(drawn: str | None = DRAWN, line: str | None = LINE, name: str = "tiny_page") -> Course:
        course = tiny_course(tmp_path)
        folder = course.solutions / "unit0_tiny"
        if drawn is not None:
            (folder / "diagrams").mkdir()
            (folder / "diagrams" / f"{name}.py").write_text(drawn)
        page = folder / "tiny_page.py"
        if line is not None:
            page.write_text(page.read_text().replace("# Twice $x$", f"# {line}\n#\n# Twice $x$", 1))
        return course

    return make


def texts(svg: bytes) -> list[str]:
    return ["".join(text.itertext()) for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


# ---------------------------------------------------------------- what is drawn


def test_well_formed_with_words_and_without_code(course_with: Callable[..., Course]) -> None:
    """The file is XML with a title and a description that its root names; nothing in it runs or loads anything."""
    course = course_with()
    building.build(course)
    data = (course.assignments / "unit0_tiny" / "diagrams" / "tiny_page.svg").read_bytes()
    root = ElementTree.fromstring(data)
    assert root.tag == f"{SVG}svg" and root.get("role") == "img"
    said = {element.get("id"): element.text for element in root if element.tag in (f"{SVG}title", f"{SVG}desc")}
    assert said == {"title": "Twice", "desc": "A number goes into a box, and < twice > of it comes out."}
    assert (root.get("aria-labelledby") or "").split() == list(said)
    assert {"double & more", "xt2", "1", "rows", "What goes in comes out twice as large."} <= set(texts(data))
    used = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert used <= {"svg", "title", "desc", "style", "rect", "text", "tspan", "polyline", "polygon", "path", "circle"}
    attributes = {name for element in root.iter() for name in element.attrib}
    assert not [name for name in attributes if name.startswith("on") or "href" in name]
    assert b"url(" not in data and b"@import" not in data


def test_the_diagrams_of_the_course(course: Course) -> None:
    """Each is XML with words for those who cannot see it, and stays below 40 KB, which a notebook carries as base64."""
    for path, data in building.render(course).items():
        if path.suffix == ".svg":
            root = ElementTree.fromstring(data)
            title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
            assert title is not None and title.text and description is not None and description.text, path
            assert len(description.text) > 60, f"{path}: the description says what the picture shows"
            assert len(data) < 40_000 or path.parent == course.assignments, path  # the map is in no notebook


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(
    ("page", "tones"), [(style.LIGHT_PAGE, style.LIGHT), (style.DARK_PAGE, style.DARK)], ids=["light", "dark"]
)
def test_texts_are_readable(page: tuple[str, str, str], tones: dict[str, tuple[str, str]]) -> None:
    """Every text has WCAG's contrast of 4.5 with what it may stand on, on light and on dark pages."""
    paper, ink, muted = page
    pairs = [(ink, paper), (muted, paper), *((ink, fill) for _, fill in tones.values())]
    pairs += [(line, paper) for line, _ in tones.values()]
    for text, ground in pairs:
        low, high = sorted((luminance(text), luminance(ground)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, f"{text} on {ground}"


def test_both_kinds_of_pages(course_with: Callable[..., Course]) -> None:
    """Colours stand in classes alone, and each class has a rule for light pages and one for dark pages."""
    course = course_with()
    files = {path.name: data for path, data in building.render(course).items()}
    svg = files["tiny_page.svg"].decode()
    light, _, dark = svg.partition("@media (prefers-color-scheme:dark)")
    classes = {name for names in re.findall(r'class="([^"]*)"', svg) for name in names.split()}
    assert classes and all(f".{name}{{" in light and f".{name}{{" in dark for name in classes)
    assert not re.search(r'(fill|stroke)="#', svg)


def test_what_cannot_be_drawn() -> None:
    """No title or description, an unknown tone, a point outside of the picture: an error that says so."""
    for words in ({"title": " ", "description": "x"}, {"title": "x", "description": ""}):
        with pytest.raises(ValueError, match=r"a diagram needs a (title|description)"):
            Diagram(100, 100, **words)
    d = Diagram(100, 100, title="x", description="y")
    with pytest.raises(ValueError, match="'pink' is not a tone; there are blue, "):
        d.box(0, 0, 10, 10, tone="pink")
    with pytest.raises(ValueError, match=r"\(110, 20\) is outside of the picture, 100 by 100"):
        d.box(50, 0, 60, 20)
    with pytest.raises(ValueError, match="same number of cells"):
        d.grid(0, 0, [["1", "2"], ["3"]], cell=(10, 10))


def test_subscripts_come_back_to_the_line() -> None:
    """The shifts of a text's parts add up to nothing where plain text goes on."""
    d = Diagram(100, 100, title="x", description="y")
    d.label(50, 50, "a_{i}^{2} b *c* d_{j}", size=10)
    height, heights = 0.0, {}
    text = next(ElementTree.fromstring(d.svg()).iter(f"{SVG}text"))
    heights[text.text] = 0.0
    for span in text:
        height += float(span.get("dy", 0))
        heights[span.text] = height
        if span.tail:
            heights[span.tail] = height
    assert heights == {"a": 0, "i": 3, "2": -4, " b ": 0, "c": 0, " d": 0, "j": 3}


# ---------------------------------------------------------------- what is built


def test_the_module_names_the_file_and_the_notebook_holds_it(course_with: Callable[..., Course]) -> None:
    """The .py form keeps the line, with the file beside it; the .ipynb form shows the same bytes without any file."""
    course = course_with()
    building.build(course)
    folder = course.assignments / "unit0_tiny"
    svg = (folder / "diagrams" / "tiny_page.svg").read_bytes()
    assert f"# {LINE}\n" in (folder / "tiny_page.py").read_text()
    notebook = nbformat.reads((folder / "tiny_page.ipynb").read_text(), as_version=4)
    nbformat.validate(notebook)
    source = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    shown = re.search(r'<img alt="([^"]*)" src="data:image/svg\+xml;base64,([^"]*)">', source)
    assert shown and html.unescape(shown[1]) == "A number goes [into] a box" and base64.b64decode(shown[2]) == svg
    assert "diagrams/" not in source


def test_the_code_is_as_without_it(course_with: Callable[..., Course], tiny_course: TinyCourse, tmp_path: Path) -> None:
    """A diagram changes nothing of what tells an untouched page from one that was worked on."""
    with_one = course_with()
    building.build(with_one)
    released = (with_one.assignments / "released.json").read_bytes()
    (tmp_path / "plain").mkdir()
    assert (tiny_course(tmp_path / "plain").assignments / "released.json").read_bytes() == released


def test_same_bytes_and_stale_ones_are_noticed(course_with: Callable[..., Course], cli: Callable[..., Any]) -> None:
    """Building again changes nothing; a changed source, file or line, and a file of no diagram, are stale."""
    course = course_with()
    assert {path.name for path in building.build(course)} == {"tiny_page.svg", "tiny_page.py", "tiny_page.ipynb"}
    assert building.stale(course) == [] and building.render(course) == building.render(course)
    source = course.solutions / "unit0_tiny" / "diagrams" / "tiny_page.py"
    source.write_text(DRAWN.replace("comes out twice", "comes out thrice"))
    assert {path.name for path in building.stale(course)} == {"tiny_page.svg", "tiny_page.ipynb"}
    checked = cli("build", "--check", cwd=course.root)
    assert checked.returncode == 1 and "stale: assignments/unit0_tiny/diagrams/tiny_page.svg\n" in checked.stdout
    source.write_text(DRAWN)
    assert building.stale(course) == []
    old = course.assignments / "unit0_tiny" / "diagrams" / "old.svg"
    old.write_text("<svg/>")
    assert building.stale(course) == [old] and building.build(course) == [old] and not old.exists()


def test_nbgrader_gets_it_and_the_kit_has_it(
    course_with: Callable[..., Course], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nbgrader's source notebooks hold the picture; the student kit has the file and not what drew it."""
    course = course_with()
    building.write_source(course, course.units[0], tmp_path / "source")
    assert "data:image/svg+xml;base64," in (tmp_path / "source" / "tiny_page.ipynb").read_text()

    def fake_wheel(course: Course, folder: Path) -> Path:
        (folder / "autograder-0-py3-none-any.whl").write_bytes(b"")
        return folder / "autograder-0-py3-none-any.whl"

    monkeypatch.setattr(building, "_wheel", fake_wheel)
    assert course.gradebook == GradebookConfig()
    building.student_kit(course, tmp_path / "kit.zip")
    with zipfile.ZipFile(tmp_path / "kit.zip") as kit:
        assert [name for name in kit.namelist() if "diagrams/" in name] == [
            "assignments/unit0_tiny/diagrams/tiny_page.svg"
        ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"line": "![](diagrams/tiny_page.svg)"}, r"tiny_page\.py: diagrams/tiny_page\.svg has no alt text: write"),
        ({"line": "![ ](./diagrams/tiny_page.svg)"}, r"tiny_page\.py: .* has no alt text: write"),
        ({"drawn": None}, r"tiny_page\.py shows diagrams/tiny_page\.svg, but .*diagrams/tiny_page\.py does not exist"),
        ({"line": LINE.replace(".svg", ".png")}, r"tiny_page\.py shows diagrams/tiny_page\.png, but "),
        ({"line": None}, r"diagrams/tiny_page\.py is shown by no page"),
        ({"drawn": "import math\n"}, r"diagrams/tiny_page\.py has no function draw\(\)"),
        ({"drawn": "def draw():\n    return {}['a']\n"}, r"diagrams/tiny_page\.py: KeyError: 'a'"),
        ({"drawn": "def draw():\n    return 3\n"}, r"diagrams/tiny_page\.py: draw\(\) returned int, not a Diagram"),
        ({"drawn": "def draw(:\n"}, r"diagrams/tiny_page\.py: SyntaxError: "),
        ({"drawn": DRAWN.replace('"Twice"', '""')}, r"diagrams/tiny_page\.py: ValueError: a diagram needs a title"),
    ],
)
def test_errors_name_the_file(course_with: Callable[..., Course], change: dict[str, Any], said: str) -> None:
    """A diagram without words, without a picture or without a page is refused with the file that is to be mended."""
    course = course_with(**change)
    with pytest.raises(UsageError, match=said):
        building.build(course)
    assert not (course.assignments / "unit0_tiny" / "diagrams").exists()


def test_a_unit_without_diagrams(tiny_course: TinyCourse, tmp_path: Path) -> None:
    """Diagrams are not asked for."""
    assert building.stale(tiny_course(tmp_path)) == []


def test_the_course_map_shows_every_exercise_and_what_it_builds_on() -> None:
    """A box each, a line for each link, and the same in words; the same bytes every time."""
    course = load_course(ROOT)
    drawn = draw_map(course)
    assert drawn == draw_map(course) == (ROOT / "assignments" / "course_map.svg").read_bytes()
    exercises = [exercise for unit in course.units for exercise in unit.exercises]
    links = sum(len(exercise.builds_on) for exercise in exercises)
    text = drawn.decode()
    assert text.count("<rect") == len(exercises) + 1  # and the paper
    assert text.count("<polyline") == links > 60
    assert all(f">{exercise.id}</text>" in text for exercise in exercises)
    assert "attention_vjp builds on qkv_attention" in text


@pytest.mark.parametrize(("name", "near"), [("qkv_atention", "qkv_attention"), ("triton_decode", "")])
def test_an_exercise_builds_on_earlier_ones(tmp_path: Path, name: str, near: str) -> None:
    """An unknown name, or one that comes later, is refused with its place and the nearest that is meant."""
    text = (ROOT / "course.toml").read_text(encoding="utf-8")
    (tmp_path / "course.toml").write_text(text.replace('builds_on = ["qkv_attention"]', f'builds_on = ["{name}"]', 1))
    with pytest.raises(UsageError, match=rf"builds_on: '{name}' is no exercise before this one.*{near}"):
        load_course(tmp_path)
