"""A table of eight positions; three of its rows are added to three tokens, from the offset on."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        720,
        350,
        title="A table of positions",
        description="On the left a table with eight rows, one for each position from 0 to 7. An offset of 2 points at "
        "row 2. The rows 2, 3 and 4 are marked, and each is added to one of three tokens; the results stand on the "
        "right, as many and as wide as the tokens. Row 8 does not exist: a text that needs it is refused.",
    )
    d.label(60, 26, "table P (parameters)", anchor="start", tone="muted", size=14)
    used = range(2, 5)
    table = d.grid(
        60,
        46,
        [[f"P_{{{p}1}}", f"P_{{{p}2}}"] for p in range(8)],
        cell=(50, 30),
        tones=[["orange" if p in used else "grey"] * 2 for p in range(8)],
        row_labels=[str(p) for p in range(8)],
    )
    d.box(60, 290, 100, 28, "no row 8", tone="red", dashed=True, filled=False, size=13)
    d.label(52, 304, "8", anchor="end", tone="muted", size=13)
    d.brace((table.x + 106, 108), (table.x + 106, 194), tone="orange")
    d.label(200, 88, "offset = 2,\nT = 3", anchor="start", tone="orange", size=14)

    d.label(350, 78, "tokens x", tone="blue", size=14)
    d.label(590, 78, "result", tone="green", size=14)
    tokens = d.grid(
        300, 106, [["x_{01}", "x_{02}"], ["x_{11}", "x_{12}"], ["x_{21}", "x_{22}"]], cell=(50, 30), tones="blue"
    )
    out = d.grid(
        520,
        106,
        [[f"x_{{{t}1}}+P_{{{t + 2}1}}", f"x_{{{t}2}}+P_{{{t + 2}2}}"] for t in range(3)],
        cell=(76, 30),
        tones="green",
    )
    for t in range(3):
        y = tokens.cell(t, 0).left[1]
        d.label(262, y, "+", size=20)
        d.arrow((186, y), (248, y), tone="orange")
        d.arrow((tokens.right[0] + 6, y), (out.x - 6, y), tone="green")
    d.label(596, 222, "as wide as before", tone="muted", size=13)
    d.label(350, 222, "t = 0, 1, 2 in every\nexample of the batch", tone="muted", size=13)
    d.caption("Token t gets row offset + t. The table ends, and says so.")
    return d
