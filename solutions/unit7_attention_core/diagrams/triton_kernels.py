"""A grid of programs: each owns a block of queries of one head and reads the keys up to its own position."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        740,
        340,
        title="Which program reads which tile",
        description="Four programs, one for each block of queries. Program 3 reads eight blocks of keys, program 2 "
        "six, program 1 four and program 0 two; the last two blocks of each need a mask. Keys and values lie in slow "
        "memory; queries, maximum, sum and mixture stay in the registers of the program.",
    )
    rows, tones = [], []
    for program in (3, 2, 1, 0):
        reads = 2 * program + 2
        rows.append(["full"] * (reads - 2) + ["mask"] * 2 + [""] * (8 - reads))
        tones.append(["green"] * (reads - 2) + ["orange"] * 2 + [""] * (8 - reads))
    table = d.grid(
        270,
        70,
        rows,
        cell=(48, 40),
        tones=tones,
        column_labels=[f"K_{{{j}}}" for j in range(8)],
        size=12,
    )
    for r, program in enumerate((3, 2, 1, 0)):
        y = table.cell(r, 0).left[1]
        box = d.box(30, y - 17, 190, 34, f"program {program}: Q_{{{program}}}, m, ℓ, A", tone="blue", size=14)
        d.arrow(box.right, (264, y), tone="blue")
    d.label(125, 40, "in registers", tone="muted", size=14)
    d.label(462, 30, "in slow memory, read one tile after another", tone="muted", size=14)
    d.label(690, table.cell(0, 0).left[1], "starts first", tone="muted", size=13)
    d.label(690, table.cell(3, 0).left[1], "done first", tone="muted", size=13)
    d.caption("The programs run at the same time; none writes where another one writes.")
    return d
