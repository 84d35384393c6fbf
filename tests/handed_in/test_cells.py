"""The bytes of a page become cells of code: encodings, notebooks of any age, and what is none of it."""

import codecs
import json

import pytest

from autograder.intake.cells import parse_cells
from autograder.intake.submission import PageSource
from tests.handed_in.conftest import Handed
from tests.handed_in.test_archives import pack


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xef\xbb\xbfx = 1\n", "x = 1\n"),  # a BOM, as Windows editors write
        (b"x = 1\r\ny = 2\rz = 3\n", "x = 1\ny = 2\nz = 3\n"),
        (b"# -*- coding: latin-1 -*-\nx = '\xe9'\n", "# -*- coding: latin-1 -*-\nx = 'é'\n"),
        (b"#!/usr/bin/python\n# coding: cp1252\nx = '\x80'\n", "#!/usr/bin/python\n# coding: cp1252\nx = '€'\n"),
        ("x = 'ü€'\n".encode(), "x = 'ü€'\n"),
        (b"", ""),
        (b"def f(:\n", "def f(:\n"),  # a syntax error is the student's, and reported where it is run
        ("x = 'é'\n".encode("utf-16"), "x = 'é'\n"),
        (codecs.BOM_UTF16_BE + "x = 'é'\r\n".encode("utf-16-be"), "x = 'é'\n"),
        ("x = 1\n".encode("utf-32"), "x = 1\n"),
    ],
)
def test_encodings(data: bytes, code: str) -> None:
    """Source is decoded as Python itself would, or as its byte-order mark says, with line ends made equal."""
    assert parse_cells(data, ".py") == [code]


