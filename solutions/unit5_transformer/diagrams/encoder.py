"""A pre-LN encoder layer with its two branches and the shapes on the way, and a stack of them."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        760,
        470,
        title="An encoder layer and a stack of them",
        description="Left, one pre-LN layer from bottom to top. The stream x of shape (B, S, D) runs straight up. The "
        "first branch goes through norm1 and self-attention, which alone gets the mask, and is added; the second goes "
        "through norm2 and the feed-forward network, and is added. Right, a stack: x passes through layers 0, 1 and so "
        "on, each of which gets the same mask, and through a final norm.",
    )
    x, side = 70, 230
    d.label(x, 414, "x  (B, S, D)", bold=True)
    d.arrow((x, 400), (x, 258), tone="blue", width=3)
    d.arrow((x, 222), (x, 88), tone="blue", width=3)
    d.arrow((x, 52), (x, 22), tone="blue", width=3)
    for top, name, part, tone in ((240, "norm1", "self-attention", "green"), (70, "norm2", "feed-forward", "purple")):
        d.arrow((x, top + 144), (side, top + 144), (side, top + 132))
        d.box(side - 50, top + 98, 100, 34, name, tone="orange", bold=True)
        d.arrow((side, top + 98), (side, top + 84))
        d.box(side - 75, top + 34, 150, 50, part, tone=tone, bold=True)
        d.arrow((side, top + 34), (side, top), (x + 18, top))
        d.circle(x, top, 17, tone="blue")
        d.label(x, top, "+", size=20)
    d.label(336, 299, "mask, broadcast to\n(B, H, S, S)", anchor="start", tone="red", size=13)
    d.arrow((330, 299), (307, 299), tone="red")
    d.label(160, 228, "(B, S, D)", tone="muted", size=12)
    d.label(160, 58, "(B, S, D)", tone="muted", size=12)
    d.label(314, 129, "each token by itself,\nD → F → D", anchor="start", tone="purple", size=13)

    right = 620
    d.label(right, 414, "x", bold=True)
    d.arrow((right, 402), (right, 370), tone="blue", width=3)
    ys = (320, 246, 172)
    for y, name in zip(ys, ("layer 0", "layer 1", "layer 2"), strict=True):
        d.box(right - 60, y, 120, 50, name, bold=True)
        d.arrow((right, y), (right, y - 24), tone="blue", width=3)
    d.box(right - 60, 98, 120, 50, "final norm\n(pre-LN needs it)", tone="orange", size=13)
    d.arrow((right, 98), (right, 66), tone="blue", width=3)
    d.label(right, 50, "(B, S, D)", bold=True)
    d.line((718, 380), (718, 197), tone="red")
    for y in ys:
        d.arrow((718, y + 25), (right + 62, y + 25), tone="red")
    d.label(718, 394, "mask", tone="red", size=13)
    d.label(right - 70, 270, "weights of\ntheir own", anchor="end", tone="muted", size=13)
    d.caption("Two branches that write into one stream. Every layer gets the mask, and has weights of its own.")
    return d
