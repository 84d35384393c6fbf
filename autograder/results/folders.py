"""Where a student's results lie: under a spelling of the name that every file system takes.

`ada` stays `ada`; what is not an ASCII letter, digit or one of `._@+-` is written as in a URL
(`Zo%C3%AB%20M%C3%BCller`), and so is a first dot or hyphen and a last dot. Different names get different folders; only
where the file system does not tell capitals apart can two of them meet, which `colliding` finds.
"""

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

STUDENTS = "students"
RUNS_FILE = "runs.json"  # the seeds of all runs, beside it
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@+-")
_LONGEST = 120


def safe_name(student: str) -> str:
    """The folder of a student's results."""
    last = len(student) - 1
    spelled = "".join(
        c if c in _SAFE and not (i == 0 and c in ".-") and not (i == last and c == ".") else _encoded(c)
        for i, c in enumerate(student)
    )
    if len(spelled) <= _LONGEST:
        return spelled
    return f"{spelled[:_LONGEST]}~{hashlib.sha256(student.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def gradebook_id(student: str) -> str:
    """A student's id in nbgrader, which is also the name of the folders there: the name itself wherever it can be.

    Letters of any script, digits, spaces and `._@+-'` stay. What nbgrader would take for a pattern, a column, a path, a
    formula or HTML (it puts ids into its pages as they are) is written `~2C`, in characters that need no care in an
    address. At most 128 characters and 200 bytes, as its tables and file systems want it.
    """
    last = len(student) - 1
    spelled = "".join(
        c if _stays(c) and not (i == 0 and c in " .-+@'") and not (i == last and c in " .") else _encoded(c, "~")
        for i, c in enumerate(student)
    )
    if len(spelled) <= 128 and len(spelled.encode()) <= 200:
        return spelled
    digest = hashlib.sha256(student.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"{spelled.encode()[:90].decode(errors='ignore')}~~{digest}"


def _stays(character: str) -> bool:
    return (
        character in " ._@+-'"
        or unicodedata.category(character)[0] in "LN"
        or unicodedata.category(character)
        in (
            "Mn",
            "Mc",
        )
    )


def _encoded(character: str, mark: str = "%") -> str:
    return "".join(f"{mark}{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def result_path(out: Path, student: str, unit: str) -> Path:
    """Where a result lies: `<out>/students/<safe name>/<unit>/result.json`, apart from the kit's own files."""
    return out / STUDENTS / safe_name(student) / unit / "result.json"


def colliding(out: Path, students: Iterable[str]) -> list[list[str]]:
    """Students whose folders would be one, because the file system of `out` does not tell capitals apart."""
    by_folder: dict[str, set[str]] = defaultdict(set)
    for student in students:
        by_folder[safe_name(student).casefold()].add(student)
    alike = [sorted(same) for same in by_folder.values() if len(same) > 1]
    return alike if alike and _ignores_case(out) else []


def _ignores_case(out: Path) -> bool:
    probe = out / ".case"
    probe.touch()
    try:
        return (out / ".CASE").exists()
    finally:
        probe.unlink()
