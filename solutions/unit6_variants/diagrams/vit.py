"""From an image to a class: patches, a linear map, the class token, positions, encoder, head."""

from autograder.authoring.diagrams.drawing import Diagram

TONES = ("blue", "green", "orange", "purple", "red", "grey")


def draw():
    d = Diagram(
        900,
        420,
        title="An image becomes a sequence",
        description="Left, an image of 4 by 6 pixels, cut by thicker lines into six patches of 2 by 2, two rows of "
        "three, counted row by row. An arrow leads to the right, to six vectors of four pixels each, one for a patch. "
        "A linear map makes a token of each. In front of them stands a class token, so that there are seven, and to "
        "each of the seven its position, 0 to 6, is added. They go through an encoder, pre-LN layers without a mask, "
        "and a norm. The head reads the class token at place 0 and gives the logits.",
    )
    rows = [[f"{6 * r + c}" for c in range(6)] for r in range(4)]
    tones = [[TONES[3 * (r // 2) + c // 2] for c in range(6)] for r in range(4)]
    image = d.grid(20, 130, rows, cell=(30, 30), tones=tones)
    for x in (80, 140):
        d.line((x, 130), (x, 250), tone="grey", width=3)
    d.line((20, 190), (200, 190), tone="grey", width=3)
    d.label(110, 112, "image, (C, H, W) = (1, 4, 6)", size=13, tone="muted")
    d.label(110, 268, "P = 2: patches row by row", size=13, tone="muted")

    vectors = []
    for n in range(6):
        r, c = divmod(n, 3)
        vectors.append([rows[2 * r + y][2 * c + x] for y in range(2) for x in range(2)])
    top, step = 74, 40
    d.arrow((image.x + image.width + 6, 190), (256, 190))
    d.label(231, 174, "patchify", size=12, tone="muted")
    for n, vector in enumerate(vectors):
        y = top + step * (n + 1)
        d.grid(264, y, [vector], cell=(28, 26), tones=[[TONES[n]] * 4], size=12)
        d.arrow((382, y + 13), (438, y + 13))
        d.box(444, y - 2, 60, 30, f"z_{{{n + 1}}}", tone=TONES[n], size=14)
    d.label(410, top + step * 7 + 6, "linear map,\n(D, C·P·P)", size=12, tone="muted")
    d.box(444, top - 2, 60, 30, "cls", tone="grey", size=14, bold=True)
    d.label(434, top + 13, "a parameter", anchor="end", size=12, tone="muted")
    for n in range(7):
        y = top + step * n
        d.label(524, y + 13, "+", size=17)
        d.box(542, y - 2, 48, 30, f"p_{{{n}}}", size=14)
        d.arrow((590, y + 13), (622, y + 13))
    d.label(566, top - 18, "positions", size=12, tone="muted")
    d.box(624, top - 14, 120, 7 * step + 16, "n layers,\npre-LN, GELU,\nno mask\n\nand a norm", size=14)
    for n in range(7):
        y = top + step * n
        d.arrow((744, y + 13), (772, y + 13), tone="grey" if n else "purple", width=1.5 if n else 2.5)
        d.box(776, y + 1, 24, 24, "", tone="grey" if n else "purple")
    head = d.box(776, 18, 60, 32, "head", tone="purple", size=14, bold=True)
    d.arrow((788, top + 1), (788, 52), tone="purple", width=2)
    d.label(head.x + 66, 34, "logits", anchor="start", tone="purple", size=14)
    d.label(808, top + 13, "token 0", anchor="start", tone="purple", size=12)
    d.label(808, top + step * 3 + 13, "tokens,\n(1 + N, D)", anchor="start", tone="muted", size=12)
    d.caption("Squares of pixels are the words. One token is no patch: it is there to be read at the end.")
    return d
