"""How words become a format: what a student wrote is read as it was written, and does nothing."""

import csv
import html as stdlib_html
import io
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest

from autograder import text

PAYLOADS = [
    "plain words, and a comma",
    "<script>alert(1)</script>",
    "</pre></code><img src=x onerror=alert(1)>",
    "[a](javascript:alert(1)) ![b](http://evil.example/x.png)",
    "# Full marks, staff\n\n| a | b |\n|---|---|\n| 1 | 2 |",
    "```\nfence\n```\n~~~~\n",
    "$\\href{javascript:alert(1)}{x}$ \\(\\unicode{x202e}\\) $$\\require{html}$$",
    "http://evil.example <http://evil.example> www.evil.example",
    "a_b*c**d~~e~~ `f` \\* &lt; &#60; &copy;",
    "]]> <!-- --> <?php ?> <![CDATA[",
    "    indented\n\ttabbed\n> quoted\n- item\n1. item",
    "line\u2028separator\u2029and\x85next\x0bvt\x0cff",
    "\u202eright to left\u202c \u200bzero\u200b width \ufeff mark",
    "\x1b[2J\x1b]0;title\x07 \x00 \x7f \x9b31m",
    "lone \ud800 surrogate, not characters \ufffe \uffff",
    "@mention #12 :emoji: GH-12 <details><summary>x</summary></details>",
    "<iframe srcdoc='<script>tripped()</script>'></iframe><svg onload=tripped()>",
    "</PRE ><a href='javascript:tripped()'>x</a>",
    "<pre>nested</pre> after it",
    "[link]: http://evil.example 'title'\n\n[link] ![link]",
    "````````````````````````````````\n# not a heading\n````````````````````````````````",
    "```html\n<script>tripped()</script>\n```\n\n```mermaid\ngraph TD; A-->B\n```",
    "~~~~~~~~~~~~~~\n</pre>\n~~~~~~~~~~~~~~",
    "\\begin{equation}\\href{javascript:tripped()}{x}\\end{equation} \\[x\\] \\(y\\)",
    "$$\n\\unicode{x3c}\\class{evil}{x}\\cssId{y}{z}\\require{action}\\toggle{a}{b}\\endtoggle\n$$",
    "Heading\n=======\n\nOther\n---\n\n***\n",
    "src='files/x.png' href=files/y ![a](files/z) [b](/files/q)",
    "&lt;script&gt; &#x3c;img src=x onerror=tripped()&#x3e; &NewLine; &Tab; &#0; &#1234567;",
    "- [ ] task\n- [x] done\n\nTerm\n: definition\n\n[^1]: note\n\n~~gone~~ ==mark== H~2~O x^2^",
    "\u2066isolate\u2069 \u200e\u200f\u061c \u180e \u00ad soft \u2063 \ue000 private \U000e0041 tag",
    "{{ 7 * 7 }} {% raw %} {# note #} ${7*7} <%= 7 %>",
    "mailto:a@evil.example ftp://evil.example //evil.example/x <a@evil.example>",
    "\u2424 symbol for newline, \ttab",
    "<style>body{display:none}</style><link rel=stylesheet href=//evil.example><base href=//evil.example>",
    "<meta http-equiv=refresh content='0;url=http://evil.example'><form action=//evil.example><input autofocus>",
    "<!--\n\n--><!DOCTYPE x [<!ENTITY y 'z'>]>\n\n<math><mi xlink:href='javascript:tripped()'>x</mi></math>",
    "王芳 Zoë Ωmega עברית العربية हिन्दी 🎓",
]
FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\n=1", " =1", "\xa0=1", "\u3000=1", "＝1", "＋1", "－1", "＠x"]


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.words += data


def read(page: str) -> Page:
    reader = Page()
    reader.feed(page)
    reader.close()
    return reader


