"""Two sources: queries from the sequence being written, keys and values from the memory, which the mask belongs to."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        760,
        400,
        title="The two sources of cross-attention",
        description="On the left the sequence x of T = 3 tokens, from which the queries are made. On the right the "
        "memory of S = 5 tokens, the last of them padding, from which keys and values are made. Queries "
        "and keys meet in a table of weights, 3 rows by 5 columns; the column of the padding is 0, and "
        "nothing else is. With the values it gives the result, 3 tokens, as many as x.",
    )
    d.label(90, 28, "x: being written", tone="blue", bold=True)
    d.grid(45, 46, [["le", "chat", "noir"]], cell=(48, 34), tones="blue", size=14)
    d.label(117, 96, "(B, T, D)", tone="muted", size=13)
    d.label(590, 28, "memory: read before", tone="green", bold=True)
    d.grid(
        450,
        46,
        [["the", "black", "cat", "sleeps", "pad"]],
        cell=(56, 34),
        tones=[["green"] * 4 + [""]],
        size=14,
    )
    d.label(590, 96, "(B, S, D)", tone="muted", size=13)

    query = d.box(70, 136, 94, 40, "Q = x W_{Q}^{⊤}", tone="blue")
    key = d.box(450, 136, 94, 40, "K = M W_{K}^{⊤}", tone="green")
    value = d.box(636, 136, 94, 40, "V = M W_{V}^{⊤}", tone="green")
    d.arrow((117, 108), query.top, tone="blue")
    d.arrow((560, 108), (497, 108), key.top, tone="green")
    d.arrow((620, 108), (683, 108), value.top, tone="green")

    table = d.grid(
        250,
        216,
        [[".7", ".1", ".1", ".1", "0"], [".1", ".1", ".6", ".2", "0"], [".1", ".7", ".1", ".1", "0"]],
        cell=(38, 30),
        tones=[["orange", "grey", "grey", "grey", ""], ["grey", "grey", "orange", "grey", ""],
               ["grey", "orange", "grey", "grey", ""]],
        row_labels=["le", "chat", "noir"],
    )  # fmt: skip
    d.label(345, 324, "weights (B, H, T, S): softmax over S", tone="muted", size=13)
    d.arrow(query.bottom, (117, 261), (200, 261), tone="blue")
    d.arrow((450, 156), (345, 156), (345, 212), tone="green")
    d.label(276, 176, "no causal mask", tone="muted", size=13)
    d.arrow((480, 200), (421, 200), (421, 214), tone="red")
    d.label(486, 200, "memory_mask: a column", tone="red", size=13, anchor="start")
    d.box(560, 241, 56, 40, "× V", tone="grey", bold=True)
    d.arrow(table.right, (560, 261), tone="orange")
    d.arrow(value.bottom, (683, 228), (588, 228), (588, 241), tone="green")
    d.arrow((616, 261), (644, 261))
    d.label(698, 261, "result\n(B, T, D)", bold=True, size=14)
    d.caption("Who asks comes from one sequence; what is compared and what is read come from the other.")
    return d