@pytest.mark.parametrize(
    "data",
    [
        b"x = '\xe9'\n",  # latin-1 without a coding line
        b"# coding: nonsense\nx = 1\n",
        b"# coding: utf-8\nx = '\xff'\n",
        b"\xef\xbb\xbf# coding: latin-1\n",
        b"# coding: undefined\nx = 1\n",
        b"# coding: rot13\nk = 1\n",
        b"# coding: punycode\n" + b"a" * 1000,  # takes quadratic time to decode
        b"# coding: idna\nx = 'xn--4ca'\n",
        "x = 1\n".encode("utf-16-le"),  # without a mark
        codecs.BOM_UTF16_LE + b"\0\xd8\0\0",
        b"x = 1\0\n",
    ],
    ids=ascii,
)
def test_undecodable(handed: Handed, data: bytes) -> None:
    """What cannot be decoded is a problem with what to do, never an exception."""
    read = handed.page("tiny_page.py", data).ada()
    assert read.pages == []
    (problem,) = read.problems
    assert problem.startswith("tiny_page.py: ") and ("save it as UTF-8" in problem or "is it a text file?" in problem)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"cells": [{"cell_type": "code", "source": null}]}',
        b'{"cells": [{"cell_type": "code", "source": [1]}]}',
        b'{"cells": "code"}',
        b'{"cells": [{"cell_type": "code", "source": "\\ud800"}]}',
        b'{"cells": [{"cell_type": "code", "source": "\xff"}]}',
        b"[" * 200_000,
        b'{"cells": ' + b"[" * 200_000,
        b'{"metadata": ' + b'{"a":' * 200_000 + b"1" + b"}" * 200_000 + b', "cells": []}',
        b'{"cells": [' + b",".join([b"{}"] * 2001) + b"]}",
        b'{"cells": [\n<<<<<<< HEAD\n{"cell_type": "code", "source": "x"}\n=======\n>>>>>>> theirs\n]}',
    ],
    ids=lambda data: ascii(data[:50]),
)
def test_broken_notebooks(handed: Handed, data: bytes) -> None:
    """JSON that is broken, nested without end or no notebook is a problem; a module beside it is still read."""
    read = handed.page("tiny_page.ipynb", data).page("tiny_page.py", "x = 1").ada()
    assert read.pages == [PageSource("tiny_page", ["x = 1"])]
    (problem,) = read.problems
    assert problem.startswith("tiny_page.ipynb: ") and len(problem) < 300
    assert ("git's marks of a conflict" in problem) == (b"<<<<" in data)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("tiny_page.ipynb", b"", "an empty file"),
        ("tiny_page.ipynb", b"<!DOCTYPE html><html>Sign in</html>", "a web page"),
        ("tiny_page.py", b"\xff<html>", "is not UTF-8"),
        ("tiny_page.ipynb", b'{"url": "https://docs.google.com/open?id=1", "doc_id": "1"}', "a link, not the file"),
        ("tiny_page.ipynb", b"[InternetShortcut]\r\nURL=https://x", "a link, not the file"),
        ("tiny_page.ipynb", b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "git lfs pull"),
        ("tiny_page.py", b"PK\3\4\x14\0\xff\0", "an archive under another name"),
        ("tiny_page.py", b"PK\3\4" + bytes(26) + b"[Content_Types].xml\xff", "a word processor's document"),
        ("tiny_page.ipynb", b"PK\3\4" + bytes(26) + b"mimetypeapplication/", "a word processor's document"),
        ("tiny_page.py", b"{\\rtf1\\ansi\n def f(x):}", "a word processor's document"),
        ("tiny_page.py", b"<!DOCTYPE html>\n<html>def f</html>", "a web page"),
        ("tiny_page.py", b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "git lfs pull"),
        ("tiny_page.py", b"[InternetShortcut]\r\nURL=https://x", "a link, not the file"),
        ("tiny_page.py", b"\n \n", "an empty file"),
        ("tiny_page.py", b"%PDF-1.4\n%\xe2\xe3", "a PDF"),
        ("tiny_page.py", b"\0\5\x16\7", "left by a Mac"),
        ("tiny_page.py", "x = 1\n# né\n".encode("cp1252"), "line 2: the byte 0xe9 is not UTF-8; save it as UTF-8"),
    ],
)
def test_what_it_is_instead(handed: Handed, name: str, data: bytes, words: str) -> None:
    """What was saved in the place of a page is called what it is, with what to do, in a zip as well."""
    handed.page(name, data).put("bob.zip", pack("zip", (name, data)))
    for submission in handed.by_student().values():
        assert submission.pages == []
        (problem,) = submission.problems
        assert problem.startswith(f"{name}: ") and words in problem


@pytest.mark.parametrize("name", ["tiny_page.ipynb", "tiny_page (1).ipynb", "tiny_page.ipynb.txt"])
def test_a_module_under_the_name_of_a_notebook(handed: Handed, name: str) -> None:
    """A file is what it holds, whatever its suffix says, in a zip as well."""
    code = "# %%\nx = 1\n"
    handed.page(name, code).put("bob.zip", pack("zip", (name, code.encode())))
    for submission in handed.by_student().values():
        assert submission.pages == [PageSource("tiny_page", [code])]
        assert f"{name}: it is a module and was read as one" in submission.problems


def test_an_old_notebook() -> None:
    """Format 3 keeps its cells in worksheets and calls their source input."""
    cells = [{"cell_type": "code", "input": ["x = 1\n", "y = 2"]}, {"cell_type": "markdown", "source": "words"}]
    data = json.dumps({"nbformat": 3, "worksheets": [{"cells": cells}]}).encode()
    assert parse_cells(data, ".ipynb") == ["x = 1\ny = 2"]


def test_what_json_does_not_have() -> None:
    """Outputs may hold NaN, which Jupyter writes although JSON does not know it; UTF-16 and a BOM are read too."""
    text = '{"cells": [{"cell_type": "code", "source": "x = 1", "outputs": [{"data": NaN}]}], "nbformat": 4}'
    for data in (text.encode(), text.encode("utf-16"), codecs.BOM_UTF8 + text.encode()):
        assert parse_cells(data, ".ipynb") == ["x = 1"]
