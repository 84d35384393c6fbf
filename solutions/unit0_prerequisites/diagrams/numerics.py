"""The example of the page on its way: logits, exponentials, shares, loss; and the gradient back."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        760,
        370,
        title="From logits to a loss, and back",
        description="The logits 0 and ln 3 become the exponentials 1 and 3, and these, divided by their sum 4, "
        "the probabilities one quarter and three quarters. The right class is the second: its loss is minus ln of"
        " three quarters, 0.288. An arrow leads back from the loss to the logits: the gradient is probability "
        "minus truth, one quarter and minus one quarter. Below, the logits 0 and ln 3 and the logits 1000 and "
        "1000 plus ln 3: with each row's own maximum subtracted both are minus ln 3 and 0.",
    )
    steps = (
        (40, "logits", ("0", "ln 3"), "grey", "x"),
        (210, "exponentials", ("1", "3"), "orange", "e^{x}"),
        (380, "probabilities", ("¼", "¾"), "green", "p"),
    )
    cells = []
    for x, name, texts, tone, sign in steps:
        d.label(x + 44, 26, name, bold=True, size=14)
        grid = d.grid(x, 56, [[texts[0]], [texts[1]]], cell=(88, 34), tones=tone, size=15)
        d.label(x + 44, 138, sign, tone="muted", size=14)
        cells.append(grid)
    d.arrow((132, 90), (206, 90))
    d.label(169, 76, "exp", size=13)
    d.arrow((302, 90), (376, 90))
    d.label(339, 76, "÷ 4", size=13)
    loss = d.box(592, 66, 132, 48, "−ln ¾ = 0.288", tone="purple")
    d.label(658, 26, "loss", bold=True, size=14)
    d.arrow((472, 107), (588, 95), tone="purple")
    d.label(532, 82, "the right one", tone="purple", size=13)
    d.arrow((loss.x + 66, 118), (loss.x + 66, 178), (84, 178), (84, 152), tone="red")
    d.label(400, 196, "p − (0, 1) = (¼, −¼):  probability minus truth", tone="red", size=14)

    d.line((30, 222), (730, 222), tone="grey")
    d.label(40, 246, "only differences count: each row may be shifted by its own maximum", anchor="start", bold=True,
            size=14)  # fmt: skip
    for y, row in ((264, ("0", "ln 3")), (296, ("1000", "1000 + ln 3"))):
        d.grid(40, y, [list(row)], cell=(110, 28))
        d.arrow((268, y + 14), (410, y + 14))
        d.label(339, y + 4, "− ln 3" if y == 264 else "− (1000 + ln 3)", size=12)
        d.grid(418, y, [["−ln 3", "0"]], cell=(90, 28), tones="blue")
    d.label(676, 294, "now the largest\nexponential is 1", tone="blue", size=13)
    d.caption("exp(1000) overflows; exp(0) never does.")
    return d
