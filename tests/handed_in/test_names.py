"""Files under other names and in other places, and modules that come along: read, or named with the reason."""

import json
import os
from collections.abc import Callable

import pytest

from autograder.intake import files
from autograder.intake.names import Meant, PageNames
from autograder.intake.submission import PageSource
from tests.handed_in.conftest import UNIT, Handed, notebook
from tests.handed_in.test_archives import pack

NAMES = PageNames(["scaled_dot_product", "attention", "attention_patterns", "bert"])
READ = [PageSource("tiny_page", ["x = 1\n"])]


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("scaled_dot_product.py", "scaled_dot_product"),
        ("scaled_dot_product (1).py", "scaled_dot_product"),
        ("scaled_dot_product - Copy.ipynb", "scaled_dot_product"),
        ("scaled_dot_product-old.py", "scaled_dot_product"),
        ("Scaled_Dot_Product.PY", "scaled_dot_product"),
        ("ScaledDotProduct.py", "scaled_dot_product"),
        ("scaled dot product.py", "scaled_dot_product"),
        ("scaled-dot-product_final(2).ipynb", "scaled_dot_product"),
        ("lovelace_scaled_dot_product.py", "scaled_dot_product"),
        ("Copy of scaled_dot_product.ipynb", "scaled_dot_product"),
        ("Kopie von scaled_dot_product.ipynb", "scaled_dot_product"),
        ("scaled_dot_product.py.txt", "scaled_dot_product"),
        ("scaled_dot_product.ipynb.json", "scaled_dot_product"),
        ("2026-11-30 scaled_dot_product v3.py", "scaled_dot_product"),
        ("my_attention_patterns.py", "attention_patterns"),
        ("attention2.py", "attention"),
        ("BERT.py", "bert"),
        # what programs of other languages write: Google Drive behind the suffix, macOS without a space before it
        ("bert.ipynb のコピー", "bert"),
        ("“scaled_dot_product.ipynb”的副本", "scaled_dot_product"),
        ("attention_patterns.ipynb의 사본", "attention_patterns"),
        ("scaled_dot_productのコピー.ipynb", "scaled_dot_product"),
        ("bert副本.py", "bert"),
        ("王小明bert.ipynb", "bert"),
        ("ｂｅｒｔ．ｐｙ", "bert"),
        ("bertë.py", None),
        # behind the suffix
        ("bert.ipynb (1)", "bert"),
        ("bert.ipynb - Copy", "bert"),
        ("bert.py (2).txt", "bert"),
        ("bert.py~", "bert"),
        ("bert.py.orig", "bert"),
        ("bert.py.bak", "bert"),
        ("bert.ipynb.", "bert"),
        ("bert.ipynb.pdf", None),
        ("bert.py notes.docx", None),
        ("bert.pyc", None),
        ("test_bert.ipynb", "bert"),
        ("dot_product.py", None),
        ("attentive.py", None),
        ("alberta.py", None),
        ("bert_attention.py", None),  # two pages
        ("scaled_dot_product.pdf", None),
        ("scaled_dot_product", None),
    ],
)
def test_which_page_a_name_means(name: str, page: str | None) -> None:
    """A look-alike holds the page's words in their order; two pages in one name, or another word, mean none."""
    meant = NAMES.meant(name)
    assert (meant.page if meant else None) == page
    assert meant is None or meant.exact == (name == f"{page}.py")


def test_checks_are_no_pages() -> None:
    """The public checks that lie beside a page are nobody's work."""
    assert NAMES.meant("test_bert.py") == Meant("bert", ".py", exact=True, checks=True)
    assert NAMES.meant("test_bert (1).py") == Meant("bert", ".py", exact=False, checks=True)


# ---------------------------------------------------------------- another name


@pytest.mark.parametrize("name", ["tiny_page (1).py", "Tiny_Page.py", "ada tiny page.py", "tiny_page.py.txt"])
def test_one_look_alike_is_read(handed: Handed, name: str) -> None:
    """Exactly one file that is nearly called so is graded, and a remark says which."""
    read = handed.page(name).ada()
    assert (read.pages, read.problems) == (READ, [f"{name}: read as tiny_page.py"])


