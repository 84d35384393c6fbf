"""A row arrives in two blocks; maximum and sum are carried along, and the old sum is rescaled."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        740,
        300,
        title="The running maximum and sum of a row",
        description="The row 0, ln 3, ln 4 arrives as two blocks. After the first block the maximum is ln 3 and the "
        "sum is one third plus one, four thirds. The second block raises the maximum to ln 4: the old sum is "
        "multiplied by three quarters, and one is added, which makes 2. The blocks themselves are forgotten.",
    )
    d.label(30, 30, "the row, as it comes", anchor="start", tone="muted", size=14)
    first = d.grid(60, 50, [["0", "ln 3"]], cell=(62, 34), tones="blue")
    second = d.grid(430, 50, [["ln 4"]], cell=(62, 34), tones="orange")
    start = d.box(30, 160, 100, 56, "m = −∞\nℓ = 0", dashed=True)
    middle = d.box(250, 160, 130, 56, "m = ln 3\nℓ = ⅓ + 1 = 4/3", tone="blue", size=14)
    end = d.box(560, 160, 150, 56, "m = ln 4\nℓ = 4/3 · ¾ + 1 = 2", tone="orange", size=14)
    d.arrow(start.right, middle.left)
    d.arrow(middle.right, end.left)
    d.arrow(first.bottom, (122, 130), (315, 130), middle.top, tone="blue")
    d.arrow(second.bottom, (461, 130), (635, 130), end.top, tone="orange")
    d.label(470, 208, "old sum · e^{m − m′}", tone="orange", size=14)
    d.label(190, 208, "nothing · 0", tone="muted", size=13)
    d.caption("Two numbers per row know all that has gone by; no block is looked at twice.")
    return d
