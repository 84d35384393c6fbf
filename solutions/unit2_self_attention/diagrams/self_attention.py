"""Each token of one sentence asks, advertises and hands over; "it" finds "animal"."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    words = ("animal", "street", "it", "tired")
    d = Diagram(
        760,
        400,
        title="Three roles for one vector",
        description="Four tokens, animal, street, it and tired, are one matrix X of shape (T, D). Three matrices "
        "make queries, keys and values of it. Queries and keys meet in a table of four by four weights, queries "
        "in rows: in the row of the word it most of the weight lies on animal, 0.7, some on tired, 0.2. The "
        "weights of that row mix the values into the new vector of it. The table is not symmetric: animal does "
        "not look at it.",
    )
    d.label(74, 30, "X (T, D)", bold=True)
    for n, word in enumerate(words):
        d.box(30, 60 + 62 * n, 88, 36, word, tone="orange" if word == "it" else "grey", size=14)
    for y, letter, shape, role, tone in (
        (62, "Q", "(T, D_{k})", "asks", "blue"),
        (150, "K", "(T, D_{k})", "advertises", "orange"),
        (238, "V", "(T, D_{v})", "hands over", "purple"),
    ):
        d.arrow((122, 171), (178, y + 25), tone=tone)
        d.box(182, y, 62, 50, f"W_{{{letter}}}", tone=tone, bold=True)
        d.arrow((246, y + 25), (268, y + 25), tone=tone)
        d.label(274, y + 16, f"{letter} {shape}", anchor="start", tone=tone, size=14)
        d.label(274, y + 36, role, anchor="start", tone="muted", size=13)
    shares = ((0.6, 0.2, 0.1, 0.1), (0.2, 0.6, 0.1, 0.1), (0.7, 0.0, 0.1, 0.2), (0.4, 0.1, 0.2, 0.3))
    tones = [["orange" if w == 2 else "green" if s >= 0.3 else "" for s in row] for w, row in enumerate(shares)]
    d.label(542, 30, "weights (T, T): queries in rows, keys in columns", bold=True, size=14)
    table = d.grid(450, 86, [[f"{s:g}" for s in row] for row in shares], cell=(50, 38), tones=tones, row_labels=words,
                   column_labels=words)  # fmt: skip
    d.arrow((350, 76), (390, 106), tone="blue")
    d.arrow((350, 166), (390, 144), tone="orange")
    d.label(658, table.y + 95, "whom does\n“it” look at?", anchor="start", tone="orange", size=13)
    d.arrow((table.x + 100, table.y + 156), (table.x + 100, 292), tone="green")
    d.arrow((350, 268), (380, 314), (440, 314), tone="purple")
    d.label(562, 266, "times V", anchor="start", tone="muted", size=13)
    d.box(446, 296, 236, 40, "0.7 v_{animal} + 0.1 v_{it} + 0.2 v_{tired}", tone="orange", size=13)
    d.label(564, 352, "the new vector of “it”", tone="orange", size=13)
    d.caption("Two matrices for asking and advertising: the relation has a direction. (The numbers are invented.)")
    return d