def test_two_look_alikes(handed: Handed) -> None:
    """Of two nobody knows which is meant: both are named, with what to do; two copies of the same are one."""
    read = handed.page("tiny_page (1).py").page("tiny_page (2).py", "x = 2").ada()
    assert read.pages == [] and read.problems == [
        "tiny_page (1).py and tiny_page (2).py: each could be tiny_page.py; none was read: "
        "hand in one of them under that name"
    ]
    read = handed.page("tiny_page (2).py").ada()
    assert (read.pages, read.problems) == (READ, ["tiny_page (1).py: read as tiny_page.py"])


def test_a_look_alike_beside_the_page(handed: Handed) -> None:
    """The exact name counts, and the other file is named as not read."""
    read = handed.page("tiny_page.py").page("tiny_page-old.py", "x = 2").ada()
    assert (read.pages, read.problems) == (READ, ["tiny_page-old.py: not read, tiny_page.py counts"])


WORK = "def double(x):\n    return x + x\n"
OF_NOBODY = ["", "x = 1\n", "# only words", "from torch import nn\nprint(double)\n"]


@pytest.mark.parametrize("empty", [*OF_NOBODY, "\xff\xfe"], ids=ascii)
@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("tiny_page.py", "tiny_page (1).py"),
        ("tiny_page (2).py", "tiny_page (1).py"),
        ("tiny_page.py", "backup/tiny_page.py"),
        ("tiny_page.ipynb", "tiny_page.py"),
        ("tiny_page.ipynb", "tiny_page (1).py"),
        ("tiny_page.ipynb.html", "tiny_page (1).py"),
    ],
)
def test_a_file_without_work_stands_in_nobodys_way(handed: Handed, name: str, other: str, empty: str) -> None:
    """An empty, unreadable or unworked file is passed over where another one holds the work, and is named."""
    data = notebook(empty) if name.endswith(".ipynb") and empty else empty.encode("latin-1")
    read = handed.page(name, data).page(other, WORK).ada()
    assert read.pages == [PageSource("tiny_page", [WORK])], read.problems
    assert any(problem.startswith(f"{name}: ") for problem in read.problems)


@pytest.mark.parametrize("added", OF_NOBODY, ids=ascii)
def test_a_notebook_that_was_only_run(handed: Handed, added: str) -> None:
    """Running a notebook adds an empty cell, and looking about another: the module with the work counts."""
    book = json.loads(handed.released("tiny_page.ipynb"))
    book["cells"].append({"cell_type": "code", "source": added})
    read = handed.page("tiny_page.ipynb", json.dumps(book)).page("tiny_page.py", WORK).ada()
    assert read.pages == [PageSource("tiny_page", [WORK])]
    said = ["tiny_page.ipynb: not read, no exercise was begun in it; tiny_page.py counts"]
    assert read.problems == (said if added in ("x = 1\n", OF_NOBODY[-1]) else [])


def test_a_look_alike_beside_the_untouched_page(handed: Handed) -> None:
    """A page as it was released is no work: the copy that was edited counts."""
    read = handed.page("tiny_page.py", handed.released("tiny_page.py")).page("tiny_page (1).py").ada()
    assert (read.pages, read.problems) == (READ, ["tiny_page (1).py: read as tiny_page.py"])


def test_a_notebook_under_the_name_of_a_module(handed: Handed) -> None:
    """A file is what it holds, whatever its suffix says."""
    read = handed.page("tiny_page.py", notebook("x = 1")).ada()
    assert read.pages == [PageSource("tiny_page", ["x = 1"], notebook=True)]
    assert read.problems == ["tiny_page.py: it is a notebook and was read as one"]


def test_a_name_that_is_nearly_right(handed: Handed) -> None:
    """A typing error is not guessed at, but asked about."""
    read = handed.page("tiny_pgae.py").ada()
    assert read.pages == [] and read.problems == [
        f"not read: {UNIT}/tiny_pgae.py (is it tiny_page? rename it) (only pages count, and modules that they import)"
    ]


@pytest.mark.parametrize(
    "suffix", [".pdf", ".py.docx", ".ipynb.pdf", ".html", ".rtf", ".png", ".gdoc", ".py.crdownload"]
)
def test_what_no_other_name_makes_a_page(handed: Handed, suffix: str) -> None:
    """A printed, shared or half loaded page is not to be renamed."""
    (problem,) = handed.page(f"tiny_page{suffix}").ada().problems
    assert f"tiny_page{suffix} (not the page itself: hand in tiny_page.ipynb or tiny_page.py)" in problem


