"""Three tokens go through the same network, each by itself: D numbers become F, are bent, and become D again."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        760,
        360,
        title="A feed-forward network for every token",
        description="Three tokens, each a row of two numbers, enter on the left. Each row is widened by the same first "
        "layer to eight numbers, some of which the activation sets to zero, and the same second layer makes two "
        "numbers of them again. No arrow leads from one token to another.",
    )
    hidden = [["blue", "", "blue", "blue", "", "", "blue", ""], ["", "blue", "", "blue", "", "blue", "", ""],
              ["blue", "blue", "", "", "", "blue", "blue", "blue"]]  # fmt: skip
    d.label(66, 30, "x, (…, D)", bold=True)
    d.label(386, 30, "h, (…, F)", bold=True)
    d.label(690, 30, "result, (…, D)", bold=True)
    first = d.box(156, 58, 74, 212, "fc1\n\nW_{1}: (F, D)\nb_{1}: (F)", tone="orange", size=13)
    second = d.box(544, 58, 74, 212, "fc2\n\nW_{2}: (D, F)\nb_{2}: (D)", tone="purple", size=13)
    for t in range(3):
        y = 76 + 72 * t
        token = d.grid(36, y, [["", ""]], cell=(30, 32), tones="grey")
        d.label(24, y + 16, f"{t}", tone="muted", size=13)
        wide = d.grid(262, y, [["0" if tone == "" else "" for tone in hidden[t]]], cell=(31, 32), tones=[hidden[t]])
        out = d.grid(660, y, [["", ""]], cell=(30, 32), tones="green")
        d.arrow((token.right[0] + 6, y + 16), (first.x - 4, y + 16))
        d.arrow((first.right[0] + 4, y + 16), (wide.x - 6, y + 16))
        d.arrow((wide.right[0] + 6, y + 16), (second.x - 4, y + 16))
        d.arrow((second.right[0] + 4, y + 16), (out.x - 6, y + 16))
    d.brace((510, 268), (262, 268), "the activation closes some of them", tone="blue")
    d.label(380, 124, "the same weights for every token", tone="muted", size=13)
    d.label(380, 196, "no way from one token to another", tone="muted", size=13)
    d.caption("Wide in the middle, as before at the end; every token is alone in here.")
    return d
