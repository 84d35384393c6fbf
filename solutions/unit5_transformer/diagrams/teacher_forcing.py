"""Training and writing: all places at once from the right symbols, or one after the other from one's own."""

from autograder.authoring.diagrams.drawing import Diagram

WORDS = ("the", "cat", "sat", "EOS")


def draw():
    d = Diagram(
        780,
        350,
        title="Teacher forcing and decoding",
        description="Left, training: the decoder is given BOS, the, cat, sat at once, and its four predictions are "
        "compared with the, cat, sat, EOS, whatever it says. Right, decoding: it is given BOS and says the; what it "
        "has said goes back to its own input, and so on, step by step; at the third step it says ran instead of sat, "
        "and has to go on from there.",
    )
    d.label(185, 30, "training: the right symbols are given", bold=True, size=14)
    model = d.box(30, 150, 310, 44, "decoder, all places at once", tone="blue", size=14)
    for t, (given, wanted) in enumerate(zip(("BOS", *WORDS), WORDS, strict=False)):
        x = 40 + 76 * t
        below = d.box(x, 236, 62, 32, given, tone="green" if t else "grey", size=14)
        above = d.box(x, 66, 62, 32, wanted, tone="green", size=14)
        d.arrow(below.top, (x + 31, model.y + 46))
        d.arrow((x + 31, model.y), above.bottom)
    d.label(185, 124, "", size=12)
    d.label(185, 288, "input: the target, one place later", tone="muted", size=13)
    d.label(185, 52, "labels", tone="muted", size=13)

    d.label(585, 30, "decoding: it lives with its own", bold=True, size=14)
    said = ("the", "cat", "ran", "off")
    for t, word in enumerate(said):
        x = 420 + 88 * t
        step = d.box(x, 150, 70, 44, f"step {t}", tone="blue", size=14)
        below = d.box(x + 4, 236, 62, 32, ("BOS", *said)[t], tone="grey" if t == 0 else "orange", size=14)
        above = d.box(x + 4, 66, 62, 32, word, tone="red" if word == "ran" else "orange", size=14)
        d.arrow(below.top, step.bottom)
        d.arrow(step.top, above.bottom)
        if t < 3:
            d.arrow(above.right, (x + 79, 82), (x + 79, 252), (x + 91, 252), tone="orange")
    d.label(585, 288, "input: what it has written so far", tone="muted", size=13)
    d.caption("A mistake in training costs one label. A mistake in decoding is read by all later steps.")
    return d
