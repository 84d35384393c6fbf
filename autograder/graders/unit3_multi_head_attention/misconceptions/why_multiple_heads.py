"""Known wrong answers to the page `why_multiple_heads`."""

import math

import torch

from autograder.grading.misconceptions import correct, misconception

# ---------------------------------------------------------------- head_ablation


def per_block(mha, gate):
    """The gate of each of the D numbers that lie side by side."""
    return gate.repeat_interleave(mha.out_proj.in_features // mha.n_heads)


@misconception("head_ablation", symbol="mha_with_head_gate")
def gates_input(mha, x, gate):
    """The gates were applied to the input x instead of the outputs of the heads.

    A head has no part of x to itself: each reads all of it. Its own block exists only behind the attention, where the
    heads stand side by side.
    """
    return mha(x * per_block(mha, gate))


@misconception("head_ablation", symbol="mha_with_head_gate")
def renormalise(mha, x, gate):
    """The result was divided by the sum of the gates, as if the heads were averaged.

    The output is a sum over heads. Taking one away must not make the others louder, or you measure two changes at once;
    and with all gates 0 you divide by 0.
    """
    return correct.mha_with_head_gate(mha, x, gate * len(gate) / gate.sum())


@misconception("head_ablation", symbol="mha_with_head_gate")
def bias_removed(mha, x, gate):
    """The bias of out_proj is missing. It belongs to no head, so no gate turns it off: it is added once, in full."""
    out = correct.mha_with_head_gate(mha, x, gate)
    return out if mha.out_proj.bias is None else out - mha.out_proj.bias


@misconception("head_ablation", symbol="mha_with_head_gate")
def leaves_module_modified(mha, x, gate):
    """The gates were multiplied into the layer's own weights, which keep them afterwards.

    The next call then starts from a damaged layer, and no gradient reaches the gates. Compute with a scaled copy, or
    scale what the heads give instead of the weights.
    """
    with torch.no_grad():
        mha.out_proj.weight.mul_(per_block(mha, gate))
    return mha(x)


# ---------------------------------------------------------------- why_multiple_heads


def weights_with_queries(T, D, previous, first):
    """The right weights, but for the query rows: functions (T, T) of what position t asks for."""
    state = correct.two_head_weights(T, D)
    q, half = state["q_proj.weight"], max(D, T)
    q.zero_()
    q[:T, D : D + T] = 40 * math.sqrt(half) * previous
    q[half : half + T, D : D + T] = 40 * math.sqrt(half) * first
    return state


def back(T):
    """What asks for t - 1: column t has its 1 in row t - 1."""
    return torch.eye(T).roll(-1, dims=0).triu(1)


def start(T):
    """What asks for 0."""
    return torch.eye(T)[:, :1].expand(T, T)


@misconception("why_multiple_heads", symbol="two_head_weights")
def uniform_mixture(T, D):
    """Both heads look at the previous and at the first token, half and half, so that both halves are their average.

    That is the best that *one* head can do. Here you have two, each with its own softmax: give each one target.
    """
    both = back(T) + start(T)
    return weights_with_queries(T, D, both, both)


@misconception("why_multiple_heads", symbol="two_head_weights")
def future_leak(T, D):
    """The shift goes the wrong way: position t asks for t + 1, which the causal mask hides.

    What is left to the query are scores that are all alike. Write down what your query matrix makes of one e_t; mind
    that a matrix (out, in) has the asking position in its columns.
    """
    return weights_with_queries(T, D, back(T).T, start(T))


@misconception("why_multiple_heads", symbol="two_head_weights")
def fixed_T(T, D):
    """It works for the length of the example only. Positions from 3 on ask for nothing and look around evenly.

    Every one of the T positions needs its place in the query and key weights.
    """
    known = (torch.arange(T) < 3).float()
    return weights_with_queries(T, D, back(T) * known, start(T) * known)


@misconception("why_multiple_heads", symbol="two_head_weights")
def copy_self(T, D):
    """The first head looks at the token itself: position t asks for t. It is to ask for t - 1.

    Queries and keys both read e_t unchanged; one of them must shift it.
    """
    return weights_with_queries(T, D, torch.eye(T), start(T))
