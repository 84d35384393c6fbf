"""A transformer block, and the part of it that each of the page's four ideas replaces."""

from autograder.authoring.diagrams.drawing import Diagram


def draw():
    d = Diagram(
        760,
        590,
        title="Four parts replaced",
        description="Left, a block from bottom to top: tokens, attention, feed-forward network, and at the top the "
        "question that is asked. Right, what replaces three of them. The question: CLIP's table of four images by four "
        "texts, the four pairs that belong together on its diagonal. The feed-forward network: a router sends a token "
        "to experts 1 and 3 of four, whose answers are added with the gates 0.6 and 0.4. Attention, first: a matrix S "
        "to which the outer product of key and value is added, and which the query reads. Attention, second: a state h "
        "that fades by a, takes in b times the input, and is read by c.",
    )
    x = 100
    d.label(x, 548, "tokens", bold=True)
    d.arrow((x, 534), (x, 492), tone="blue", width=3)
    d.box(x - 65, 410, 130, 80, "attention", tone="purple", bold=True)
    d.arrow((x, 410), (x, 272), tone="blue", width=3)
    network = d.box(x - 65, 206, 130, 64, "feed-forward", tone="orange", bold=True)
    d.arrow((x, 206), (x, 114), tone="blue", width=3)
    question = d.box(x - 65, 48, 130, 64, "the question", tone="green", bold=True)

    # CLIP
    left = 262
    d.arrow(question.right, (left - 4, 80), dashed=True)
    names = [str(n) for n in (1, 2, 3, 4)]
    tones = [["green" if i == j else "" for j in range(4)] for i in range(4)]
    d.grid(left + 70, 46, [["✓" if i == j else "" for j in range(4)] for i in range(4)], cell=(34, 22), tones=tones,
           row_labels=[f"image {n}" for n in names], column_labels=names)  # fmt: skip
    d.label(left + 138, 18, "text", tone="muted", size=13)
    d.label(500, 50, "CLIP", anchor="start", tone="green", bold=True)
    d.label(500, 90, "a row: which text belongs\nto this image?  A column:\nwhich image to this text?", anchor="start",
            size=13)  # fmt: skip

    # experts
    d.arrow(network.right, (left - 4, 238), dashed=True)
    router = d.box(left, 218, 66, 40, "router", tone="orange")
    plus = (476, 238)
    for n, y in enumerate((166, 206, 246, 286)):
        used = n in (0, 2)
        expert = d.box(
            360, y - 13, 78, 28, f"expert {n + 1}", tone="orange" if used else "grey", dashed=not used, size=13
        )
        if used:
            d.arrow(router.right, expert.left, tone="orange")
            d.arrow(expert.right, (plus[0] - 13, plus[1] + (-6 if n == 0 else 3)), tone="orange")
            d.label(455, y - 6 if n == 0 else y + 14, "0.6" if n == 0 else "0.4", size=12, tone="orange")
    d.circle(*plus, 12, tone="orange")
    d.label(*plus, "+", size=17)
    d.label(500, 190, "a mixture of experts", anchor="start", tone="orange", bold=True)
    d.label(500, 238, "k = 2 of E = 4 for this token;\nthe gates of the chosen\nsum to 1", anchor="start", size=13)

    # linear attention
    d.arrow((x + 65, 432), (210, 432), (210, 376), (left - 4, 376), dashed=True)
    d.label(left + 34, 376, "φ(k_{t}) v_{t}^{T}", size=14)
    d.label(left + 80, 376, "+", size=17)
    d.arrow((left + 92, 376), (left + 116, 376), tone="purple")
    state = d.grid(left + 120, 340, [[""] * 4] * 3, cell=(19, 24), tones="purple")
    d.label(state.x + 38, 326, "S (D_{k}, D_{v})", tone="purple", size=13)
    d.label(state.x + 38, 430, "read by φ(q_{t})", tone="muted", size=13)
    d.arrow((state.x + 38, 422), (state.x + 38, 413))
    d.label(500, 342, "linear attention", anchor="start", tone="purple", bold=True)
    d.label(500, 382, "the whole past in one matrix,\nas large after token 10 000\nas after token 1", anchor="start",
            size=13)  # fmt: skip

    # state-space model
    d.arrow((x + 65, 468), (210, 468), (210, 506), (left - 4, 506), dashed=True)
    old = d.box(left, 486, 56, 40, "h_{t−1}", tone="blue")
    new = d.box(left + 120, 486, 56, 40, "h_{t}", tone="blue")
    d.arrow(old.right, new.left, tone="blue")
    d.label(left + 88, 494, "· a", tone="blue", size=13)
    d.arrow((new.x + 28, 546), (new.x + 28, 528), tone="blue")
    d.label(new.x + 22, 540, "b x_{t}", anchor="end", tone="blue", size=13)
    d.arrow(new.right, (new.right[0] + 28, 506), tone="blue")
    d.label(new.right[0] + 32, 506, "c·h_{t}", anchor="start", size=13)
    d.label(500, 488, "a state-space model", anchor="start", tone="blue", bold=True)
    d.label(500, 520, "no queries, no keys: fade,\ntake in, read", anchor="start", size=13)
    d.caption("Each of the four replaces one part, and leaves the others as they were.")
    return d
