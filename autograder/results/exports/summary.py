"""markdown: a table of the class, a row for each student, for the job summary of a CI run or a message."""

from pathlib import Path

from autograder.results.exports.gathered import Gathered, write_file
from autograder.results.late import Counted
from autograder.text import Markdown, decimal, markdown_inline


def export(gathered: Gathered, out: Path) -> list[Path]:
    """Write OUT."""
    head = [
        Markdown("student"),
        *(Markdown(unit.title.replace("|", "&#124;")) for unit in gathered.units),
    ]  # the course's own words
    lines = [
        f"## {gathered.course.title}",
        "",
        _row(head),
        _row([Markdown("---"), *[Markdown("---:")] * len(gathered.units)]),
    ]
    cells: dict[str, list[Markdown]] = {}
    for student, unit, counted in gathered.rows():
        cells.setdefault(student, []).append(_cell(counted, gathered.is_excused(student, unit)))
    lines += [_row([markdown_inline(student), *points]) for student, points in cells.items()]
    maxima = [Markdown(f"*{decimal(unit.points)}*") for unit in gathered.units]
    lines += [_row([Markdown("*points*"), *maxima]), ""]
    faults = [one.result for one in gathered.handed_in() if one.result.has_grader_error()]
    lines += [
        f"- grader error, our fault: {markdown_inline(result.student)}, {markdown_inline(result.unit)}"
        for result in faults
    ]
    return [write_file(out, "".join(f"{line}\n" for line in lines))]


def _row(cells: list[Markdown]) -> Markdown:
    return Markdown(f"| {' | '.join(cells)} |")


def _cell(counted: Counted | None, excused: bool) -> Markdown:
    """Points, with what waits for hardware and what being late cost."""
    if excused:
        return Markdown("excused")
    if counted is None:
        return Markdown("")
    grade = counted.grade
    more = [f"{decimal(grade.pending)} pending"] if grade.pending else []
    more += [f"{decimal(grade.penalty)} off, late"] if grade.penalty else []
    return Markdown(f"{decimal(grade.score)}{f' ({chr(44).join(more)})' if more else ''}")
