"""SUBMITTED as a platform downloads it -> who handed in what.

| layout     | looks like                                                                                       |
|------------|--------------------------------------------------------------------------------------------------|
| nbgrader   | `<student>/<unit>/...`, `<student>.zip`; every name is a student's                                |
| moodle     | `Full name_1234567_assignsubmission_file_/...`, or flat: `..._file_page.py`                       |
| canvas     | `lastnamefirstname_LATE_1234_5678_page.ipynb`, all in one folder; `anon_X_5678_...` where anonymous |
| gradescope | `submission_123/...` beside `submission_metadata.yml`, which knows names and times                |
| blackboard | `Assignment_user_attempt_2026-11-30-10-15-22_page.py`, all in one folder, beside receipts (`.txt`) |
| brightspace | `123-456 - Full name - Nov 30, 2026 1015 AM/`, or flat: `... - page.py`                           |
| repos      | clones: `unit2-username/.git`                                                                     |

Sources: Moodle's mod/assign/locallib.php (download_submissions), Canvas's lib/content_zipper.rb (get_filename), exports
of Gradescope. Each entry is recognised by itself, so that a late submission can be laid beside a download by hand.
"""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

from autograder.course import Course
from autograder.intake.files import Listing, Parts
from autograder.text import printable

LAYOUTS = ("auto", "nbgrader", "moodle", "canvas", "gradescope", "blackboard", "brightspace", "repos")
METADATA = "submission_metadata.yml"
EXPECTED = "<student>/<unit>/<page>.py or .ipynb"

_MOODLE = re.compile(r"(?s)(?P<name>.+)_(?P<id>\d+)_assignsubmission_(?P<kind>[a-z]+)_(?P<file>.*)")
_CANVAS = re.compile(r"(?s)(?P<name>.+?)_(?P<late>LATE_)?(?P<id>\d+)_(?P<attachment>\d+)_(?P<file>.+)")
_CANVAS_ANONYMOUS = re.compile(
    r"(?s)(?P<late>LATE_)?(?P<name>anon_(?P<id>[A-Za-z0-9]+))_(?P<attachment>\d+)_(?P<file>.+)"
)
_CANVAS_TEXT = re.compile(r"(?s)(?P<name>.+?)_(?P<late>LATE_)?(?P<id>\d+)_(?P<file>(text|link)\.html)")
_BLACKBOARD = re.compile(r"(?s)(?P<head>.+)_attempt_(?P<when>\d{4}(-\d\d){5})(_(?P<file>.+)|\.txt)")
_BRIGHTSPACE = re.compile(r"(?s)(?P<id>\d+)-\d+ - (?P<name>.+?) ?- (?P<when>[^-]*\d{4}[^-]*?)( - (?P<file>.+))?")
_AGAIN = re.compile(r"(?s)(?P<stem>.+)-\d+(?P<suffix>\.[^.]+)")


class Item(Struct, frozen=True):
    """One entry of SUBMITTED. `listing(parts)` gives its files: of a folder, an archive, or the one file as `parts`."""

    name: str  # without an archive's suffix
    shown: str  # as it lies there
    listing: Callable[[Parts], Listing]
    kind: Literal["folder", "archive", "file"] = "folder"
    has_git: bool = False


class Owner(Struct, frozen=True):
    """Whose an item is. `file` is the name that the student gave it, where the item is a single file.

    `names` are all names and ids that the platform knows the student by; `key` tells two of the same name apart.
    """

    student: str
    names: tuple[str, ...]
    key: str = ""
    file: str | None = None
    exchange: bool = False
    unit: str | None = None  # the item is of this unit, whatever else lies in it
    when: datetime | None = None
    no_time: str | None = None  # why the platform gives none, where it should
    remark: str | None = None
    attempt: str | None = None  # of several the last one counts


def nbgrader(item: Item) -> Owner | None:
    """Every name is a student's; a file that is no archive is nobody's."""
    if item.kind == "file":
        return None
    return Owner(item.name, (item.name,), exchange=True)


def moodle(item: Item) -> Owner | None:
    """`Full name_1234567_assignsubmission_file_`, with the file's own name behind it where folders are switched off."""
    match = _MOODLE.fullmatch(item.name)
    if match is None:
        return None
    if match["kind"] == "onlinetext":
        return Owner(match["name"], (), match["id"], remark=f"{item.shown}: text typed into Moodle, no page; not read")
    file = item.shown.partition("_assignsubmission_file_")[2] or None
    return Owner(match["name"], (match["name"], match["id"]), match["id"], file=file)


