"""course.toml is refused with the file, the path of the key and the fix; what is valid is read as it stands."""

import re
from pathlib import Path

import pytest

from autograder.course import Course, LatePolicy, exact, find_root, load_course
from autograder.errors import UsageError

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
