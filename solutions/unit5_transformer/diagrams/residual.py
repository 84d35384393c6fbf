"""Two streams from below to above: with post-LN the norm sits on the stream, with pre-LN on the branch."""

from autograder.authoring.diagrams.drawing import Diagram


def branch(d, x, title, formula, norm_on_stream):
    """One block: the stream runs up at x, the branch beside it."""
    side = x + 150
    d.label(x + 78, 26, title, bold=True, size=16)
    d.label(x + 78, 50, formula, tone="muted", size=14)
    d.label(x, 370, "x", bold=True, size=16)
    plus = (x, 150)
    if norm_on_stream:
        d.arrow((x, 358), (x, 168), tone="blue", width=3)
        d.arrow((x, 133), (x, 122), tone="blue", width=3)
        d.box(x - 44, 84, 88, 38, "norm", tone="orange", bold=True)
        d.arrow((x, 84), (x, 64), tone="blue", width=3)
        d.arrow((x, 318), (side, 318), (side, 262))
    else:
        d.arrow((x, 358), (x, 168), tone="blue", width=3)
        d.arrow((x, 133), (x, 64), tone="blue", width=3)
        d.box(side - 44, 274, 88, 34, "norm", tone="orange", bold=True)
        d.arrow((x, 330), (side, 330), (side, 308))
        d.arrow((side, 274), (side, 262))
    d.box(side - 54, 212, 108, 50, "sub-layer f", tone="green", bold=True)
    d.arrow((side, 212), (side, 204))
    d.box(side - 44, 172, 88, 32, "dropout", dashed=True, size=13)
    d.arrow((side, 172), (side, 150), (x + 18, 150))
    d.circle(*plus, 17, tone="blue")
    d.label(*plus, "+", size=20)


def draw():
    d = Diagram(
        760,
        430,
        title="Post-LN and pre-LN",
        description="Two blocks side by side. In each a thick line, the stream, runs from x at the bottom to the top; "
        "a branch leaves it, passes through the sub-layer and dropout, and is added to it. With post-LN "
        "the norm sits on the stream, above the addition. With pre-LN it sits on the branch, before the "
        "sub-layer, and the stream goes straight through.",
    )
    branch(d, 110, "post-LN", "N(x + f(x))", norm_on_stream=True)
    branch(d, 490, "pre-LN", "x + f(N(x))", norm_on_stream=False)
    d.label(66, 250, "the\nstream", tone="blue", size=13, anchor="end")
    d.label(446, 250, "nothing\non its way", tone="blue", size=13, anchor="end")
    d.label(166, 103, "every gradient comes\nthrough here", tone="orange", size=13, anchor="start")
    d.label(560, 340, "a normalised copy", tone="muted", size=13)
    d.caption("Each sub-layer writes into the stream. Where the norm sits decides what a gradient meets on its way.")
    return d
