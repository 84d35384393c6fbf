"""The whole model: two columns with the shapes, the memory between them, and the two masks."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        800,
        560,
        title="The whole transformer",
        description="Two columns, read from bottom to top. Left the encoder: src (B, S), embedding times the root of D "
        "plus positions, encoder layers, a norm, giving the memory (B, S, D). Right the decoder: inp (B, T), embedding "
        "times the root of D plus positions, decoder layers, a norm, the output layer, giving logits (B, T, V). The "
        "memory goes into every decoder layer. The source mask goes into the encoder layers and into the "
        "cross-attention, the target mask into the decoder's self-attention. Target embedding and output layer may be "
        "tied.",
    )
    left, right, w = 110, 470, 190
    columns = (
        (left, "blue", "src (B, S)", "n_{e} × encoder layer", "src_embed"),
        (right, "green", "inp (B, T)", "n_{d} × decoder layer", "tgt_embed"),
    )
    for x, tone, ids, layer, table in columns:
        start = d.box(x, 486, w, 34, ids, size=14)
        embed = d.box(x, 400, w, 50, f"√D · {table}\n+ positions", tone="orange", size=14)
        d.box(x + 8, 262, w, 84, "", tone=tone)
        d.box(x + 4, 266, w, 84, "", tone=tone)
        stack = d.box(x, 270, w, 84, layer, tone=tone, bold=True)
        norm = d.box(x, 196, w, 34, "norm", size=14)
        d.arrow(start.top, embed.bottom)
        d.arrow(embed.top, stack.bottom)
        d.arrow((x + w / 2, 262), norm.bottom)
        d.label(x + w / 2 + 8, 376, "(B, S, D)" if x == left else "(B, T, D)", anchor="start", tone="muted", size=13)
    d.arrow((left + w / 2, 196), (left + w / 2, 160), (385, 160), (385, 300), (right - 2, 300), tone="blue", width=2)
    d.label(left + w / 2 + 6, 142, "memory (B, S, D)", anchor="start", tone="blue", size=13)
    output = d.box(right, 112, w, 40, "output", tone="orange", size=14)
    d.arrow((right + w / 2, 196), output.bottom)
    d.arrow(output.top, (right + w / 2, 78))
    d.label(right + w / 2, 62, "logits (B, T, V)", size=14, bold=True)
    d.line(output.right, (720, 132), (720, 425), (right + w, 425), tone="orange", dashed=True)
    d.label(726, 280, "tied", anchor="start", tone="orange", size=13)
    d.arrow((40, 338), (left - 2, 338), tone="purple")
    d.label(8, 312, "source\nmask", anchor="start", tone="purple", size=13)
    d.arrow((400, 324), (right - 2, 324), tone="purple")
    d.label(394, 324, "source mask", anchor="end", tone="purple", size=13)
    d.arrow((400, 344), (right - 2, 344), tone="red")
    d.label(394, 344, "target mask", anchor="end", tone="red", size=13)
    d.label(left + w / 2, 36, "encode: once for a source", tone="blue", size=14)
    d.label(right + w / 2, 36, "decode: causal", tone="green", size=14)
    d.caption("What enters at place t of inp leaves as the prediction of the symbol that follows.")
    return d
