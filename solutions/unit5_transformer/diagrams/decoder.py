"""One decoder layer from bottom to top: three sub-layers on the stream, and where each mask and the memory come in."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        760,
        560,
        title="One decoder layer",
        description="A vertical line, the residual stream, runs from x at the bottom to the output at the top. Three "
        "sub-layers take from it, each through a norm of its own, and add to it: first self-attention, then "
        "cross-attention, then the feed-forward network. The target mask, a lower triangle, enters at the "
        "self-attention. The memory enters at the cross-attention, together with the memory mask, a row with its last "
        "two places empty. The memory passes no norm.",
    )
    stream = 150
    d.box(stream - 55, 490, 110, 36, "x (B, T, D)", tone="grey", size=14)
    d.line((stream, 490), (stream, 64), width=3)
    d.arrow((stream, 80), (stream, 54), width=3)
    d.label(stream, 36, "out (B, T, D)", size=14)
    d.label(stream - 16, 272, "residual\nstream", anchor="end", tone="muted", size=13)
    parts = ((390, "norm1", "self-attention", "green"), (250, "norm2", "cross-attention", "blue"))
    for y, norm, name, tone in (*parts, (110, "norm3", "feed-forward", "purple")):
        n = d.box(220, y + 14, 70, 34, norm, size=14)
        box = d.box(330, y, 160, 62, name, tone=tone, bold=True)
        d.arrow((stream, y + 31), n.left)
        d.arrow(n.right, box.left)
        d.arrow(box.top, (410, y - 20), (stream + 13, y - 20), tone=tone)
        d.circle(stream, y - 20, 11)
        d.label(stream, y - 20, "+", size=17)
    seen = [[(q, k) for k in range(4)] for q in range(4)]
    tones = [["green" if k <= q else "" for q, k in row] for row in seen]
    d.grid(600, 380, [[""] * 4] * 4, cell=(24, 22), tones=tones)
    d.arrow((592, 424), (492, 424), tone="green")
    d.label(648, 484, "tgt_mask (T, T): the past", tone="green", size=13)
    memory = d.box(590, 222, 120, 40, "memory (B, S, D)", tone="blue", size=13)
    d.arrow(memory.left, (540, 242), (540, 272), (492, 272), tone="blue")
    d.label(530, 226, "k, v", tone="blue", anchor="end", size=13)
    d.grid(590, 288, [[""] * 5], cell=(24, 22), tones=[["blue"] * 3 + ["", ""]])
    d.arrow((582, 299), (492, 299), tone="blue")
    d.label(650, 326, "memory_mask (S): no padding", tone="blue", size=13)
    d.label(310, 408, "q, k, v", tone="muted", size=12)
    d.label(310, 272, "q", tone="muted", size=12)
    d.caption("Pre-LN. Three norms for three sub-layers; the memory has none here. Each mask has its own attention.")
    return d
