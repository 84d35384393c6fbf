"""The model of the page with its switch: one context for all steps, or one for each, by a look back."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        760,
        450,
        title="One model, with a switch",
        description="Below left the encoder reads 5, 9, 3 and padding; its states are s0, s1 and s2, and nothing "
        "for the padding. Its last state starts the decoder, which reads BOS, 3 and 9 and has the states h0, h1, "
        "h2. A switch decides about the context c1 of step 1: off, it is the last state s2, as at every step; on,"
        " the query h1 is compared with s0, s1 and s2, and c1 is their weighted average. State and context, side "
        "by side, give the logits of output 1, which should say 9.",
    )
    for n, (symbol, name) in enumerate((("5", "s_{0}"), ("9", "s_{1}"), ("3", "s_{2}"), ("PAD", ""))):
        x = 30 + 76 * n
        d.box(x, 348, 56, 32, symbol, tone="grey", dashed=n == 3)
        if n < 3:
            d.box(x, 284, 56, 38, name, tone="blue", bold=True)
            d.arrow((x + 28, 348), (x + 28, 326), tone="blue")
        if n in (1, 2):
            d.arrow((x - 20, 303), (x - 3, 303), tone="blue")
    d.label(286, 303, "no state", tone="muted", size=13)
    d.label(30, 400, "encoder (B, S, d)", anchor="start", tone="blue", size=13)
    for n, symbol in enumerate(("BOS", "3", "9")):
        x = 456 + 100 * n
        d.box(x, 348, 56, 32, symbol, tone="grey")
        d.box(x, 284, 56, 38, f"h_{{{n}}}", tone="purple", bold=True)
        d.arrow((x + 28, 348), (x + 28, 326), tone="purple")
        if n:
            d.arrow((x - 44, 303), (x - 3, 303), tone="purple")
    d.label(712, 400, "decoder (B, T, d)", anchor="end", tone="purple", size=13)
    d.arrow((224, 324), (224, 336), (400, 336), (400, 303), (452, 303), tone="red", width=2)
    d.label(350, 322, "s_{last}", tone="red", size=13)

    context = d.box(360, 132, 72, 40, "c_{1}", tone="green", bold=True)
    for n, share in enumerate((0, 1, 2)):
        x = 58 + 76 * n
        d.arrow((x, 282), (context.x - 6, 160 - 4 * share), tone="green", dashed=True)
    d.label(96, 168, "on: weights by\nscore(h_{1}, s_{j}),\nreal symbols only", tone="green", size=13)
    d.arrow((584, 282), (584, 232), (396, 232), (396, 176), tone="green", dashed=True)
    d.label(490, 220, "query h_{1}", tone="green", size=13)
    d.arrow((400, 300), (340, 300), (340, 196), (372, 176), tone="red")
    d.label(350, 262, "off: c_{t} = s_{last}", anchor="start", tone="red", size=13)

    d.box(560, 52, 160, 40, "logits of output 1", tone="orange")
    d.label(640, 28, "should say 9", tone="muted", size=13)
    d.arrow((432, 152), (620, 152), (620, 96), tone="green")
    d.arrow((598, 282), (690, 210), (690, 96), tone="purple")
    d.label(655, 122, "[h_{1} ; c_{1}]", size=13)
    d.caption("The target is 3 9 5, the source backwards. Off: all of it must fit into one vector.")
    return d
