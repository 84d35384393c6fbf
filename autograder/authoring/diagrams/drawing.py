"""What a diagram is made of: boxes, arrows, labels, grids, braces, curves and a caption, at explicit coordinates.

    def draw():
        d = Diagram(400, 160, title="Twice", description="A number goes into a box and comes out twice as large.")
        number = d.box(20, 50, 90, 40, "x_{t}")
        double = d.box(160, 50, 90, 40, "double", tone="blue")
        d.arrow(number.right, double.left)
        d.caption("What goes in comes out twice as large.")
        return d

x runs to the right, y runs down, both in pixels. In texts `_{...}` lowers, `^{...}` raises and `*...*` slants. The same
file always gives the same bytes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import atan2, cos, hypot, pi, sin

from autograder.authoring.diagrams.style import TONES, stylesheet

Point = tuple[float, float]
_MARKUP = re.compile(r"_\{([^}]*)\}|\^\{([^}]*)\}|\*([^*]+)\*")


@dataclass(frozen=True)
class Box:
    """A rectangle that was drawn, for arrows to start and end at."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> Point:
        return self.x, self.y + self.height / 2

    @property
    def right(self) -> Point:
        return self.x + self.width, self.y + self.height / 2

    @property
    def top(self) -> Point:
        return self.x + self.width / 2, self.y

    @property
    def bottom(self) -> Point:
        return self.x + self.width / 2, self.y + self.height


@dataclass(frozen=True)
class Grid(Box):
    """A grid that was drawn."""

    cell_width: float
    cell_height: float

    def cell(self, row: int, column: int) -> Box:
        """The cell's rectangle."""
        x, y = self.x + column * self.cell_width, self.y + row * self.cell_height
        return Box(x, y, self.cell_width, self.cell_height)


