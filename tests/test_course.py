"""course.toml is refused with the file, the path of the key and the fix; what is valid is read as it stands."""

import math
import re
import tomllib
from collections.abc import Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest

from autograder.authoring.build import public_course_file
from autograder.course import Course, _CourseFile, find_root, load_course
from autograder.errors import UsageError
from autograder.policies import LatePolicy, exact
from autograder.settings import wrong_settings

VALID = """\
id = "course"
title = "A course"

[late]
grace_minutes = 10
penalty_per_day = 0.2
max_penalty = 0.5

[limits]
call_wall_s = 3.0
memory_mb = 700

[[unit]]
id = "unit1"
title = "One"
due = 2026-12-14T23:59:00+01:00

[[unit.exercise]]
id = "first"
page = "page_a"
title = "First"
symbols = ["f"]
points = 5

[[unit.exercise]]
id = "second"
page = "page_b"
title = "Second"
symbols = ["g", "H"]
points = 2.5
call_wall_s = 9.0

[[unit]]
id = "unit2"
title = "Two"

[[unit.exercise]]
id = "third"
page = "page_c"
title = "Third"
symbols = ["h"]
points = 1
memory_mb = 900
"""


def load(folder: Path, old: str = "", new: str = "") -> Course:
    """The valid course with its first `old` replaced by `new`."""
    assert old in VALID
    (folder / "course.toml").write_text(VALID.replace(old, new, 1) if old else VALID, encoding="utf-8")
    return load_course(folder)


def test_valid_course(tmp_path: Path) -> None:
    """Units, pages in the order in which they are named, points, and the folders below the root."""
    course = load(tmp_path)
    assert course.unit_ids == ["unit1", "unit2"]
    assert [(page.unit, page.name) for page in course.unit("unit1").pages] == [("unit1", "page_a"), ("unit1", "page_b")]
    assert course.unit("unit1").points == 7.5
    assert course.unit("unit1").page("page_b").exercises[0].symbols == ("g", "H")
    assert course.unit("unit1").due.utcoffset().total_seconds() == 3600 and course.unit("unit2").due is None
    assert course.find_page("page_c").unit == "unit2" and course.find_page("page_d") is None
    assert course.graders == tmp_path.resolve() / "autograder" / "graders"


