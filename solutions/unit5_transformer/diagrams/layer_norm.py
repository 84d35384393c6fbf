"""Tokens by features: layer norm goes along a row, batch norm along a column; gamma and beta have one per column."""

from autograder.authoring.diagrams.drawing import Diagram

NUMBERS = [["1", "1", "3", "3"], ["−2", "0", "0", "2"], ["50", "54", "46", "50"]]
NORMED = [["−1", "−1", "1", "1"], ["−1.41", "0", "0", "1.41"], ["0", "1.41", "−1.41", "0"]]


def draw():
    d = Diagram(
        760,
        330,
        title="The axis of layer norm",
        description="On the left a table of numbers, three tokens in rows by four features in columns. One row is "
        "marked: layer norm takes mean and variance along it. One column is crossed out in red: that would be batch "
        "norm, over the tokens. On the right each row has mean 0 and variance 1, also the row whose numbers were near "
        "50. Below it gamma and beta, one pair for each feature, shared by all tokens.",
    )
    rows = ["token 0", "token 1", "token 2"]
    features = ["*i* = 0", "1", "2", "3"]
    tones = [["blue"] * 4, ["grey"] * 4, ["grey"] * 4]
    left = d.grid(100, 70, NUMBERS, cell=(50, 36), tones=tones, row_labels=rows, column_labels=features)
    d.label(200, 28, "x, (tokens, D)", bold=True)
    for row, (words, tone) in enumerate(
        (("μ = 2, σ² = 1", "blue"), ("μ = 0, σ² = 2", "muted"), ("μ = 50, σ² = 8", "muted"))
    ):
        d.label(314, left.cell(row, 0).left[1], words, tone=tone, size=13, anchor="start")
    d.line((97, 67), (303, 67), (303, 109), (97, 109), (97, 67), tone="blue", width=3)
    d.line((253, 73), (297, 73), (297, 184), (253, 184), (253, 73), tone="red", width=2, dashed=True)
    d.label(275, 202, "not this way: that is batch norm", tone="red", size=13)

    right = d.grid(500, 70, NORMED, cell=(56, 36), tones="green", column_labels=features)
    d.label(612, 28, "x̂: mean 0, variance 1 in each row", bold=True)
    d.arrow((420, left.right[1]), (right.x - 10, left.right[1]))
    d.label(455, 106, "(x − μ) / σ", size=13)
    d.grid(
        500,
        222,
        [["γ_{0}", "γ_{1}", "γ_{2}", "γ_{3}"], ["β_{0}", "β_{1}", "β_{2}", "β_{3}"]],
        cell=(56, 28),
        tones=[["orange"] * 4, ["purple"] * 4],
        row_labels=["times", "plus"],
    )
    d.label(612, 204, "one pair per feature, for all tokens:", tone="muted", size=13)
    d.caption("Each token is brought to the same size by itself, along its features.")
    return d
