"""Scores, a mask, exponentials and weights: for a row in which something is allowed, and one in which nothing is."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        760,
        320,
        title="A softmax over the keys that may be seen",
        description="Two queries by three keys, in four steps. Scores: ln 2, ln 4 and 5; and 7, 1 and 3. Mask: "
        "the first query may see keys 0 and 1, the second none. Allowed exponentials: 2, 4 and 0; and three "
        "zeros. Weights: one third, two thirds and 0, which sum to 1; and three zeros, not NaN, for the query "
        "that may see nothing.",
    )
    keys = [f"*k*_{{{n}}}" for n in range(3)]
    score, allowed = [["ln 2", "ln 4", "5"], ["7", "1", "3"]], [[1, 1, 0], [0, 0, 0]]
    steps = (
        (52, "scores", score, "grey"),
        (234, "mask", [["✓" if m else "✗" for m in row] for row in allowed], "mask"),
        (416, "exponentials", [["2", "4", "0"], ["0", "0", "0"]], "orange"),
        (598, "weights", [["⅓", "⅔", "0"], ["0", "0", "0"]], "green"),
    )
    for x, name, rows, tone in steps:
        d.label(x + 66, 26, name, bold=True)
        tones = [[("green" if m else "red") if tone == "mask" else tone if m or tone == "grey" else "" for m in row]
                 for row in allowed]  # fmt: skip
        d.grid(x, 84, rows, cell=(44, 44), tones=tones, column_labels=keys, size=15)
    d.label(44, 106, "*q*_{0}", anchor="end", tone="muted", size=14)
    d.label(44, 150, "*q*_{1}", anchor="end", tone="muted", size=14)
    for x, text in ((187, "and"), (369, "exp"), (551, "÷ sum")):
        d.arrow((x, 128), (x + 44, 128))
        d.label(x + 22, 114, text, size=12)
    d.label(300, 196, "True = may attend", tone="muted", size=13)
    d.label(482, 196, "forbidden: exactly 0", tone="muted", size=13)
    d.label(738, 196, "row 0 sums to 1", anchor="end", tone="green", size=13)
    d.label(738, 218, "row 1 saw nothing: 0, not 0/0", anchor="end", tone="red", size=13)
    d.label(52, 252, "The 5 of a forbidden key is the largest score of its row. It must not show anywhere.",
            anchor="start", tone="muted", size=13)  # fmt: skip
    d.caption("Each query has one unit of attention and shares it among the keys that it may see.")
    return d