def test_exercises_of_a_page_need_not_be_neighbours(tmp_path: Path) -> None:
    """A page named again further down gets that exercise too."""
    again = (
        '[[unit.exercise]]\nid = "late"\npage = "page_a"\ntitle = "L"\nsymbols = ["l"]\npoints = 1\n\n[[unit]]\nid = "u'
    )
    pages = load(tmp_path, '[[unit]]\nid = "unit2"', again + 'nit2"').unit("unit1").pages
    assert [[e.id for e in page.exercises] for page in pages] == [["first", "late"], ["second"]]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("points = 2.5", "ponts = 2.5", r"unknown key \$\.unit\[0\]\.exercise\[1\]\.ponts; did you mean 'points'\?"),
        ("memory_mb = 700", "memory_gb = 7", r"unknown key \$\.limits\.memory_gb; did you mean 'memory_mb'\?"),
        ('title = "Two"', 'titel = "Two"', r"unknown key \$\.unit\[1\]\.titel; did you mean 'title'\?"),
        ("[late]", "[lates]", r"unknown key \$\.lates; did you mean 'late'\?"),
        ("points = 5", 'points = "5"', r"Expected `float`, got `str` - at `\$\.unit\[0\]\.exercise\[0\]\.points`"),
        ("points = 5", "points = 0", r"Expected `float` > 0\.0 - at `\$\.unit\[0\]\.exercise\[0\]\.points`"),
        ("points = 5", "", r"missing required field `points` - at `\$\.unit\[0\]\.exercise\[0\]`"),
        ('symbols = ["f"]', 'symbols = "f"', r"\$\.unit\[0\]\.exercise\[0\]\.symbols"),
        ('symbols = ["f"]', "symbols = []", r"\$\.unit\[0\]\.exercise\[0\]\.symbols"),
        ("penalty_per_day = 0.2", "penalty_per_day = 20", r"\$\.late\.penalty_per_day"),
        ("call_wall_s = 3.0", "call_wall_s = -1", r"\$\.limits\.call_wall_s"),
        ('id = "unit1"', 'id = "Unit 1"', r"\$\.unit\[0\]\.id"),
        ("23:59:00+01:00", "23:59:00", r"\$\.unit\[0\]\.due"),
        ('id = "unit2"', 'id = "unit1"', r"\$\.unit\[1\]\.id 'unit1' is already used by \$\.unit\[0\]"),
        ('id = "third"', 'id = "first"', r"exercise\[0\]\.id 'first' is already used by \$\.unit\[0\]\.exercise\[0\]"),
        ('page = "page_c"', 'page = "page_a"', r"\.page 'page_a' is already a page of unit1"),
        ('page = "page_c"', 'page = "random"', r"\.page 'random' is the name of a standard-library module"),
        ('page = "page_c"', 'page = "lambda"', r"\.page 'lambda'"),
        ('symbols = ["h"]', 'symbols = ["h", "two words"]', r"symbols: 'two words' is not a Python name"),
        ('symbols = ["h"]', 'symbols = ["class"]', r"symbols: 'class' is not a Python name"),
        ("points = 5", "points = ", r"is not valid TOML"),
    ],
)
def test_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    """Each mistake is named with the file and where it stands."""
    with pytest.raises(UsageError) as error:
        load(tmp_path, old, new)
    assert str(error.value).startswith(f"{tmp_path / 'course.toml'}")
    assert re.search(said, str(error.value)), str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "fix"),
    [
        ("points = 5", 'points = "5"', r"points`; write points = a number above 0 \(in unit1, first\)$"),
        (
            "points = 5",
            "points = inf",
            r"\$\.unit\[0\]\.exercise\[0\]\.points is endless; write points = a number above 0",
        ),
        ("points = 5", "", r"; write points = a number above 0 \(in unit1, first\)$"),
        (
            "penalty_per_day = 0.2",
            "penalty_per_day = 20",
            r"; write penalty_per_day = a number from 0 to 1 \(0.1 is 10 %\)$",
        ),
        ("memory_mb = 700", "memory_mb = 0.5", "; write memory_mb = a whole number from 1$"),
        ('id = "unit1"', 'id = "Unit 1"', "; write id = a text of small letters, digits and _, a letter first"),
        ('title = "Two"', "title = 2", r"; write title = a text in quotes \(in unit2\)$"),
        (
            "23:59:00+01:00",
            "23:59:00",
            "got 2026-12-14T23:59:00 - at .*; write due = a time with its zone, like .*, or name",
        ),
        ("2026-12-14T23:59:00+01:00", "2026-12-14", "got 2026-12-14 - at .*; write due = a time with its zone, like"),
        ("2026-12-14T23:59:00+01:00", '"14.12.2026"', "; write due = a time with its zone, like"),
        ("2026-12-14", "0026-12-14", r"\$\.unit\[0\]\.due: 0026-.* is no time of a course; write its year in full"),
        (
            "2026-12-14T23:59:00+01:00",
            "9999-12-31T23:59:59-12:00",
            r"\$\.unit\[0\]\.due: 9999-.* is no time of a course",
        ),
        ("[limits]", "[[limits]]", r"at `\$\.limits`; write a table, \[limits\]$"),
        (
            '[[unit]]\nid = "unit2"',
            '[policy]\nkeep = "newest"\n[[unit]]\nid = "unit2"',
            '; write keep = "latest" or "best"$',
        ),
        ('symbols = ["f"]', 'symbols = "f"', r"; write symbols = a list of texts"),
        ('page = "page_c"', 'page = "page_a"', r"is already a page of unit1 \(in unit2, third\)$"),
    ],
)
def test_the_fix_is_named(tmp_path: Path, old: str, new: str, fix: str) -> None:
    """What to write in that place, and whose it is: nobody counts to the twelfth exercise of the sixth unit."""
    with pytest.raises(UsageError, match=fix) as error:
        load(tmp_path, old, new)
    assert "\n" not in str(error.value)


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    """An unknown key, two wrong values and one that lacks make four lines, each with its path."""
    changed = (
        VALID.replace("points = 5", 'points = "5"').replace("points = 1\n", "").replace("memory_mb", "memory_gb", 1)
    )
    (tmp_path / "course.toml").write_text(changed.replace("grace_minutes = 10", "grace_minutes = -1"))
    with pytest.raises(UsageError) as error:
        load_course(tmp_path)
    said = str(error.value)
    paths = ("$.late.grace_minutes", "$.limits.memory_gb", "$.unit[0].exercise[0].points", "$.unit[1].exercise[0]")
    assert said.count("\n") == 3 and all(path in line for path, line in zip(paths, said.splitlines(), strict=True)), (
        said
    )


