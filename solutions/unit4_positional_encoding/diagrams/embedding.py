"""Two ways into one sum: the token through a learned table and a factor, the position through fixed sines."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        740,
        330,
        title="The embedding of a token",
        description="Two ways lead into one sum. Above, the number of the token, 2, picks row 2 of the learned table "
        "E, and the row is multiplied by the root of D. Below, the position, 1, picks row 1 of the fixed sines, which "
        "is added as it is. Dropout follows the sum.",
    )
    token = d.box(20, 62, 86, 40, "token 2", tone="blue")
    d.grid(150, 26, [["0", "0"], ["1", "0"], ["0", "2"]], cell=(46, 28), tones=[["grey"] * 2] * 2 + [["blue"] * 2])
    d.label(196, 134, "E, learned;\nrow 0 is padding", tone="muted", size=13)
    d.arrow(token.right, (132, 82), (132, 96), (148, 96), tone="blue")
    factor = d.box(300, 62, 74, 40, "× √D", tone="blue", bold=True)
    d.arrow((244, 96), (272, 96), (272, 82), factor.left, tone="blue")
    d.label(410, 62, "(0, 2.83)", tone="blue", size=13)

    place = d.box(20, 208, 86, 40, "position 1", tone="orange")
    sines = d.grid(
        150,
        186,
        [["0", "1"], ["0.84", "0.54"], ["0.91", "−0.42"]],
        cell=(54, 28),
        tones=[["grey"] * 2, ["orange"] * 2, ["grey"] * 2],
    )
    d.label(204, 286, "PE, given (a buffer)", tone="muted", size=13)
    d.arrow(place.right, (148, 228), tone="orange")
    d.label(410, 246, "(0.84, 0.54)", tone="orange", size=13)

    plus = (470, 155)
    d.circle(*plus, 17, tone="grey")
    d.label(*plus, "+", size=20)
    d.arrow(factor.right, (470, 82), (470, 137), tone="blue")
    d.arrow((sines.right[0] + 2, 228), (470, 228), (470, 173), tone="orange")
    drop = d.box(530, 135, 84, 40, "dropout", dashed=True)
    d.arrow((488, 155), drop.left)
    d.arrow(drop.right, (652, 155))
    d.label(696, 155, "(0.84,\n3.37)", tone="green", bold=True, size=14)
    d.caption("The factor belongs to the token alone; the sines are moved with the module but never trained.")
    return d
