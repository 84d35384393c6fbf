"""A reader that ends in one vector, and the look back that need not go through it."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        760,
        360,
        title="One vector, or a look back",
        description="The encoder reads two words and padding, left to right: states h0 and h1, and zeros where "
        "the padding stands. The last state, h1, is all that the decoder gets: a narrow box that all sentences "
        "must pass. From above, dashed, the alternative: before it writes a word the decoder scores each state "
        "against what it needs now, and looks back at h0 and h1, but not at the padding.",
    )
    d.label(24, 236, "encoder", anchor="start", bold=True)
    xs = (120, 240, 360)
    for n, x in enumerate(xs):
        pad = n == 2
        d.box(x, 286, 76, 36, "PAD" if pad else f"x_{{{n}}}", tone="grey", dashed=pad)
        d.box(x, 214, 76, 42, "0" if pad else f"h_{{{n}}}", tone="grey" if pad else "blue", dashed=pad, bold=not pad)
        if not pad:
            d.arrow((x + 38, 286), (x + 38, 260), tone="blue")
    d.arrow((96, 235), (116, 235), tone="blue")
    d.label(90, 258, "0", tone="muted", size=12)
    d.arrow((196, 235), (236, 235), tone="blue")
    d.arrow((296, 258), (296, 270), (480, 270), (480, 247), (514, 247), tone="red", width=2)
    d.box(518, 228, 84, 38, "h_{1}", tone="red", bold=True)
    d.label(560, 298, "the last real state:\none vector for 5 words\nor for 50", tone="red", size=13)
    d.arrow((602, 247), (640, 247), tone="red", width=2)
    decoder = d.box(644, 214, 92, 62, "decoder", tone="purple", bold=True)
    d.label(690, 292, "writes", tone="muted", size=13)

    top = 84
    d.line((decoder.x + 46, 214), (decoder.x + 46, top), (158, top), tone="green", dashed=True)
    for n, x in enumerate(xs[:2]):
        d.arrow((x + 38, top), (x + 38, 210), tone="green", dashed=True)
        d.label(x + 46, 150, f"score(q, h_{{{n}}})", anchor="start", tone="green", size=13)
    d.label(decoder.x + 36, 150, "q: what I need now", anchor="end", tone="green", size=13)
    d.label(424, 62, "attention: look back at every word before writing one", tone="green", bold=True)
    d.label(398, 176, "never at padding", tone="muted", size=13)
    d.caption("Without the look back everything must pass through one vector of fixed size.")
    return d