ODD = (
    math.nan,
    math.inf,
    -1,
    10**30,
    "",
    "x",
    True,
    [],
    {},
    [1],
    [{}],
    datetime(2026, 1, 1),
    date(2026, 1, 1),
    time(1),
)


def test_no_value_of_any_key_ends_in_a_traceback(tmp_path: Path) -> None:
    """Every key, with everything that TOML can say, is read or refused with its path."""

    def places(value: Any, path: str = "$") -> Iterator[tuple[Any, Any, str]]:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            below = f"{path}[{key}]" if isinstance(value, list) else f"{path}.{key}"
            yield value, key, below
            if isinstance(item, dict | list):
                yield from places(item, below)

    data = tomllib.loads(VALID)
    count = 0
    for holder, key, path in list(places(data)):
        right = holder[key]
        for odd in ODD:
            holder[key] = odd
            for sentence in wrong_settings(data, _CourseFile):
                count += 1
                assert path in sentence or f"{path}[" in sentence, (path, odd, sentence)
        holder[key] = right
    assert count > 300 and wrong_settings(data, _CourseFile) == []


ZONES = {
    "2026-07-14T23:59:00": "2026-07-14T21:59:00+00:00",  # summer
    "2026-12-14T23:59:00": "2026-12-14T22:59:00+00:00",
    "2026-12-14": "2026-12-14T23:00:00+00:00",  # a date lasts until its end
    "2026-12-14T23:59:00Z": "2026-12-14T23:59:00+00:00",
}


@pytest.mark.parametrize("due", ZONES)
def test_due_dates_in_the_courses_zone(tmp_path: Path, due: str) -> None:
    """What says no zone has the course's, summer and winter, as in extensions.csv."""
    text = VALID.replace("2026-12-14T23:59:00+01:00", due, 1)
    (tmp_path / "course.toml").write_text(f'timezone = "Europe/Berlin"\n{text}')
    assert load_course(tmp_path).units[0].due == datetime.fromisoformat(ZONES[due])


def test_a_mark_before_the_file(tmp_path: Path) -> None:
    """Windows' editors write one; a student kit of such a course can be read, too."""
    (tmp_path / "course.toml").write_text(VALID, encoding="utf-8-sig")
    assert load_course(tmp_path).id == "course"
    assert public_course_file(load_course(tmp_path)) == VALID


def test_the_file_instead_of_its_folder(tmp_path: Path, cli: Any) -> None:
    """--course with the file itself is told what to give, without a traceback."""
    load(tmp_path)
    done = cli("export", "csv", tmp_path, tmp_path / "x.csv", "--course", tmp_path / "course.toml")
    assert done.returncode == 4 and "is a file: give the folder that holds the course's course.toml" in done.stderr


def test_all_unknown_keys_at_once(tmp_path: Path) -> None:
    """Two unknown keys make two lines."""
    with pytest.raises(UsageError) as error:
        load(tmp_path, "[late]\ngrace_minutes = 10", "color = 1\n[late]\ngrace_mins = 10")
    first, second = str(error.value).splitlines()
    assert "unknown key $.color" in first and "unknown key $.late.grace_mins; did you mean 'grace_minutes'?" in second


