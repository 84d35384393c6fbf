"""Names of people as platforms and folders give them: which are names, and who is meant."""

import unicodedata
from collections import defaultdict
from collections.abc import Sequence

from autograder.intake.layouts import Item, Owner
from autograder.roster import Roster
from autograder.text import listed, printable

MAX_NAME_CHARS = 128  # what nbgrader's table of students takes


def why_not_a_name(name: str) -> str | None:
    """Why a student cannot be called so, or None: any name without control characters or `/` will do."""
    if not name.strip():
        return "an empty name"
    if len(name) > MAX_NAME_CHARS:
        return f"a name of {len(name)} characters; at most {MAX_NAME_CHARS} are kept"
    if "/" in name or any(unicodedata.category(c) == "Cc" for c in name):
        return "a name with control characters or a slash; rename it"
    if any(unicodedata.category(c) == "Cs" for c in name):
        return "a name that is not UTF-8; rename it"
    return None


class People:
    """Collects the owners of items, and settles what each student is called.

    A student keeps the name that came with the work, in Unicode's composed form, unless the roster has an id for it.
    Two people of one name are told apart by the platform's id; two folders whose names are the same text are refused.
    """

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._found: list[tuple[Owner, Item]] = []
        self.passed_over: list[str] = []
        self.notes: list[str] = []

    def add(self, owner: Owner, item: Item) -> None:
        """An item of this owner's, unless its name is none."""
        reason = why_not_a_name(owner.student)
        if reason is None:
            self._found.append((owner, item))
        else:
            self.passed_over.append(f"{printable(item.shown)}: {reason}")

    def students(self) -> dict[str, list[tuple[Owner, Item]]]:
        """Everything of each student, by the student's name."""
        keys: dict[str, set[str]] = defaultdict(set)
        for owner, _ in self._found:
            keys[_composed(owner.student)].add(owner.key)
        students: dict[str, list[tuple[Owner, Item]]] = defaultdict(list)
        unknown: list[str] = []
        for owner, item in self._found:
            name = _composed(owner.student)
            if len(keys[name]) > 1 or _is_placeholder(name):
                name = f"{name} ({owner.key})"
            called = [*owner.names, owner.student]
            if len(keys[_composed(owner.student)]) > 1:  # the name alone would make one student of them
                called = [one for one in called if _composed(one) != _composed(owner.student)]
            known = self._roster.student(called)
            if known is None and self._roster.path is not None and name not in unknown:
                unknown.append(name)
                if shared := self._roster.shared(called):
                    said = f"{printable(name)} may be any of {listed(shared)} in {self._roster.path}"
                    self.notes.append(f"{said}; a column with the platform's number would tell")
            students[known or name].append((owner, item))
        if unknown:
            shown = ", ".join(map(printable, unknown[:5])) + (
                f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
            )
            self.notes.append(f"not in {self._roster.path}, so the name stays: {shown}")
        return {name: items for name, items in sorted(students.items()) if self._spelled_once(items)}

    def _spelled_once(self, items: Sequence[tuple[Owner, Item]]) -> bool:
        """Whether the items of a student do not come from two folders whose names only look the same."""
        spellings = sorted({owner.student for owner, _ in items if owner.exchange})
        if len(spellings) < 2 or self._roster.path is not None:
            return True
        name = printable(_composed(spellings[0]))
        shown = " and ".join(map(ascii, spellings))
        self.passed_over.append(f"{name}: {len(spellings)} names that are the same text ({shown}); rename one")
        return False


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _is_placeholder(name: str) -> bool:
    """What Moodle calls everybody in a blind assignment; only the number tells one from another."""
    return name == "Participant"