def canvas(item: Item) -> Owner | None:
    """`lastnamefirstname_LATE_1234_5678_page-1.ipynb`: who, if late, the user's id, the file's id, its own name."""
    text = _CANVAS_TEXT.fullmatch(item.shown)
    if text is not None:
        return Owner(text["name"], (), text["id"], remark=f"{item.shown}: typed into Canvas, no page; not read")
    match = _CANVAS_ANONYMOUS.fullmatch(item.shown) or _CANVAS.fullmatch(item.shown)
    if match is None:
        return None
    late = f"{item.shown}: late, says Canvas, but not since when; give the time with --submitted-at"
    return Owner(
        match["name"],
        (match["name"], match["id"]),
        match["id"],
        file=match["file"],
        remark=late if match["late"] else None,
    )


def blackboard(items: Sequence[Item]) -> Callable[[Item], Owner | None]:
    """`Assignment_user_attempt_2026-11-30-10-15-22_page.py`: the user is what not all of a download begin with.

    The time is the platform's local one, without a zone: it tells attempts apart, and nobody's lateness.
    """
    heads = sorted({match["head"] for item in items if (match := _BLACKBOARD.fullmatch(item.shown))})
    shared = _common_prefix(heads, "_") if len(heads) > 1 else "".join(heads).rpartition("_")[0] + "_"

    def owner(item: Item) -> Owner | None:
        match = _BLACKBOARD.fullmatch(item.shown)
        if match is None:
            return None
        user = match["head"].removeprefix(shared)
        names = (user,) if match["file"] else ()  # a receipt is the platform's
        return Owner(user, names, file=match["file"], attempt=match["when"])

    return owner


def brightspace(item: Item) -> Owner | None:
    """`123-456 - Full name - Nov 30, 2026 1015 AM`, and ` - page.py` where flat.

    The date tells attempts apart where it is English; in another language nobody knows which one is the last.
    """
    match = _BRIGHTSPACE.fullmatch(item.shown)
    if match is None:
        return None
    try:
        attempt = datetime.strptime(match["when"].strip(), "%b %d, %Y %I%M %p").isoformat()  # the platform's own
    except ValueError:
        attempt = None
    return Owner(match["name"], (match["name"], match["id"]), match["id"], file=match["file"], attempt=attempt)


def last_attempts(owners: Sequence[tuple[Owner, Item]]) -> tuple[list[tuple[Owner, Item]], list[str]]:
    """Without what a later attempt of the same person stands for, and the words for what is not read."""
    last: dict[tuple[str, str], str] = {}
    for owner, _ in owners:
        who = (owner.student, owner.key)
        if owner.attempt is not None:
            last[who] = max(owner.attempt, last.get(who, ""))

    def counts(owner: Owner) -> bool:
        return owner.attempt in (None, last.get((owner.student, owner.key)))

    earlier = [item.shown for owner, item in owners if not counts(owner)]
    said = [f"{printable(name)}: an earlier attempt, the last one counts" for name in earlier]
    return [(owner, item) for owner, item in owners if counts(owner)], said


def repos(items: Sequence[Item], course: Course) -> Callable[[Item], Owner | None]:
    """Clones are called `<assignment>-<username>`; the assignment is a unit's name, or what all clones begin with."""
    names = [item.name for item in items if item.has_git]
    common = _common_prefix(names)
    units = {spelled: unit for unit in course.unit_ids for spelled in _spellings(unit)}
    of_unit = re.compile(f"(?i)({'|'.join(map(re.escape, sorted(units, key=len, reverse=True)))})[-_](?P<user>.+)")

    def owner(item: Item) -> Owner | None:
        if not item.has_git:
            return None
        match = of_unit.fullmatch(item.name)
        user = match["user"] if match else item.name.removeprefix(common)
        unit = units[match[1].casefold()] if match else None
        return Owner(user, (user, item.name), unit=unit)

    return owner


def is_platform_name(name: str) -> bool:
    """Whether a platform wrote this name, and not a person."""
    return any(pattern.fullmatch(name) for pattern in _OF_PLATFORMS)


_OF_PLATFORMS = (_MOODLE, _CANVAS_TEXT, _CANVAS_ANONYMOUS, _CANVAS, _BLACKBOARD, _BRIGHTSPACE)


def _spellings(unit: str) -> set[str]:
    """`unit2_self_attention` -> itself, with hyphens, and `unit2`."""
    return {unit, unit.replace("_", "-"), unit.partition("_")[0]}


def _common_prefix(names: Sequence[str], up_to: str = "-") -> str:
    """What all the names begin with, up to a hyphen; nothing for a single one."""
    if len(names) < 2:
        return ""
    first, last = min(names), max(names)
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[: first.rfind(up_to, 0, length) + 1]


def own_name(file: str, others: Sequence[str]) -> str:
    """A file's name without the `-1` that Canvas puts behind one handed in again; kept where it tells two apart."""
    match = _AGAIN.fullmatch(file)
    plain = match["stem"] + match["suffix"] if match else file
    return file if plain in others else plain
