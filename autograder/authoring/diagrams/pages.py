"""The diagrams of a unit: where they are drawn, what pages say about them, and how a notebook carries them.

Source: solutions/<unit>/diagrams/<name>.py with a function `draw()`. A page shows it by a line of its markdown,
`![what it shows](diagrams/<name>.svg)`. The module form keeps that line; the notebook gets the picture itself, so that
a notebook that travels alone still shows it.
"""

import base64
import re
import runpy
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from autograder.authoring.diagrams.drawing import Diagram
from autograder.errors import UsageError

FOLDER = "diagrams"
# The words of the alternative may hold brackets where they are closed again.
_SHOWN = re.compile(r"!\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(((?:\./)?diagrams/[^)\s]*)\)")


def draw_all(unit_folder: Path) -> dict[str, bytes]:
    """The SVG of every diagram of a unit, by its name. Raises UsageError naming the file that cannot be drawn."""
    return {path.stem: _draw(path).encode() for path in sorted((unit_folder / FOLDER).glob("*.py"))}


def all_are_shown(unit_folder: Path, drawn: Mapping[str, bytes], seen: set[str]) -> None:
    """Raises UsageError for a diagram that no page of the unit shows."""
    for name in drawn:
        if name not in seen:
            file = unit_folder / FOLDER / f"{name}.py"
            raise UsageError(f"{file} is shown by no page: write ![what it shows]({FOLDER}/{name}.svg) on one")


def embed(page: Path, notebook: Any, drawn: Mapping[str, bytes]) -> set[str]:
    """Put the pictures themselves into a notebook's markdown, in place. Returns the names of those that it shows.

    Not as attachments: JupyterLab 4 shows those of bitmaps only and breaks off at SVG. Not as a markdown image either:
    VS Code lets a data address of SVG through in an <img> alone.

    Raises UsageError naming the page for a diagram that has no alt text, or does not exist.
    """
    names = set()

    def picture(match: re.Match[str]) -> str:
        words, target = match.groups()
        name = _name(target)
        if name not in drawn:
            file = page.parent / FOLDER / f"{Path(target).stem}.py"
            raise UsageError(f"{page} shows {target}, but {file} does not exist: draw it there, or mend the name")
        if not words.strip():
            raise UsageError(f"{page}: {target} has no alt text: write ![what it shows]({target})")
        names.add(name)
        data = base64.b64encode(drawn[name]).decode()
        return f'<img alt="{escape(" ".join(words.split()))}" src="data:image/svg+xml;base64,{data}">'

    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _SHOWN.sub(picture, cell.source)
    return names


def _name(target: str) -> str:
    """The diagram's name; empty for a target that is none of ours, which no diagram is called."""
    name, dot, kind = target.removeprefix("./").removeprefix(f"{FOLDER}/").rpartition(".")
    return name if dot and kind == "svg" else ""


def _draw(path: Path) -> str:
    try:
        diagram = runpy.run_path(str(path))["draw"]()
    except KeyError as error:
        if error.args != ("draw",):
            raise UsageError(f"{path}: KeyError: {error}") from error
        raise UsageError(f"{path} has no function draw()") from None
    except Exception as error:  # the author's file: whatever goes wrong in it is theirs to read
        raise UsageError(f"{path}: {type(error).__name__}: {error}") from error
    if not isinstance(diagram, Diagram):
        raise UsageError(f"{path}: draw() returned {type(diagram).__name__}, not a Diagram")
    return diagram.svg()
