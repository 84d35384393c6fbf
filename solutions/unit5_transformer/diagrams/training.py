"""The schedule as the lower of two curves, next to a target before and after smoothing."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        780,
        340,
        title="Two lines that make it train",
        description="Left, the targets of five symbols as bars: without smoothing one bar of height 1, with smoothing "
        "a bar a little lower, and four small ones of height eps over V. Right, the learning rate against the step: a "
        "straight line that rises and a curve that falls with the root of the step; the rate is the lower of the two, "
        "and its peak is where they meet, at step w.",
    )
    d.label(160, 30, "what the loss asks for", bold=True, size=14)
    for x, heights, tone, name in (
        (40, (0, 0, 1, 0, 0), "grey", "one-hot"),
        (190, (0.08, 0.08, 0.68, 0.08, 0.08), "blue", "smoothed"),
    ):
        for k, height in enumerate(heights):
            if height:
                d.box(x + 24 * k, 250 - 180 * height, 20, 180 * height, tone=tone)
        d.line((x - 6, 250), (x + 124, 250))
        d.label(x + 59, 268, name, tone=tone, size=13)
    d.label(238, 108, "1 − ε + ε/V", tone="blue", size=12)
    d.label(214, 218, "ε/V", tone="blue", size=12)

    d.label(580, 30, "the learning rate", bold=True, size=14)
    x0, y0, peak, w = 400, 250, 150, 100
    d.arrow((x0, y0), (750, y0))
    d.arrow((x0, y0), (x0, 56))
    d.label(748, 268, "step", anchor="end", tone="muted", size=13)

    def fall(s):
        return y0 - peak * (w / s) ** 0.5

    d.line((x0 + w, y0 - peak), (x0 + 1.28 * w, y0 - 1.28 * peak), tone="orange", dashed=True)
    d.line(*[(x0 + s, fall(s)) for s in range(62, w + 1, 2)], tone="green", dashed=True)
    d.line((x0, y0), (x0 + w, y0 - peak), tone="orange", width=3)
    d.line(*[(x0 + s, fall(s)) for s in range(w, 341, 4)], tone="green", width=3)
    d.line((x0 + w, y0), (x0 + w, y0 - peak), dashed=True)
    d.circle(x0 + w, y0 - peak, 4, filled=True)
    d.label(x0 + w, 268, "w", size=14)
    d.label(x0 + w + 14, 92, "(d · w)^{−½}", anchor="start", size=13)
    d.label(x0 + 6, 122, "s · w^{−3/2}", anchor="start", tone="orange", size=13)
    d.label(x0 + 210, 138, "s^{−½}", anchor="start", tone="green", size=13)
    d.caption("Left: a little of the unit goes to everybody. Right: the lower of two curves (times d^{−½}).")
    return d