def test_file_missing_or_not_text(tmp_path: Path) -> None:
    """A folder without course.toml, and one whose course.toml is not UTF-8, are named."""
    with pytest.raises(UsageError, match="does not exist"):
        load_course(tmp_path)
    (tmp_path / "course.toml").write_bytes(b'id = "\xff"')
    with pytest.raises(UsageError, match="is not valid TOML"):
        load_course(tmp_path)


def test_unknown_unit_names_the_nearest(tmp_path: Path) -> None:
    """Asking for a unit that is not there names the one that was probably meant, or all of them."""
    course = load(tmp_path)
    with pytest.raises(UsageError, match=r"no unit 'unit11' in .*; did you mean 'unit1'\?"):
        course.unit("unit11")
    with pytest.raises(UsageError, match="; it has unit1, unit2"):
        course.unit("xyz")


def test_root_is_found_from_below(tmp_path: Path) -> None:
    """The nearest course.toml at or above a folder counts; without any, the sentence says what to do."""
    load(tmp_path)
    inner = tmp_path / "assignments" / "unit1"
    inner.mkdir(parents=True)
    assert find_root(inner) == find_root(tmp_path) == tmp_path.resolve()
    (inner / "course.toml").write_text(VALID, encoding="utf-8")
    assert find_root(inner) == inner.resolve()
    (inner / "course.toml").unlink()
    (tmp_path / "course.toml").unlink()
    with pytest.raises(UsageError, match="give --course DIR"):
        find_root(inner)


def test_limits_of_an_exercise(tmp_path: Path) -> None:
    """An exercise overrides the limits that it sets; the others are the course's."""
    course = load(tmp_path)
    first, second = course.unit("unit1").exercises
    third = course.unit("unit2").exercise("third")
    assert course.limits_for(first) == course.limits
    assert (course.limits_for(second).call_wall_s, course.limits_for(second).memory_mb) == (9.0, 700)
    assert (course.limits_for(third).call_wall_s, course.limits_for(third).memory_mb) == (3.0, 900)


DAY = 86400.0


@pytest.mark.parametrize(
    ("seconds", "share"),
    [(-5.0, 0.0), (0.0, 0.0), (600.0, 0.0), (600.5, 0.2), (DAY, 0.2), (DAY + 1, 0.4), (2 * DAY + 1, 0.5), (9e9, 0.5)],
)
def test_late_penalty(seconds: float, share: float) -> None:
    """After the grace period each started day since the deadline costs its share, up to the most that can be lost."""
    policy = LatePolicy(grace_minutes=10, penalty_per_day=0.2, max_penalty=0.5)
    assert policy.share(policy.started_days(exact(seconds))) == exact(share)


def test_late_work_is_free_unless_the_course_says_otherwise() -> None:
    """A course without [late] takes nothing off."""
    assert LatePolicy().share(LatePolicy().started_days(exact(30 * DAY))) == 0
    assert not LatePolicy().is_cut_off(exact(30 * DAY))


def test_the_real_course_is_valid(course: Course) -> None:
    """The course of this repository loads, and every unit has its solutions."""
    assert course.units
    for unit in course.units:
        for page in unit.pages:
            assert (course.solutions / unit.id / f"{page.name}.py").is_file(), page.name


def test_what_the_kit_gives_is_not_what_it_asks_for(course: Course) -> None:
    """A block of `autograder.given` that is called like an exercise's symbol is forbidden there."""
    import autograder.given as given

    def plain(name: str) -> str:
        return name.lower().replace("_", "")

    blocks = {plain(name): f"autograder.given.{name}" for name in given.__all__}
    exercises = [exercise for unit in course.units for exercise in unit.exercises]
    named = [(e, blocks[plain(s)]) for e in exercises for s in e.symbols if plain(s) in blocks]
    assert len(named) > 10
    assert [(exercise.id, block) for exercise, block in named if block not in exercise.forbidden] == []
