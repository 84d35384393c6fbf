"""Queries down, keys across: which tiles a causal pass skips, masks, and computes whole."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    blocks_q, blocks_k, block_q, block_k = 4, 4, 2, 2
    kinds = [
        ["full" if (j + 1) * block_k - 1 <= i * block_q else "mask" if j * block_k <= (i + 1) * block_q - 1 else "skip"
         for j in range(blocks_k)] for i in range(blocks_q)
    ]  # fmt: skip
    d = Diagram(
        720,
        330,
        title="Tiles of scores under a causal mask",
        description="A table of four blocks of queries by four blocks of keys. Below the diagonal the tiles are full, "
        "on it they need a mask, above it they are skipped. One block of queries goes through its tiles from left to "
        "right and carries the maximum, the sum and the mixture of the values along; out come the output and the "
        "logsumexp.",
    )
    tones = {"full": "green", "mask": "orange", "skip": ""}
    table = d.grid(
        130,
        70,
        kinds,
        cell=(66, 48),
        tones=[[tones[kind] for kind in row] for row in kinds],
        row_labels=[f"Q_{{{i}}}" for i in range(blocks_q)],
        column_labels=[f"K_{{{j}}}, V_{{{j}}}" for j in range(blocks_k)],
    )
    y = table.cell(2, 0).left[1]
    carried = d.box(470, y - 30, 110, 60, "carried along:\nm, ℓ, A", tone="blue", size=14)
    out = d.box(620, y - 30, 88, 60, "A / ℓ\nm + ln ℓ", tone="green", size=14)
    d.arrow((table.right[0] + 6, y), carried.left, tone="blue")
    d.arrow(carried.right, out.left, tone="green")
    d.label(525, 100, "one tile of scores\nat a time", tone="muted", size=13)
    d.caption("Above the diagonal nothing is computed; only the tiles on it compare positions.")
    return d
