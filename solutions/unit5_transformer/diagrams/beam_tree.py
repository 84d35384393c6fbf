"""The example of the page as a tree: greedy decoding takes the upper branch, a beam of two finds the lower end."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        790,
        380,
        title="A beam of two",
        description="A tree from left to right. From BOS lead a with 0.6 and b with 0.4, and both are kept. From a "
        "lead EOS with 0.30 in all, a with 0.18 and b with 0.12; from b lead EOS with 0.36, a with 0.02 and b with "
        "0.02. Of these six the two best are kept: b EOS and a EOS. Greedy decoding only ever saw the branch of a.",
    )
    d.label(90, 30, "start", tone="muted", size=13)
    d.label(270, 30, "step 0: 2 of 2 kept", tone="muted", size=13)
    d.label(555, 30, "step 1: 2 of 6 kept", tone="muted", size=13)
    root = d.box(50, 160, 80, 36, "BOS", bold=True)
    a = d.box(220, 86, 100, 36, "a: 0.6", tone="orange")
    b = d.box(220, 234, 100, 36, "b: 0.4", tone="green")
    d.arrow(root.right, a.left, tone="orange")
    d.arrow(root.right, b.left, tone="green", width=3)
    leaves = (
        (a, 50, "a EOS: 0.6 · 0.5 = 0.30", "orange"),
        (a, 98, "a a: 0.6 · 0.3 = 0.18", "grey"),
        (a, 146, "a b: 0.6 · 0.2 = 0.12", "grey"),
        (b, 200, "b EOS: 0.4 · 0.9 = 0.36", "green"),
        (b, 248, "b a: 0.4 · 0.05 = 0.02", "grey"),
        (b, 296, "b b: 0.4 · 0.05 = 0.02", "grey"),
    )
    for parent, y, text, tone in leaves:
        lost = tone == "grey"
        leaf = d.box(450, y, 210, 34, text, tone=tone, dashed=lost, size=14)
        d.arrow(parent.right, leaf.left, tone=tone, width=3 if tone == "green" else 1.5, dashed=lost)
    d.label(672, 67, "greedy ends here", anchor="start", tone="orange", size=13)
    d.label(672, 217, "the answer", anchor="start", tone="green", size=13, bold=True)
    d.caption("All extensions compete, whoever their parents are; dashed ones fall out. Ended ones stay.")
    return d
