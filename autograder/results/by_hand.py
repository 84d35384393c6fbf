"""Points and comments that somebody entered in formgrader: nbgrader's gradebook has them, and no result file has.

Whoever exports results is told, since those points would be lost without a word. Read is an SQLite file only, with
nothing of nbgrader's; one that cannot be read tells nothing.
"""

import contextlib
import sqlite3
from pathlib import Path

_ENTERED = """
    SELECT DISTINCT submitted_assignment.student_id, assignment.name
    FROM submitted_assignment
    JOIN assignment ON assignment.id = submitted_assignment.assignment_id
    JOIN submitted_notebook ON submitted_notebook.assignment_id = submitted_assignment.id
    LEFT JOIN grade ON grade.notebook_id = submitted_notebook.id
    LEFT JOIN comment ON comment.notebook_id = submitted_notebook.id
    WHERE grade.manual_score IS NOT NULL OR coalesce(grade.extra_credit, 0) <> 0
        OR coalesce(comment.manual_comment, '') <> ''
"""


def entered_by_hand(url: str) -> set[tuple[str, str]]:
    """(student as nbgrader's id, unit) of everything that was entered in the gradebook at this address."""
    path = Path(url.removeprefix("sqlite:///"))
    if not url.startswith("sqlite:///") or not path.is_file():
        return set()
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as book:
            return set(book.execute(_ENTERED))
    except sqlite3.Error:
        return set()
