"""The four characters of heads as tables of weights, with the two numbers of the page beneath each."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    T = 5
    d = Diagram(
        760,
        330,
        title="Four characters of heads",
        description="Four tables of five queries by five keys. Previous: each query has all its weight on the key"
        " before it, the first on itself: one effective key, mean distance 1. Self: the diagonal, one key, "
        "distance 0. First: the first column, one key, distance i for query i. Uniform: a fifth everywhere, five "
        "keys, distance 2 for the first query, 1.2 for the middle one. A dashed frame marks the first two rows, "
        "in which previous, self and first cannot be told apart.",
    )
    one = {"previous": lambda i: max(i - 1, 0), "self": lambda i: i, "first": lambda i: 0}
    facts = {
        "previous": ("1 key", "distance 1, from row 1 on"),
        "self": ("1 key", "distance 0"),
        "first": ("1 key", "distance i"),
        "uniform": ("5 keys", "distance 1.2 to 2"),
    }
    for n, (name, (keys, distance)) in enumerate(facts.items()):
        x = 70 + 174 * n
        tone = ("blue", "orange", "purple", "green")[n]
        d.label(x + 65, 26, name, tone=tone, bold=True)
        texts, tones = [], []
        for i in range(T):
            hit = [j == one[name](i) for j in range(T)] if name in one else [True] * T
            texts.append([("1" if name in one else "⅕") if h else "" for h in hit])
            tones.append([tone if h else "" for h in hit])
        labels = [f"{i}" for i in range(T)]
        d.grid(x, 70, texts, cell=(26, 26), tones=tones, row_labels=labels if n == 0 else (), column_labels=labels,
               size=12)  # fmt: skip
        d.box(x - 4, 66, 138, 58, tone="red", dashed=True, filled=False)
        d.label(x + 65, 220, keys, size=14)
        d.label(x + 65, 240, distance, tone="muted", size=13)
    d.label(36, 50, "query i", tone="muted", size=13)
    d.label(744, 26, "key j", anchor="end", tone="muted", size=13)
    d.label(380, 272, "red: rows 0 and 1, where keys i − 1, i and 0 coincide; the rows from 2 on tell the three apart",
            tone="red", size=13)  # fmt: skip
    d.caption("exp(entropy), the effective number of keys, says how widely a head looks; the distance, how far.")
    return d
