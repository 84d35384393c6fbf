"""BERT: three embeddings added, an encoder that sees both sides, and two heads."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        860,
        420,
        title="BERT, from tokens to its two heads",
        description="Six tokens, from left to right: CLS, my, MASK, SEP, woof, SEP. Below each stand three boxes that "
        "are added and normed: its token embedding, the embedding of its position, 0 to 5, and that of its segment, A "
        "for the first four tokens and B for the last two. Above them is one wide box, the encoder: post-LN layers in "
        "which every token sees every other one, to the left and to the right. Above it, six vectors. From the vector "
        "of MASK an arrow leads to the first head, which guesses the hidden token, dog. From the vector of CLS one "
        "leads through the pooler to the second head, which says whether B follows A.",
    )
    left, step, w = 200, 112, 96
    words = (("[CLS]", "A"), ("my", "A"), ("[MASK]", "A"), ("[SEP]", "A"), ("woof", "B"), ("[SEP]", "B"))
    for name, y in (("token", 352), ("position", 316), ("segment", 280)):
        d.label(left - 76, y, name, anchor="end", tone="muted", size=14)
    for y in (334, 298):
        d.label(left - 62, y, "+", tone="muted", size=16)
    for t, (word, segment) in enumerate(words):
        x, tone = left + step * t, {0: "purple", 2: "orange"}.get(t, "grey")
        d.box(x - w / 2, 338, w, 28, word, tone="orange" if t == 2 else "blue", size=14, bold=t == 2)
        d.box(x - w / 2, 302, w, 28, f"p_{{{t}}}", size=14)
        d.box(x - w / 2, 266, w, 28, f"s_{{{segment}}}", tone="green" if segment == "A" else "purple", size=14)
        d.arrow((x, 266), (x, 236))
        d.arrow((x, 180), (x, 152))
        d.box(x - 22, 124, 44, 28, f"h_{{{t}}}", tone=tone, size=14)
    d.box(left - w / 2, 180, 5 * step + w, 56)
    d.label(left + 2.5 * step, 198, "n layers, post-LN, GELU", bold=True)
    rule = "every token sees every other one, left and right; only padding is masked"
    d.label(left + 2.5 * step, 220, rule, tone="muted", size=13)
    d.label(left - 60, 251, "norm of the sum", anchor="end", tone="muted", size=13)
    cls, mask = left, left + 2 * step
    pooler = d.box(cls - 52, 62, 104, 34, "tanh(W h_{0})", tone="purple", size=14)
    d.arrow((cls, 124), pooler.bottom, tone="purple")
    d.arrow(pooler.top, (cls, 40), tone="purple")
    d.label(cls, 26, "does B follow A?", tone="purple", size=14)
    head = d.box(mask - 84, 62, 168, 34, "linear, GELU, norm, E^{T}", tone="orange", size=14)
    d.arrow((mask, 124), head.bottom, tone="orange")
    d.arrow(head.top, (mask, 40), tone="orange")
    d.label(mask, 26, "what was hidden? dog", tone="orange", size=14)
    d.label(mask + 96, 79, "E is the token table itself", anchor="start", tone="muted", size=13)
    d.caption("The input is a sum of three rows. One token is asked for itself, and [CLS] for the whole.")
    return d
