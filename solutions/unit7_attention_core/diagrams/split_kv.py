"""One query, a cache in three pieces, and the merge that weights each output by its mass."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        740,
        330,
        title="Splitting the keys and merging the pieces",
        description="One query goes to three pieces of the cache at once. Each piece returns an output and the "
        "logsumexp of its scores. The pieces are merged: each output is weighted by e to its logsumexp, and the sum is "
        "divided by the sum of the weights.",
    )
    query = d.box(20, 125, 80, 50, "q", tone="blue")
    merged = d.box(540, 110, 180, 80, "o = Σ w_{i} o_{i} / Σ w_{i}\nw_{i} = exp L_{i}", tone="green", size=14)
    for number, (y, tokens) in enumerate(((40, "keys 0 … 99"), (130, "keys 100 … 199"), (220, "keys 200 … 230"))):
        piece = d.box(170, y, 150, 44, tokens, tone="orange", size=14)
        pair = d.box(380, y, 100, 44, f"o_{{{number}}}, L_{{{number}}}", size=14)
        d.arrow(query.right, (135, 150), (135, y + 22), piece.left, tone="blue")
        d.arrow(piece.right, pair.left, tone="orange")
        d.arrow(pair.right, (510, y + 22), (510, 150), merged.left, tone="green")
    d.caption("The pieces share the query and nothing else; one number each tells how much its output is worth.")
    return d
