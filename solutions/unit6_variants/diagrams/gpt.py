"""GPT from the tokens to the logits, and a step of writing with a cache."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        780,
        470,
        title="GPT, and a step with a cache",
        description="Left, the model from bottom to top: token numbers ids (B, T); the embedding matrix E looks them "
        "up, rows of the position table P are added; two pre-LN layers with causal attention follow, then a norm; "
        "the same matrix E turns the result into logits (B, T, V). Right, one layer in a step of writing: of five "
        "tokens only the last one passes. Its query meets five keys; the first four come from the cache, the last is "
        "its own and is put there for the next step. The values likewise.",
    )
    x = 170
    d.label(x, 420, "ids  (B, T)", bold=True)
    d.arrow((x, 408), (x, 384))
    d.box(x - 95, 342, 190, 42, "E[ids] + P[0 … T−1]", tone="green")
    d.arrow((x, 342), (x, 318), tone="blue", width=3)
    d.box(x - 95, 262, 190, 56, "layer 0: norm, attention\nnorm, feed-forward", size=13)
    d.arrow((x, 262), (x, 238), tone="blue", width=3)
    d.box(x - 95, 182, 190, 56, "layer 1: norm, attention\nnorm, feed-forward", size=13)
    d.arrow((x, 182), (x, 158), tone="blue", width=3)
    d.box(x - 95, 122, 190, 36, "final norm", tone="orange")
    d.arrow((x, 122), (x, 98), tone="blue", width=3)
    d.box(x - 95, 56, 190, 42, "times E^{T}", tone="green")
    d.arrow((x, 56), (x, 36))
    d.label(x, 22, "logits  (B, T, V)", bold=True)
    d.line((x - 95, 363), (50, 363), (50, 77), tone="green", dashed=True)
    d.arrow((50, 77), (x - 97, 77), tone="green", dashed=True)
    d.label(28, 220, "tied", tone="green", size=13)
    d.label(x + 106, 250, "causal", anchor="start", tone="red", size=13)

    left, top = 420, 92
    d.label(left + 145, 34, "one layer, token 4 passes alone", bold=True)
    names = [f"k_{{{j}}}" for j in range(5)]
    values = [f"v_{{{j}}}" for j in range(5)]
    tones = [["blue"] * 4 + ["purple"]]
    d.label(left + 112, 72, "in the cache", tone="blue", size=13)
    d.label(left + 252, 72, "new", tone="purple", size=13)
    d.grid(left, top, [names], cell=(56, 36), tones=tones)
    d.grid(left, top + 108, [values], cell=(56, 36), tones=tones)
    d.box(left + 290, top + 54, 50, 36, "q_{4}", tone="purple")
    for j in range(5):
        d.arrow((left + 290, top + 72), (left + 28 + 56 * j, top + 40), tone="purple", width=1)
        d.arrow((left + 28 + 56 * j, top + 146), (left + 140, top + 190), tone="grey", width=1)
    d.box(left + 50, top + 192, 180, 36, "softmax(q kᵀ / √D_{h}) v", tone="green", size=14)
    d.label(left + 140, top + 256, "5 scores, where the whole text makes 5 · 5", tone="muted", size=13)
    d.label(left + 140, top + 300, "kept for token 5: k_{4}, v_{4}", tone="purple", size=13)
    d.caption("Nothing about earlier tokens can change: they do not see the new one. So what they said is kept.")
    return d