class Diagram:
    """A picture of `width` by `height`, with a title and a description for those who cannot see it."""

    def __init__(self, width: float, height: float, *, title: str, description: str) -> None:
        for name, text in (("title", title), ("description", description)):
            if not text.strip():
                raise ValueError(f"a diagram needs a {name}: it is what a screen reader reads out")
        self.width, self.height = width, height
        self.title, self.description = title, description
        self._parts: list[str] = []

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        text: str = "",
        *,
        tone: str = "grey",
        size: float = 15,
        dashed: bool = False,
        bold: bool = False,
        filled: bool = True,
    ) -> Box:
        """A rounded rectangle with its text in the middle; lines are parted by a line break."""
        self._inside((x, y), (x + width, y + height))
        look = f'class="fill-{_tone(tone)} line-{tone}"' if filled else f'class="line-{_tone(tone)}" fill="none"'
        self._add(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" rx="6"'
            f' {look} stroke-width="1.5"{_dash(dashed)}/>'
        )
        if text:
            self.label(x + width / 2, y + height / 2, text, size=size, bold=bold)
        return Box(x, y, width, height)

    def label(
        self,
        x: float,
        y: float,
        text: str,
        *,
        anchor: str = "middle",
        tone: str = "ink",
        size: float = 15,
        bold: bool = False,
    ) -> None:
        """Text whose middle is at height y; `anchor` is start, middle or end, `tone` also ink or muted."""
        self._inside((x, y))
        colour = tone if tone in ("ink", "muted") else f"ink-{_tone(tone)}"
        lines = text.split("\n")
        weight = ' font-weight="600"' if bold else ""
        for number, line in enumerate(lines):
            height = y + 0.35 * size + (number - (len(lines) - 1) / 2) * 1.3 * size
            self._add(
                f'<text x="{_n(x)}" y="{_n(height)}" text-anchor="{anchor}" font-size="{_n(size)}"'
                f' class="{colour}"{weight} xml:space="preserve">{_marked(line, size)}</text>'
            )

    def line(self, *points: Point, tone: str = "grey", width: float = 1.5, dashed: bool = False) -> None:
        """A line through the points: a curve, where they are many."""
        self._inside(*points)
        way = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
        self._add(
            f'<polyline points="{way}" class="line-{_tone(tone)}" fill="none" stroke-width="{_n(width)}"'
            f' stroke-linejoin="round" stroke-linecap="round"{_dash(dashed)}/>'
        )

    def arrow(self, *points: Point, tone: str = "grey", width: float = 1.5, dashed: bool = False) -> None:
        """A line through the points (an elbow is one more point) with a head at the last of them."""
        if len(points) < 2:
            raise ValueError("an arrow needs two points or more")
        x1, y1 = points[-1]
        size = 5 + 2 * width
        way = [p for p in points[:-1] if hypot(p[0] - x1, p[1] - y1) > size] or [points[0]]  # a curve ends at the neck
        angle = atan2(y1 - way[-1][1], x1 - way[-1][0])
        neck = (x1 - 0.8 * size * cos(angle), y1 - 0.8 * size * sin(angle))
        self.line(*way, neck, tone=tone, width=width, dashed=dashed)
        sides = [(x1 - size * cos(angle + turn), y1 - size * sin(angle + turn)) for turn in (-0.42, 0.42)]
        corners = " ".join(f"{_n(x)},{_n(y)}" for x, y in ((x1, y1), *sides))
        self._add(f'<polygon points="{corners}" class="ink-{tone}"/>')

    def circle(self, x: float, y: float, radius: float, *, tone: str = "grey", filled: bool = False) -> None:
        """A circle's outline, or a dot."""
        self._inside((x - radius, y - radius), (x + radius, y + radius))
        look = f'class="ink-{_tone(tone)}"' if filled else f'class="line-{_tone(tone)}" fill="none" stroke-width="1.5"'
        self._add(f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}" {look}/>')

    def arc(self, x: float, y: float, radius: float, start: float, end: float, *, tone: str = "grey") -> None:
        """An arrow along a circle from angle `start` to `end`, in degrees, counter-clockwise from the right."""
        steps = max(2, round(abs(end - start) / 4))
        angles = [(start + (end - start) * i / steps) * pi / 180 for i in range(steps + 1)]
        self.arrow(*[(x + radius * cos(a), y - radius * sin(a)) for a in angles], tone=tone)

    def grid(
        self,
        x: float,
        y: float,
        rows: Sequence[Sequence[str]],
        *,
        cell: tuple[float, float] = (38, 30),
        tones: Sequence[Sequence[str]] | str = "grey",
        row_labels: Sequence[str] = (),
        column_labels: Sequence[str] = (),
        size: float = 13,
    ) -> Grid:
        """Cells with their texts, one tone for all or one for each; an empty tone leaves the paper."""
        width, height = cell
        columns = len(rows[0])
        if any(len(row) != columns for row in rows):
            raise ValueError("the rows of a grid have the same number of cells")
        self._inside((x, y), (x + columns * width, y + len(rows) * height))
        for r, row in enumerate(rows):
            for c, text in enumerate(row):
                tone = tones if isinstance(tones, str) else tones[r][c]
                fill = f'class="fill-{_tone(tone)} rule"' if tone else 'class="rule" fill="none"'
                left, top = x + c * width, y + r * height
                self._add(
                    f'<rect x="{_n(left)}" y="{_n(top)}" width="{_n(width)}" height="{_n(height)}" {fill}'
                    ' stroke-width="0.75"/>'
                )
                if text:
                    self.label(left + width / 2, top + height / 2, text, size=size)
        for r, text in enumerate(row_labels):
            self.label(x - 8, y + (r + 0.5) * height, text, anchor="end", tone="muted", size=size)
        for c, text in enumerate(column_labels):
            self.label(x + (c + 0.5) * width, y - 11, text, tone="muted", size=size)
        return Grid(x, y, columns * width, len(rows) * height, width, height)

    def brace(self, start: Point, end: Point, text: str = "", *, tone: str = "grey", size: float = 14) -> None:
        """A curly brace from start to end, its tip and its text on the left hand of whoever walks along it."""
        (x0, y0), (x1, y1) = start, end
        length = hypot(x1 - x0, y1 - y0)
        ux, uy = (x1 - x0) / length, (y1 - y0) / length  # along
        vx, vy = uy, -ux  # to the left, as y runs down

        def at(along: float, aside: float) -> Point:
            return x0 + along * ux + aside * vx, y0 + along * uy + aside * vy

        self._inside(start, end)
        middle, r = length / 2, 6.0
        curve = [at(0, 0), at(0, r), at(r, r), at(middle - r, r), at(middle, r), at(middle, 2 * r)]
        back = [at(length - along, aside) for along, aside in ((0, 0), (0, r), (r, r), (middle - r, r), (middle, r))]
        p = [f"{_n(px)} {_n(py)}" for px, py in (*curve, *reversed(back))]
        self._add(
            f'<path d="M{p[0]}Q{p[1]} {p[2]}L{p[3]}Q{p[4]} {p[5]}Q{p[6]} {p[7]}L{p[8]}Q{p[9]} {p[10]}"'
            f' class="line-{_tone(tone)}" fill="none" stroke-width="1.5"/>'
        )
        if text:
            px, py = at(middle, 2 * r + (10 if abs(vy) > abs(vx) else 6))
            anchor = "middle" if abs(vy) > abs(vx) else "start" if vx > 0 else "end"
            self.label(px, py, text, anchor=anchor, tone=tone, size=size)

    def caption(self, text: str) -> None:
        """One line, or more, at the bottom: what the picture says."""
        lines = text.count("\n") + 1
        self.label(self.width / 2, self.height - 8 - 9 * lines, text, tone="muted", size=14)

    def svg(self) -> str:
        """The picture, as a document of its own."""
        width, height = _n(self.width), _n(self.height)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
            f' viewBox="0 0 {width} {height}" role="img" aria-labelledby="title desc">'
        )
        return "\n".join(
            [
                head,
                f'<title id="title">{escape(self.title, quote=False)}</title>',
                f'<desc id="desc">{escape(" ".join(self.description.split()), quote=False)}</desc>',
                f"<style>\n{stylesheet()}\n</style>",
                f'<rect width="{width}" height="{height}" rx="8" class="paper"/>',
                *self._parts,
                "</svg>\n",
            ]
        )

    def _add(self, part: str) -> None:
        self._parts.append(part)

    def _inside(self, *points: Point) -> None:
        for x, y in points:
            if not (0 <= x <= self.width and 0 <= y <= self.height):
                raise ValueError(f"({_n(x)}, {_n(y)}) is outside of the picture, {_n(self.width)} by {_n(self.height)}")