def test_an_autosave_is_not_the_page(handed: Handed) -> None:
    """Where only Jupyter's autosave is there, that is said."""
    read = handed.page(".ipynb_checkpoints/tiny_page-checkpoint.ipynb", notebook("x = 1")).ada()
    assert read.pages == [] and read.problems == [
        "tiny_page-checkpoint.ipynb: only Jupyter's autosave of the page; hand in the page"
    ]


def test_autosaves_that_may_not_be_listed(handed: Handed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that belongs to somebody else costs nobody the pages beside it."""
    handed.page(".ipynb_checkpoints/tiny_page-checkpoint.ipynb").page("tiny_page.py")

    def listdir(folder: str, known: Callable[[str], list[str]] = os.listdir) -> list[str]:
        if str(folder).endswith(".ipynb_checkpoints"):
            raise PermissionError(13, "Permission denied", str(folder))
        return known(folder)

    monkeypatch.setattr(os, "listdir", listdir)
    assert [page.name for page in handed.ada().pages] == ["tiny_page"]


@pytest.mark.parametrize("name", ["tiny_page.ipynb のコピー", "tiny_page.ipynb (1)", "tiny_page.ipynb.txt.txt "])
def test_a_name_means_the_same_in_an_archive(handed: Handed, name: str) -> None:
    """What is read of a folder is read of a zip."""
    book = notebook("x = 1\n")
    handed.page(name, book).put("bob.zip", pack("zip", (name, book.encode())))
    read = handed.by_student()
    assert read["ada"].pages == read["bob"].pages == [PageSource("tiny_page", ["x = 1\n"], notebook=True)]
    assert read["ada"].problems == read["bob"].problems == [f"{name}: read as tiny_page.ipynb"]


@pytest.mark.parametrize(
    "name", [".tiny_page.ipynb.icloud", "._tiny_page.py", "~$tiny_page.ipynb", ".tiny_page.py", ".tiny_page.py.swp"]
)
@pytest.mark.parametrize("packed", [False, True])
def test_only_a_hidden_file_of_the_page(handed: Handed, name: str, packed: bool) -> None:
    """A placeholder or a resource fork is not the page, and whoever handed in nothing else is told so; else nobody."""
    if packed:
        handed.put("bob.zip", pack("zip", (name, b"bplist00")))
    else:
        handed.put(f"bob/{name}", "bplist00")
    problems = handed.by_student(unit=UNIT)["bob"].problems
    assert any(problem.startswith(f"{name}: a hidden file") for problem in problems), problems
    handed.page(name).page("tiny_page.py")
    assert handed.by_student(unit=UNIT)["ada"].problems == []


def test_a_page_that_is_packed_by_itself(handed: Handed) -> None:
    """A compressed page is named as an archive of a kind that is not opened; other data is not."""
    read = handed.page("tiny_page.ipynb.gz").page("train-images.gz").ada()
    assert f"{UNIT}/tiny_page.ipynb.gz: this kind of archive is not read; repack it as .zip or .tar.gz" in read.problems
    assert f"not read: {UNIT}/train-images.gz (only pages count, and modules that they import)" in read.problems


# ---------------------------------------------------------------- another place


@pytest.mark.parametrize("below", ["", "work/", "a/b/", f"{UNIT}/", f"x/{UNIT}/", f"{UNIT}/{UNIT}/", "assignments/"])
def test_a_page_in_another_place(handed: Handed, below: str) -> None:
    """Page names are unique in the course, so the name says where a page belongs."""
    handed.put(f"bob/{below}tiny_page.py")
    bob = handed.by_student()["bob"]
    assert (bob.pages, bob.problems) == (READ, [])


def test_the_same_page_in_two_places(handed: Handed) -> None:
    """The unit's folder counts before other places, what is higher before what is deeper; equals are named."""
    handed.page("tiny_page.py").put("ada/backup/tiny_page.py", "x = 2")
    read = handed.ada()
    assert read.pages == READ and "backup/tiny_page.py: not read, tiny_page.py counts" in read.problems
    handed.put("bob/a/tiny_page.py").put("bob/b/tiny_page.py", "x = 2")
    bob = handed.by_student()["bob"]
    assert bob.pages == []
    assert bob.problems == ["a/tiny_page.py and b/tiny_page.py: which one counts? None was read; keep one of them"]
    handed.put("bob/tiny_page.py", "x = 3")
    assert handed.by_student()["bob"].pages == [PageSource("tiny_page", ["x = 3"])]


def test_what_is_not_a_page_is_named(handed: Handed) -> None:
    """Files that nobody reads are listed, not more than a few of them; what programs leave behind is not."""
    for number in range(8):
        handed.page(f"data{number}.csv")
    for name in (
        "README.md",
        "diagrams/tiny_page.svg",
        "__pycache__/tiny_page.cpython-311.pyc",
        ".DS_Store",
        "Thumbs.db",
        ".git/config",
    ):
        handed.page(name)
    read = handed.page("tiny_page.py").ada()
    (problem,) = read.problems
    assert (
        problem.startswith(f"not read: {UNIT}/data0.csv, ") and problem.count(".csv") == 5 and "and 3 more" in problem
    )


def test_a_set_of_data_before_the_page(handed: Handed, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many files come before it that nobody reads: the page counts, and some of them are named."""
    monkeypatch.setattr(files, "MAX_ENTRIES", 30)
    monkeypatch.setattr(files, "MAX_OTHERS", 20)
    for number in range(100):
        handed.page(f"data/{number:03}.png")
    read = handed.page("pages/tiny_page.py").ada()
    assert read.pages == READ and "data/000.png" in read.problems[0]
    for number in range(40):
        handed.page(f"data/{number:03}.py")
    assert "more than 30 files; the rest was not looked at" in handed.ada().problems


@pytest.mark.parametrize("packed", [False, True])
def test_a_virtual_environment_beside_the_page(handed: Handed, packed: bool) -> None:
    """The thousands of files of an environment are nobody's work; a page in the same folder is."""
    files = ["pyvenv.cfg", "lib/python3.11/site-packages/x/tiny_page.py", "bin/tiny_page.py", "tiny_page.py"]
    if packed:
        handed.put("bob.zip", pack("zip", *((f"w/{name}", b"x = 1\n") for name in files)))
    else:
        for name in files:
            handed.put(f"bob/w/{name}")
    bob = handed.by_student()["bob"]
    assert (bob.pages, bob.problems) == (READ, [])


# ---------------------------------------------------------------- modules beside the page


def test_a_helper_comes_along(handed: Handed) -> None:
    """What the page imports from beside it, and what that imports; a module of another folder does not."""
    handed.page("tiny_page.py", "def f():\n    from helper import g\n").page("helper.py", "import deeper\n")
    handed.page("deeper.py", "y = 1\n").page("unused.py")
    read = handed.ada()
    assert [(page.name, page.helper) for page in read.pages] == [
        ("tiny_page", False),
        ("deeper", True),
        ("helper", True),
    ]
    assert read.problems == [f"not read: {UNIT}/unused.py (only pages count, and modules that they import)"]


@pytest.mark.parametrize("name", ["random", "torch", "numpy", "autograder", "sitecustomize_", "pytest"])
def test_a_helper_shadows_nothing(handed: Handed, name: str) -> None:
    """`import random` never means a student's file: one with the name of an installed module is named, and stays."""
    read = handed.page("tiny_page.py", f"import {name}\n").page(f"{name}.py").ada()
    if name == "sitecustomize_":
        assert [page.name for page in read.pages] == ["tiny_page", name]
    else:
        assert [page.name for page in read.pages] == ["tiny_page"]
        assert read.problems == [f"{name}.py: not read, it has the name of an installed module; give it another name"]


def test_limits_of_helpers(handed: Handed) -> None:
    """At most twenty modules and a mebibyte; a package beside the page does not come along, and all of it is said."""
    handed.page("tiny_page.py", "".join(f"import mod{n:02}\n" for n in range(22)) + "import package\n")
    for number in range(22):
        handed.page(f"mod{number:02}.py")
    read = handed.page("package/__init__.py").ada()
    assert len(read.pages) == 21
    assert read.problems[:3] == [
        "mod20.py: not read; at most 20 modules come along with the pages",
        "mod21.py: not read; at most 20 modules come along with the pages",
        "package/: not read; only modules beside the page come along, not folders of them",
    ]
    for number in range(6):
        handed.page(f"mod{number:02}.py", "#" * (200 << 10))
    assert any("modules beside the pages may have 1 MiB together" in problem for problem in handed.ada().problems)


def test_a_look_alike_that_the_page_imports(handed: Handed) -> None:
    """Such a file is a helper, and not another copy of the page."""
    read = handed.page("tiny_page.py", "import tiny_page_helpers\n").page("tiny_page_helpers.py").ada()
    assert [page.name for page in read.pages] == ["tiny_page", "tiny_page_helpers"] and read.problems == []
