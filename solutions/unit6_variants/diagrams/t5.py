"""Spans and sentinels, and the one table of biases that all layers share."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        800,
        470,
        title="Span corruption, and one bias for all layers",
        description="Above: the text Thank you for inviting me last week. The spans for inviting and last are cut out. "
        "The input is Thank you sentinel 0 me sentinel 1 week EOS; the target is sentinel 0 for inviting sentinel 1 "
        "last sentinel 2 EOS. Below: the distances between all pairs of tokens go into a table of 32 buckets by H "
        "heads, once; the resulting bias (1, H, T, T) is added to the scores of self-attention in layers 0, 1 and 2 "
        "alike, and to none of cross-attention.",
    )
    words = ["Thank", "you", "for", "inviting", "me", "last", "week"]
    cut = [False, False, True, True, False, True, False]
    width, left = 74, 110
    d.label(left - 14, 44, "text", anchor="end", bold=True)
    d.grid(left, 28, [words], cell=(width, 32), tones=[["orange" if c else "" for c in cut]])
    inputs = ["Thank", "you", "<0>", "me", "<1>", "week", "EOS"]
    d.label(left - 14, 116, "input", anchor="end", bold=True)
    d.grid(left, 100, [inputs], cell=(width, 32), tones=[["", "", "blue", "", "blue", "", "grey"]])
    targets = ["<0>", "for", "inviting", "<1>", "last", "<2>", "EOS"]
    d.label(left - 14, 188, "target", anchor="end", bold=True)
    tones = [["blue", "orange", "orange", "blue", "orange", "blue", "grey"]]
    d.grid(left, 172, [targets], cell=(width, 32), tones=tones)
    for start, end in ((2, 2), (3, 2), (5, 4)):
        d.arrow((left + (start + 0.5) * width, 60), (left + (end + 0.5) * width, 98), tone="blue", width=1)

    top = 262
    d.grid(30, top, [["0", "1", "2"], ["−1", "0", "1"], ["−2", "−1", "0"]], cell=(34, 30))
    d.label(81, top + 108, "key − query", tone="muted", size=13)
    table = d.box(190, top + 10, 130, 70, "table\n32 buckets × H", tone="purple")
    d.arrow((136, top + 45), table.left)
    d.label(table.x + 65, top + 108, "learned, made once", tone="purple", size=13)
    bias = d.box(370, top + 10, 110, 70, "bias\n(1, H, T, T)", tone="purple", filled=False)
    d.arrow(table.right, bias.left, tone="purple")
    for i, y in enumerate((top - 18, top + 34, top + 86)):
        layer = d.box(600, y, 170, 40, f"layer {i}: q kᵀ + bias", size=14)
        d.arrow((480, top + 45), (540, y + 20), layer.left, tone="purple")
    d.caption(
        "Each hole has one token in the input, and its content in the target. Positions are a bias\n"
        "on the scores, made from distances, the same for every layer; cross-attention has none."
    )
    return d
