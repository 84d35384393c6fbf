"""Attention from tokens to output, and the three places where positions can enter."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        800,
        380,
        title="Three places for positions",
        description="Attention from left to right: tokens x are projected to queries, keys and values; queries and "
        "keys are compared to scores; a softmax makes weights of them, which mix the values to the "
        "output. Positions can enter at three places. Sines and learned tables are added to the tokens, "
        "before everything. RoPE rotates queries and keys, by m and n. ALiBi and T5 add a bias to the "
        "scores that depends on the distance. On the way of the values there is none of it, except for "
        "what was added to the tokens.",
    )
    x = d.box(84, 170, 70, 44, "tokens\nx", size=14)
    q = d.box(216, 80, 56, 40, "q", tone="blue")
    k = d.box(216, 172, 56, 40, "k", tone="orange")
    v = d.box(216, 290, 56, 40, "v", tone="green")
    d.arrow(x.right, (186, 192), (186, 100), q.left)
    d.arrow(x.right, k.left)
    d.arrow(x.right, (186, 192), (186, 310), v.left)

    turn_q = d.box(310, 76, 84, 48, "rotate\nby *m*", tone="purple", size=14)
    turn_k = d.box(310, 168, 84, 48, "rotate\nby *n*", tone="purple", size=14)
    d.arrow(q.right, turn_q.left, tone="blue")
    d.arrow(k.right, turn_k.left, tone="orange")
    score = d.box(446, 124, 80, 44, "score\nq · k", size=14)
    d.arrow(turn_q.right, (420, 100), (420, 138), (446, 138), tone="blue")
    d.arrow(turn_k.right, (420, 192), (420, 154), (446, 154), tone="orange")

    plus = (572, 146)
    d.circle(*plus, 15, tone="purple")
    d.label(*plus, "+", size=19, tone="purple")
    d.arrow(score.right, (557, 146))
    soft = d.box(618, 124, 80, 44, "softmax", size=14)
    d.arrow((587, 146), soft.left)
    out = d.box(636, 288, 96, 44, "output", tone="green", size=14)
    d.arrow(v.right, out.left, tone="green")
    d.arrow((658, 168), (658, 288))
    d.label(450, 326, "no rotation, no bias for the values", tone="green", size=13)

    d.label(20, 40, "1", tone="red", bold=True, size=18)
    d.label(34, 40, "sines, learned:\nadded to tokens", tone="red", anchor="start", size=13)
    d.arrow((60, 62), (60, 192), x.left, tone="red", width=2)
    d.label(292, 32, "2", tone="purple", bold=True, size=18)
    d.label(306, 32, "RoPE: *m* and *n* are the\npositions of q and k", tone="purple", anchor="start", size=13)
    d.arrow((352, 54), turn_q.top, tone="purple", width=2)
    d.label(542, 32, "3", tone="purple", bold=True, size=18)
    d.label(556, 32, "ALiBi, T5: a bias for\nthe distance *m* − *n*", tone="purple", anchor="start", size=13)
    d.arrow((572, 54), (572, 131), tone="purple", width=2)
    d.caption("1 says where a token stands, once. 2 and 3 say how far apart two tokens are, in every layer.")
    return d
