"""Query heads and the key-value heads that they share: multi-head, grouped and multi-query attention."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        760,
        340,
        title="How many keys and values for four query heads?",
        description="Three pictures of four query heads above key-value heads. Multi-head attention: four of "
        "these, one for each query head. Grouped-query attention: two, the first for query heads 0 and 1, the "
        "second for 2 and 3, neighbours together. Multi-query attention: one for all four. Beneath, what a cache "
        "keeps for each token: 8, 4 and 2 vectors of width Dh.",
    )
    kinds = (
        ("multi-head", 4, "H_{kv}\u00a0= H"),
        ("grouped-query", 2, "H_{kv}\u00a0= H / 2"),
        ("multi-query", 1, "H_{kv}\u00a0= 1"),
    )
    tones = ("blue", "orange", "green", "purple")
    for n, (name, count, size) in enumerate(kinds):
        left = 50 + 240 * n
        d.label(left + 94, 26, name, bold=True)
        d.label(left + 94, 48, size, tone="muted", size=13)
        share = 4 // count
        for h in range(4):
            tone = tones[h // share * share]
            q = d.box(left + 50 * h, 82, 38, 34, f"q_{{{h}}}", tone=tone)
            middle = left + 50 * (h // share * share) + 19 + 25 * (share - 1)
            d.line((q.x + 19, 118), (middle, 176), tone=tone)
        for g in range(count):
            tone = tones[g * share]
            middle = left + 50 * g * share + 19 + 25 * (share - 1)
            d.box(middle - 20, 178, 40, 30, f"k_{{{g}}}", tone=tone, size=14)
            d.box(middle - 20, 212, 40, 30, f"v_{{{g}}}", tone=tone, size=14)
        d.label(left + 94, 268, f"a cache keeps {2 * count} × D_{{h}}\nnumbers a token", size=13)
    d.label(24, 99, "Q", tone="muted", size=14)
    d.label(24, 193, "K", tone="muted", size=14)
    d.label(24, 227, "V", tone="muted", size=14)
    d.caption("Neighbours share: query head h reads key-value head ⌊h · H_{kv} / H⌋. Each still has its own softmax.")
    return d
