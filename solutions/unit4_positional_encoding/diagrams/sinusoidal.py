"""Clocks: one row for each hand, one column for each position; at the right the pairs of numbers they become."""

from math import cos, pi, sin

from autograder.authoring.diagrams.drawing import Diagram

TURNS = (("fast", "blue", 1.0), ("slower", "orange", 0.3), ("slow", "green", 0.09))
LEFT, STEP, RADIUS = 170, 66, 25


def draw():
    d = Diagram(
        760,
        390,
        title="An encoding made of clocks",
        description="Three rows of clocks, one for each hand, at the positions p = 0 to 5. The hand of the first row "
        "turns by one radian at every step, that of the second by 0.3, that of the third by 0.09. The hands at "
        "p = 4 are read off: the sine and the cosine of each hand stand next to each other in the row of the encoding "
        "that belongs to position 4.",
    )
    for p in range(6):
        d.label(LEFT + p * STEP, 28, f"*p* = {p}", tone="muted", size=14)
    for i, (name, tone, turn) in enumerate(TURNS):
        y = 80 + i * 72
        d.label(20, y - 9, f"hand {i}: {name}", anchor="start", tone=tone, size=14)
        d.label(20, y + 11, f"ω_{{{i}}} = {turn:g}", anchor="start", tone="muted", size=13)
        for p in range(6):
            x, angle = LEFT + p * STEP, p * turn
            d.circle(x, y, RADIUS, tone=tone)
            # The hand starts upright and turns clockwise: to the right is the sine, up is the cosine.
            d.arrow((x, y), (x + RADIUS * sin(angle), y - RADIUS * cos(angle)), tone=tone, width=2)
    d.box(LEFT + 4 * STEP - 32, 44, 64, 216, tone="grey", dashed=True, filled=False)

    numbers = [number for _, _, turn in TURNS for number in (sin(4 * turn), cos(4 * turn))]
    tones = [tone for _, tone, _ in TURNS for _ in range(2)]
    row = d.grid(
        LEFT + 4 * STEP - 212,
        302,
        [[f"{number:.2f}".replace("-", "−") for number in numbers]],
        cell=(62, 32),
        tones=[tones],
    )
    d.label(row.x - 14, row.left[1], "PE[4]", anchor="end", bold=True)
    for i in range(3):
        cell = row.cell(0, 2 * i)
        d.label(cell.x + 31, 350, f"sin 4ω_{{{i}}}", tone="muted", size=12)
        d.label(cell.x + 93, 350, f"cos 4ω_{{{i}}}", tone="muted", size=12)
    d.arrow((LEFT + 4 * STEP, 260), (LEFT + 4 * STEP, 300))

    x, y, angle = 640, 152, 40 * pi / 180
    d.circle(x, y, 70, tone="grey")
    d.line((x, y), (x, y - 70), tone="grey", dashed=True)
    tip = (x + 70 * sin(angle), y - 70 * cos(angle))
    d.arrow((x, y), tip, tone="blue", width=2.5)
    d.line(tip, (tip[0], y), tone="red", dashed=True)
    d.line((x, y), (tip[0], y), tone="red", width=2.5)
    d.line((x, y), (x, tip[1]), tone="purple", width=2.5)
    d.line(tip, (x, tip[1]), tone="purple", dashed=True)
    d.label(x + 24, y + 14, "sin", tone="red", size=14)
    d.label(x - 20, y - 28, "cos", tone="purple", size=14)
    d.label(x + 20, y - 43, "*pω*", tone="blue", size=13)
    d.label(x, 28, "one hand, two numbers", tone="muted", size=14)
    d.caption("Every hand has its own speed; its sine and cosine are two neighbours in the encoding.")
    return d
