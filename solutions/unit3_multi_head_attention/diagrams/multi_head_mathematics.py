"""The example of the page: two tokens of width 4 are cut into two heads, which attend alone and meet in W_O."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        760,
        390,
        title="Cut, attend, put side by side, mix",
        description="Left, the queries of two tokens, 0 1 2 3 and 4 5 6 7, of width D = 4. The first two numbers "
        "of each go to head 0, the others to head 1: two matrices, 0 1 over 4 5 and 2 3 over 6 7, each two tokens"
        " by width 2. Each head has its own softmax and its own answer. The answers are put side by side again, "
        "one row of width 4 for each token, and W_O mixes them. Below, crossed out, the wrong cut: head 0 with "
        "all of token 0.",
    )
    tones = [["blue", "blue", "orange", "orange"]] * 2
    d.label(100, 30, "Q (T, D)", bold=True)
    q = d.grid(36, 118, [["0", "1", "2", "3"], ["4", "5", "6", "7"]], cell=(32, 32), tones=tones, size=14,
               row_labels=["0", "1"])  # fmt: skip
    d.label(100, 202, "one row a token", tone="muted", size=13)
    d.label(288, 30, "(H, T, D_{h})", bold=True)
    heads = []
    for n, (y, rows, tone) in enumerate(
        ((66, [["0", "1"], ["4", "5"]], "blue"), (170, [["2", "3"], ["6", "7"]], "orange"))
    ):
        d.label(288, y - 12, f"head {n}", tone=tone, size=13)
        grid = d.grid(256, y, rows, cell=(32, 32), tones=tone, size=14)
        d.arrow((q.right[0] + 6, 134 + 32 * n), (250, y + 32), tone=tone)
        box = d.box(376, y + 6, 126, 52, "its own softmax,\n÷ √D_{h}", tone=tone, size=13)
        d.arrow((grid.right[0] + 6, y + 32), (box.x - 4, y + 32), tone=tone)
        heads.append(box)
    d.label(439, 30, "H attentions", bold=True)
    together = d.grid(560, 118, [["", "", "", ""]] * 2, cell=(22, 32), tones=tones)
    for n, box in enumerate(heads):
        d.arrow((box.right[0] + 4, box.y + 26), (together.x - 4, 134 + 32 * n), tone=("blue", "orange")[n])
    d.label(604, 30, "side by side", bold=True)
    d.label(604, 202, "(T, H·D_{h})", tone="muted", size=13)
    mix = d.box(690, 122, 50, 56, "W_{O}", tone="purple", bold=True)
    d.arrow((together.right[0] + 4, 150), (mix.x - 4, 150), tone="purple")
    d.label(715, 202, "mixes\nthe heads", tone="purple", size=13)
    d.line((30, 258), (730, 258))
    d.label(36, 304, "not so:", anchor="start", tone="red", bold=True)
    wrong = d.grid(110, 272, [["0", "1"], ["2", "3"]], cell=(32, 32), tones="red", size=14)
    d.line((wrong.x - 4, wrong.y - 2), (wrong.x + 68, wrong.y + 66), tone="red", width=2)
    d.label(200, 304, "Cut without swapping the axes, head 0 gets all of token 0, and nothing of token 1.\n"
            "The shape is the same; the tokens have become heads.", anchor="start", size=13)  # fmt: skip
    d.caption("Every head reads every token, but only its own D_{h} of the D numbers.")
    return d
