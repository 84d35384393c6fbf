"""The course's own solution, as a submission would carry it."""

from autograder.course import Course, Unit
from autograder.intake.cells import parse_cells
from autograder.intake.submission import PageSource


def solution_pages(course: Course, unit: Unit) -> list[PageSource]:
    """The solution of every page of the unit."""
    files = [course.solutions / unit.id / f"{page.name}.py" for page in unit.pages]
    return [PageSource(f.stem, parse_cells(f.read_bytes(), ".py")) for f in files if f.is_file()]