@pytest.mark.parametrize("payload", PAYLOADS)
def test_html_and_xml_say_what_was_written(payload: str) -> None:
    """Between tags and in attributes; invisible characters are written out, everything else comes back as it was."""
    expected = text.readable(payload)
    page = read(f"<p title='{text.html(payload)}'>{text.html(payload)}</p>")
    assert (page.tags, page.words) == (["p"], expected)
    element = ElementTree.fromstring(f'<p title="{text.xml(payload)}">{text.xml(payload)}</p>')
    assert (element.text, element.get("title")) == (expected, expected)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_markdown_says_what_was_written(payload: str) -> None:
    """Through the filter that nbgrader's pages use: no tag but ours, nothing for MathJax outside of our tags."""
    from nbconvert.filters.markdown import markdown2html

    block = f"\n\n{text.preformatted(payload)}\n\n"
    page = read(markdown2html(f"Ours: {block} and *ours*"))
    assert set(page.tags) <= {"p", "pre", "em"} and page.tags.count("pre") == 1
    assert text.readable(payload).strip("\n") in page.words
    assert not re.search(r"[$\\]", re.sub(r"(?s)<pre>.*?</pre>", "", markdown2html(block)))
    page = read(markdown2html(f"| a | {text.markdown_inline(payload)} |\n|---|---|\n| 1 | 2 |"))
    assert not set(page.tags) & {"script", "img", "a", "h1", "strong", "del"}
    assert " ".join(text.readable(payload).split()) in page.words


@pytest.mark.parametrize("payload", [*PAYLOADS, "\n\nleading and trailing lines\n\n"])
def test_a_comment_says_what_was_written(payload: str) -> None:
    """Through both filters of nbgrader's template: one block, whatever is in it, and every character of it."""
    from nbconvert.filters.markdown import markdown2html
    from nbconvert.filters.strings import strip_files_prefix

    page = read(strip_files_prefix(markdown2html(text.comment(payload))))
    assert page.tags == ["pre"]
    assert page.words.strip("\n") == text.readable(payload).strip("\n")
    inside = text.comment(payload).partition("\n")[2].removesuffix("</pre>")
    assert "<" not in inside and stdlib_html.unescape(inside) == text.readable(payload)


def test_an_instructor_can_read_a_comment() -> None:
    """formgrader shows its source: nothing in our own sentences is written as a number."""
    words = "Probably `d_k` was not used: softmax(x / sqrt(d_k))*V, [1, 2] = 3 | 4 # 5!"
    assert words.replace("`", "&#96;") in text.comment(words)


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_cell_is_a_formula(formula: str) -> None:
    """A cell that a spreadsheet would run begins with an apostrophe; the words after it are the student's."""
    cell = text.csv_field(formula)
    assert cell == f"'{formula}"
    (row,) = csv.reader(io.StringIO(_written(cell, "next"), newline=""))
    assert row == [cell, "next"]


def test_a_carriage_return_begins_no_cell() -> None:
    """It is written out, and so is a lone one within: some readers end a row there."""
    assert text.csv_field("\r=1") == "\\x0d=1" and text.csv_field("a\rb\r\nc") == "a\\x0db\nc"


@pytest.mark.parametrize(
    "name", ["山田\u3000太郎", "می\u200cخواهم", "क\u094d\u200dष", "Anne\xa0Marie", "O'Brien-Smith"]
)
def test_names_are_kept(name: str) -> None:
    """The spaces and joiners that names are spelled with stay what they are."""
    assert text.csv_field(name) == name
    assert read(text.html(name)).words == name


@pytest.mark.parametrize("payload", [*PAYLOADS, "Ada", "1-2", "a=b", "", "e\u0301"])
def test_other_cells_are_as_they_were(payload: str) -> None:
    """Nothing is put before words that are no formula; composed Unicode; one row stays one row."""
    cell = text.csv_field(payload)
    if payload[:1] not in "=+-@" or not payload:
        import unicodedata

        assert cell == unicodedata.normalize("NFC", text.readable(payload))
    (row,) = csv.reader(io.StringIO(_written(cell, "next"), newline=""))
    assert row == [cell, "next"]


def _written(*cells: str) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("number", "said"),
    [(7.0, "7"), (4.41, "4.41"), (0.00004, "0"), (-0.00001, "0"), (1e6, "1000000"), (2 / 3, "0.6667"), (-1.5, "-1.5")],
)
def test_numbers_of_points(number: float, said: str) -> None:
    """Up to four decimals, no exponent, no minus before nothing."""
    assert text.decimal(number) == text.csv_number(number) == said


def test_entities_are_not_read_twice() -> None:
    """What looks like an entity is shown as it was typed."""
    assert stdlib_html.unescape(text.html("&lt;b&gt;")) == "&lt;b&gt;"
