"""Which page a file is meant to be, by its name.

Page names are unique in the course, so a name says where a file belongs. Browsers, platforms and people change names:
`page (1).py`, `page - Copy.ipynb`, `Page-old.py`, `lovelace_page.py`, `page.py.txt`. Such a look-alike holds the page's
words in their order, whatever stands around them.
"""

import difflib
import re
import unicodedata
from collections.abc import Sequence

from msgspec import Struct

SUFFIXES = (".ipynb", ".py")
_REMARK = r"(?:[^A-Za-z0-9.][^.]*)?"  # ` (1)`, `~`, `の コピー`: what programs of many languages put behind the suffix
_SUFFIX = re.compile(
    rf"(?is)(?P<stem>.+?)(?P<suffix>\.ipynb|\.py){_REMARK}"
    rf"(?:\.(?:txt|json|py|ipynb|html?|bak|backup|orig|old|save?){_REMARK})*\.*\s*"
)
_LATIN, _OTHER = r"[a-zA-Z\u00c0-\u024f]", r"[^\W\d_a-zA-Z\u00c0-\u024f]"
_SCRIPTS_MEET = re.compile(f"(?<={_LATIN})(?={_OTHER})|(?<={_OTHER})(?={_LATIN})")  # `pageのコピー`
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")


class Meant(Struct, frozen=True):
    """The page that a file name means. Not `exact` where the name is only alike; `checks` for a page's checks."""

    page: str
    suffix: str
    exact: bool
    checks: bool = False


class PageNames:
    """The names of a course's pages."""

    def __init__(self, pages: Sequence[str]) -> None:
        self._squeezed = {_squeeze(_words(page)): page for page in pages}
        self.pages = list(pages)

    def meant(self, name: str) -> Meant | None:
        """The page that a file called `name` means, or None."""
        for suffix in SUFFIXES:
            if name.endswith(suffix) and name.removesuffix(suffix) in self._squeezed.values():
                return Meant(name.removesuffix(suffix), suffix, exact=True)
        match = _SUFFIX.fullmatch(unicodedata.normalize("NFKC", name))
        if match is None:
            return None
        words = _words(match["stem"])
        checks = words[:1] == ["test"] and match["suffix"].lower() == ".py"
        page = self._page(words)
        if page is None:
            return None
        exact = checks and name == f"test_{page}.py"
        return Meant(page, match["suffix"].lower(), exact, checks)

    def near(self, name: str) -> str | None:
        """The page whose name is nearly this one, for a question."""
        stem = name.partition(".")[0].casefold()
        return next(iter(difflib.get_close_matches(stem, self.pages, n=1, cutoff=0.8)), None)

    def _page(self, words: list[str]) -> str | None:
        """The longest page name among runs of the words; None where another one stands beside it."""
        found = {
            page
            for start in range(len(words))
            for end in range(start + 1, len(words) + 1)
            if (page := self._squeezed.get(_squeeze(words[start:end]))) is not None
        }
        best = max(found, key=len, default=None)
        return best if all(_squeeze(_words(page)) in _squeeze(_words(best or "")) for page in found) else None


def may_be_page(name: str) -> bool:
    """Whether a file of this name can be a page at all, or a module beside one."""
    return _SUFFIX.fullmatch(unicodedata.normalize("NFKC", name)) is not None


def _words(name: str) -> list[str]:
    """`Scaled_Dot-Product (1)` -> scaled, dot, product, 1."""
    apart = _SCRIPTS_MEET.sub(" ", unicodedata.normalize("NFKC", name))
    return [word.casefold() for word in _WORDS.findall(apart)][:40]


def _squeeze(words: Sequence[str]) -> str:
    return "".join(words)
