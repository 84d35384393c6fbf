"""The example of the page: one query, three keys and their values, and the blend that comes out."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        760,
        370,
        title="Queries, keys and values",
        description="One query, 2 0 0 0, is compared with three keys; the scores, halved, are 0, 0 and ln 2. A "
        "softmax makes the weights one quarter, one quarter and one half. They multiply the three values, 8 0, 0 "
        "8 and 2 2; the sum is the output, 3 3. Keys and values belong together row by row, and have widths of "
        "their own, Dk = 4 and Dv = 2.",
    )
    d.label(110, 30, "query (D_{k})", bold=True, size=14)
    query = d.grid(40, 140, [["2", "0", "0", "0"]], cell=(36, 34), tones="blue", size=14)
    d.label(112, 194, "what is wanted", tone="muted", size=13)
    d.label(286, 30, "keys (T_{k}, D_{k})", bold=True, size=14)
    keys = [["0", "0", "0", "0"], ["0", "1", "0", "0"], ["ln 2", "0", "0", "0"]]
    table = d.grid(222, 100, keys, cell=(34, 38), tones="orange", size=13)
    d.label(290, 234, "what each is found by", tone="muted", size=13)
    d.arrow((query.right[0] + 6, 157), (table.x - 6, 157))
    d.label(419, 30, "scores", bold=True, size=14)
    scores = d.grid(394, 100, [["0"], ["0"], ["ln 2"]], cell=(50, 38), tones="grey", size=14)
    d.label(419, 234, "q·k / √4", tone="muted", size=13)
    d.label(505, 30, "weights", bold=True, size=14)
    weights = d.grid(480, 100, [["¼"], ["¼"], ["½"]], cell=(50, 38), tones="green", size=15)
    d.label(505, 234, "sum to 1", tone="muted", size=13)
    d.label(627, 30, "values (T_{k}, D_{v})", bold=True, size=14)
    values = d.grid(592, 100, [["8", "0"], ["0", "8"], ["2", "2"]], cell=(36, 38), tones="purple", size=14)
    d.label(632, 234, "what each hands over", tone="muted", size=13)
    for n in range(3):
        y = 119 + 38 * n
        d.arrow((table.right[0] + 4, y), (scores.x - 4, y))
        d.arrow((scores.right[0] + 4, y), (weights.x - 4, y))
        d.arrow((weights.right[0] + 4, y), (values.x - 4, y), tone="green")
        d.label(561, y - 9, "×", tone="green", size=14)
    d.label(462, 84, "softmax", tone="muted", size=12)
    output = d.grid(592, 282, [["3", "3"]], cell=(36, 36), tones="purple", size=15)
    d.arrow((676, 157), (722, 157), (722, 300), (output.right[0] + 6, 300), tone="purple")
    d.label(738, 216, "Σ", tone="purple", size=18)
    d.label(580, 300, "output = ¼ (8, 0) + ¼ (0, 8) + ½ (2, 2)", anchor="end", tone="purple", size=14)
    d.caption("The output is a blend of the values: never above the largest, never below the smallest.")
    return d
