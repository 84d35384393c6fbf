"""The two sentences of the example, the pairs in them, the table of counts, and one probability from it."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        760,
        310,
        title="A language model that counts",
        description="Left, two sentences with their beginning and end: bos a b eos, and bos a a eos. An arc leads"
        " from each token to the next, six pairs in all. Middle, the table of what follows what: after bos two "
        "times a; after a once eos, once a, once b; after b once eos. Right, the probability of b after a: one of"
        " three, and with alpha = 1 added everywhere two of seven.",
    )
    d.label(24, 30, "text: what follows what?", anchor="start", bold=True, size=14)
    for y, tokens in ((82, ("bos", "a", "b", "eos")), (182, ("bos", "a", "a", "eos"))):
        for n, word in enumerate(tokens):
            x = 24 + 62 * n
            marked = word == "b" or (y == 82 and n == 1)
            tone = "grey" if word in ("bos", "eos") else "orange" if marked else "blue"
            d.box(x, y, 48, 34, word, tone=tone, size=14)
            if n:
                pair = "orange" if (y, n) == (82, 2) else "grey"
                d.arrow((x - 38, y - 2), (x - 26, y - 18), (x + 8, y - 18), (x + 22, y - 3), tone=pair)
    d.label(24, 240, "bos is given; eos is predicted like any token", anchor="start", tone="muted", size=13)

    rows = [["", "2", ""], ["1", "1", "1"], ["1", "", ""]]
    tones = [["", "blue", ""], ["blue", "blue", "orange"], ["blue", "", ""]]
    d.label(409, 30, "the counts", bold=True, size=14)
    table = d.grid(340, 92, rows, cell=(46, 38), tones=tones, row_labels=["bos", "a", "b"],
                   column_labels=["eos", "a", "b"], size=15)  # fmt: skip
    d.label(table.x + 69, 228, "row a: 3 in all", tone="muted", size=13)

    d.label(630, 30, "probabilities", bold=True, size=14)
    d.arrow((table.right[0] + 6, 149), (526, 149), tone="orange")
    d.box(530, 74, 206, 54, "P(b | a) = 1 / 3", tone="orange")
    d.box(530, 154, 206, 66, "with α = 1, V = 4:\n(1 + 1) / (3 + 4) = 2 / 7", tone="green", size=14)
    d.label(633, 244, "bos, too, is one of the V = 4", tone="muted", size=13)
    d.caption("Only the last n − 1 tokens count, here n = 2: the table is small enough to be filled.")
    return d
