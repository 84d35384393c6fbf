"""A network with one hidden layer: values forwards, gradients backwards, each with the shape of its value."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        760,
        330,
        title="Forwards and backwards",
        description="Six arrays in a row: x, a, h, z and the loss L. Blue arrows forwards: times W1 plus b1, "
        "relu, times W2 plus b2, cross-entropy with the right classes y. Red arrows backwards: dz is p minus "
        "one-hot, divided by N; dh is dz times W2 transposed; da is dh where a is positive; dx is da times W1 "
        "transposed. Two gradients leave the way: dW2 is h transposed times dz, dW1 is x transposed times da. "
        "Each has the shape of what it belongs to.",
    )
    xs = (24, 184, 336, 488, 650)
    names = (("x", "(N, D_{i})"), ("a", "(N, D_{h})"), ("h", "(N, D_{h})"), ("z", "(N, C)"), ("L", "a number"))
    boxes = []
    for x, (name, shape) in zip(xs, names, strict=True):
        tone = "purple" if name == "L" else "blue"
        boxes.append(d.box(x, 66, 76, 44, name, tone=tone, bold=True, size=17))
        d.label(x + 38, 52 if name == "L" else 126, shape, tone="muted", size=13)
    for left, right, text in zip(boxes, boxes[1:], ("W_{1}, b_{1}", "relu", "W_{2}, b_{2}", "y"), strict=False):
        d.arrow((left.right[0] + 4, 88), (right.x - 4, 88), tone="blue", width=2)
        d.label((left.right[0] + right.x) / 2, 72, text, size=13)
    d.label(24, 30, "forwards: values", anchor="start", tone="blue", bold=True)

    back = ("dx", "da", "dh", "dz")
    lower = []
    for x, name in zip(xs, back, strict=False):
        lower.append(d.box(x, 176, 76, 40, name, tone="red", bold=True, size=16))
    d.arrow((688, 112), (688, 196), (lower[3].right[0] + 4, 196), tone="red", width=2)
    d.label(632, 184, "(p − y) / N", tone="red", size=13)
    for n, text in enumerate(("· W_{1}^{T}", "if a > 0", "· W_{2}^{T}")):
        left, right = lower[n], lower[n + 1]
        d.arrow((right.x - 4, 196), (left.right[0] + 4, 196), tone="red", width=2)
        d.label((left.right[0] + right.x) / 2, 184, text, tone="red", size=12)
    d.label(24, 156, "backwards: gradients", anchor="start", tone="red", bold=True)
    for n, name, formula in ((1, "dW_{1}", "x^{T}\u00a0da"), (3, "dW_{2}", "h^{T}\u00a0dz")):
        x = xs[n] + 38
        d.arrow((x, 218), (x, 250), tone="red")
        d.label(x, 262, f"{name}\u00a0= {formula}", size=14)
    d.label(284, 262, "(D_{i}, D_{h})", anchor="start", tone="muted", size=13)
    d.label(588, 262, "(D_{h}, C)", anchor="start", tone="muted", size=13)
    d.caption("A gradient has the shape of the thing it belongs to; a unit that was off passes nothing back.")
    return d