def _n(value: float) -> str:
    """Two places at most: the same on every machine."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _tone(tone: str) -> str:
    if tone not in TONES:
        raise ValueError(f"{tone!r} is not a tone; there are {', '.join(TONES)}")
    return tone


def _dash(dashed: bool) -> str:
    return ' stroke-dasharray="5 4"' if dashed else ""


def _marked(line: str, size: float) -> str:
    """The line with its subscripts, superscripts and slanted parts as tspans."""
    out, at, shift = [], 0, 0.0
    for match in _MARKUP.finditer(line):
        out.append(_run(line[at : match.start()], size, -shift))
        shift = shift if match.start() == at else 0.0
        low, high, slanted = match.groups()
        if slanted is not None:
            out.append(_run(slanted, size, -shift, ' font-style="italic"'))
            shift = 0.0
        else:
            wanted = 0.3 * size if low is not None else -0.4 * size
            out.append(_run(low if low is not None else high, size, wanted - shift, f' font-size="{_n(0.72 * size)}"'))
            shift = wanted
        at = match.end()
    return "".join([*out, _run(line[at:], size, -shift)])


def _run(text: str, size: float, shift: float, more: str = "") -> str:
    if not text:
        return ""
    moved = f' dy="{_n(shift)}"' if _n(shift) != "0" else ""
    shown = escape(text, quote=False)
    return f"<tspan{moved}{more}>{shown}</tspan>" if moved or more else shown
