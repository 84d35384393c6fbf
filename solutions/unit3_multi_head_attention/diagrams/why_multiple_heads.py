"""The output of the layer as a sum over heads, each with a gate that can be closed."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        760,
        350,
        title="A sum over heads, with a gate for each",
        description="The input x goes to three heads, each of which reads all of it. The answer of head h, of "
        "shape (B, T, Dh), is multiplied by its gate, 1, 0 and 1, and by its block of columns of W_O, and the "
        "results are added, with the bias b_O, to the output. The gate of head 1 is 0: its branch is dashed and "
        "adds nothing, and the others do not get louder. From the output a red arrow leads back to the gates: the"
        " gradient by a gate is the importance of its head.",
    )
    x = d.box(24, 134, 60, 44, "x", tone="grey", bold=True)
    d.label(54, 194, "(B, T, D)", tone="muted", size=13)
    plus = (602, 156)
    for h, (y, tone) in enumerate(((50, "blue"), (130, "grey"), (210, "orange"))):
        off = h == 1
        middle = y + 26
        head = d.box(140, y, 112, 52, f"head {h}", tone=tone, bold=not off, dashed=off)
        d.arrow(x.right, (head.x - 4, middle), tone=tone)
        gate = (316, middle)
        d.circle(*gate, 22, tone=tone)
        d.label(*gate, f"· {0 if off else 1}", size=15)
        d.arrow((254, middle), (gate[0] - 24, middle), tone=tone)
        block = d.box(396, y + 4, 98, 44, f"W_{{O,{h}}}", tone=tone, dashed=off)
        d.arrow((gate[0] + 24, middle), (block.x - 4, middle), tone=tone, dashed=off)
        d.arrow((block.right[0] + 4, middle), (plus[0] - 18, plus[1] + (h - 1) * 10), tone=tone, dashed=off)
        d.label(316, y - 8, f"g_{{{h}}}", tone=tone if not off else "muted", size=13)
    d.circle(*plus, 17, tone="purple")
    d.label(*plus, "+", size=20)
    d.arrow((602, 216), (602, 176), tone="purple")
    d.label(602, 228, "b_{O}", size=14)
    d.box(664, 134, 72, 44, "out", tone="purple", bold=True)
    d.arrow((620, 156), (660, 156), tone="purple")
    d.label(700, 194, "(B, T, D)", tone="muted", size=13)
    d.label(445, 34, "(D, D_{h}): its columns of W_{O}", tone="muted", size=13)
    d.arrow((716, 206), (716, 284), (316, 284), (316, 262), tone="red")
    d.label(516, 300, "importance of head h: |∂L / ∂g_{h}|", tone="red", size=13)
    d.caption("A head with gate 0 is gone; the others do not get louder.")
    return d
