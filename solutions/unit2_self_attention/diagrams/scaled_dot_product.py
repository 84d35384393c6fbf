"""Equation 1 as four matrices with their shapes, and the one axis that each sum runs over."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        760,
        400,
        title="Scaled dot-product attention",
        description="Queries, three rows of width Dk = 2, times the keys transposed, two rows of Tk = 4, give the"
        " scores, three by four, which are divided by the root of Dk. A mask sends two of them to minus infinity."
        " A softmax along each row makes weights, zero where the mask forbids; they multiply the values, four "
        "rows of width Dv = 3, and give the output, three rows of width Dv. One query's way is marked: its row of"
        " the queries, of the scores, of the weights and of the output.",
    )
    marked = "blue"
    x, y, c = 40, 150, 26

    def block(left, top, rows, columns, row=None, dots=()):
        tones = [[marked if r == row else "" for _ in range(columns)] for r in range(rows)]
        texts = [["" for _ in range(columns)] for _ in range(rows)]
        for r, k, text in dots:
            texts[r][k] = text
        return d.grid(left, top, texts, cell=(c, c), tones=tones, size=12)

    q = block(x, y, 3, 2, row=1)
    d.label(x + c, y - 20, "Q (T_{q}, D_{k})", size=13)
    k = block(146, y - 72, 2, 4)
    d.label(146 + 2 * c, y - 92, "K^{T}\u00a0 (D_{k}, T_{k})", size=13)
    scores = block(146, y, 3, 4, row=1, dots=((0, 3, "−∞"), (1, 2, "−∞")))
    d.label(146 + 2 * c, y + 96, "S (T_{q}, T_{k})", bold=True, size=13)
    d.arrow((q.right[0] + 6, y + 39), (scores.x - 6, y + 39), tone=marked)
    d.arrow((146 + 2 * c, k.y + 2 * c + 3), (146 + 2 * c, y - 4), tone="grey")
    d.label(146 + 2 * c, y + 118, "÷ √D_{k}", tone="muted", size=13)
    d.label(146 + 2 * c, y + 138, "mask: forbidden −∞", tone="red", size=13)

    d.arrow((scores.right[0] + 8, y + 39), (342, y + 39), tone="green")
    d.label(297, y + 24, "softmax", tone="green", size=13)
    d.label(297, y + 56, "each row", tone="muted", size=12)
    weights = block(350, y, 3, 4, row=1, dots=((0, 3, "0"), (1, 2, "0")))
    d.label(350 + 2 * c, y + 96, "A (T_{q}, T_{k})", bold=True, size=13)
    d.label(350 + 2 * c, y + 118, "rows sum to 1", tone="green", size=13)
    values = block(506, y - 98 - 10, 4, 3)
    d.label(506 + 39, y - 126, "V (T_{k}, D_{v})", size=13)
    out = block(506, y + 20, 3, 3, row=1)
    d.arrow((weights.right[0] + 6, y + 39), (out.x - 6, y + 59), tone=marked)
    d.arrow((506 + 39, values.y + 4 * c + 3), (506 + 39, y + 16), tone="grey")
    d.label(506 + 39, y + 116, "O (T_{q}, D_{v})", bold=True, size=13)
    d.label(506 + 39, y + 138, "the values, blended", tone="muted", size=13)
    d.label(676, y - 6, "one query", tone="blue", bold=True)
    d.label(676, y + 34, "its row of Q,\nits scores,\nits weights,\nits row of O", tone="blue", size=13)
    d.label(380, 322, "B, H, …: axes further left come along; each slice is such a picture by itself", size=13,
            tone="muted")  # fmt: skip
    d.caption("D_{k} and D_{v} need not be equal, nor T_{q} and T_{k}. Only √D_{k} divides.")
    return d
