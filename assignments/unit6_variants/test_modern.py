"""Public checks of the page `modern`."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------- clip_loss


@pytest.mark.exercise("clip_loss")
def test_clip_by_hand(student):
    """The example of the page: two images, two texts that say the same."""
    img, txt = torch.tensor([[2.0, 0.0], [0.0, 3.0]]), torch.tensor([[1.0, 0.0], [5.0, 0.0]])
    loss, logits = student.clip_loss(img, txt, torch.tensor(math.log(math.log(3))))
    ln3 = math.log(3)
    torch.testing.assert_close(logits, torch.tensor([[ln3, ln3], [0.0, 0.0]]))
    torch.testing.assert_close(loss, torch.tensor(0.5 * math.log(2) + 0.25 * (math.log(4 / 3) + math.log(4))))


@pytest.mark.exercise("clip_loss")
def test_vectors_that_say_nothing(student):
    """Equal vectors everywhere give ln N, whatever the scale; one pair alone gives 0."""
    for n in (1, 2, 5):
        loss, _ = student.clip_loss(torch.ones(n, 3), torch.full((n, 3), 2.0), torch.tensor(3.0))
        torch.testing.assert_close(loss, torch.tensor(math.log(n)))


@pytest.mark.exercise("clip_loss")
def test_pairs_that_match(student):
    """Pairs that match, and a large factor: the loss is 0, and nothing overflows."""
    loss, logits = student.clip_loss(torch.eye(3), 5 * torch.eye(3), torch.tensor(math.log(1000.0)))
    torch.testing.assert_close(logits, 1000.0 * torch.eye(3))
    torch.testing.assert_close(loss, torch.tensor(0.0))


# ---------------------------------------------------------------- moe_top_k


def one_hidden_number(answers: list[float], router: list[float]) -> dict[str, Tensor]:
    """Experts with D = 2 and F = 1 that answer silu(1) times a number to the token (1, 0), and a router for it."""
    state = {"router.weight": torch.tensor([[r, 0.0] for r in router], dtype=torch.float64)}
    for e, answer in enumerate(answers):
        state[f"experts.{e}.w1.weight"] = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
        state[f"experts.{e}.w3.weight"] = torch.tensor([[answer, 0.0]], dtype=torch.float64)
        state[f"experts.{e}.w2.weight"] = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    return state


@pytest.mark.exercise("moe_top_k")
def test_experts_by_hand(student):
    """Logits (0, ln 3, ln 2), and experts that answer 10, 20, 30: the best two are mixed to 24."""
    moe = student.TopKMoE(2, 1, 3, 2)
    moe.load_reference(one_hidden_number([10.0, 20.0, 30.0], [0.0, math.log(3), math.log(2)]))
    y, router_logits = moe(torch.tensor([[[1.0, 0.0]]], dtype=torch.float64))
    expected = 24.0 * F.silu(torch.tensor(1.0, dtype=torch.float64)).item()
    torch.testing.assert_close(y, torch.tensor([[[expected, 0.0]]], dtype=torch.float64))
    torch.testing.assert_close(router_logits.exp(), torch.tensor([[1.0, 3.0, 2.0]], dtype=torch.float64))


@pytest.mark.exercise("moe_top_k")
def test_all_experts(student):
    """With k = E all of them are mixed, by the softmax of the router's logits."""
    moe = student.TopKMoE(2, 1, 3, 3)
    moe.load_reference(one_hidden_number([10.0, 20.0, 30.0], [0.0, math.log(3), math.log(2)]))
    y, _ = moe(torch.tensor([[[1.0, 0.0]]], dtype=torch.float64))
    expected = (10.0 / 6 + 20.0 * 3 / 6 + 30.0 * 2 / 6) * F.silu(torch.tensor(1.0)).item()
    torch.testing.assert_close(y, torch.tensor([[[expected, 0.0]]], dtype=torch.float64), rtol=1e-6, atol=0.0)


@pytest.mark.exercise("moe_top_k")
def test_tokens_go_their_own_ways(student):
    """Each token gives the same alone as among others; the logits have one row for each token."""
    moe = student.TopKMoE(4, 3, 5, 2)
    state = {"router.weight": draw(5, 4)}
    for e in range(5):
        shapes = {"w1": (3, 4), "w3": (3, 4), "w2": (4, 3)}
        state |= {f"experts.{e}.{n}.weight": draw(*s, seed=10 * e + i) for i, (n, s) in enumerate(shapes.items(), 1)}
    moe.load_reference(state)
    x = draw(2, 3, 4, seed=99)
    y, router_logits = moe(x)
    assert tuple(router_logits.shape) == (6, 5)
    for b in range(2):
        for t in range(3):
            alone, logits = moe(x[b : b + 1, t : t + 1])
            torch.testing.assert_close(alone[0, 0], y[b, t])
            torch.testing.assert_close(logits[0], router_logits[3 * b + t])


@pytest.mark.exercise("moe_top_k")
def test_balance(student):
    """The two examples of the page give 1.5 and 1; a balanced load of two picks each gives 2."""
    logits = torch.tensor([[3.0, 1.0], [3.0, 1.0]]).log()
    torch.testing.assert_close(student.load_balancing_loss(logits, 1), torch.tensor(1.5))
    torch.testing.assert_close(
        student.load_balancing_loss(torch.tensor([[3.0, 1.0], [1.0, 3.0]]).log(), 1), torch.ones(())
    )
    ring = torch.stack([torch.tensor([3.0, 2.0, 1.0, 0.0]).roll(n) for n in range(4)])
    torch.testing.assert_close(student.load_balancing_loss(ring, 2), torch.tensor(2.0))


# ---------------------------------------------------------------- linear_attention


@pytest.mark.exercise("linear_attention")
def test_linear_attention_by_hand(student):
    """The example of the page: 6, 4, 3; and without the causal mask 3 everywhere."""
    q, k, v = (torch.tensor(x).view(1, 1, 3, 1) for x in ([0.5, -1.0, 2.0], [0.0, 1.0, 0.0], [6.0, 3.0, 0.0]))
    torch.testing.assert_close(student.linear_attention_parallel(q, k, v).flatten(), torch.tensor([6.0, 4.0, 3.0]))
    everywhere = student.linear_attention_parallel(q, k, v, causal=False).flatten()
    torch.testing.assert_close(everywhere, torch.tensor([3.0, 3.0, 3.0]))


@pytest.mark.exercise("linear_attention")
def test_state_by_hand(student):
    """The state of the example: S is 6, 12, 12 and z is 1, 3, 4; S has its keys in rows and its values in columns."""
    state = None
    for key, value, out, sums in (
        (0.0, 6.0, 6.0, (6.0, 1.0)),
        (1.0, 3.0, 4.0, (12.0, 3.0)),
        (0.0, 0.0, 3.0, (12.0, 4.0)),
    ):
        q_t, k_t, v_t = (torch.full((1, 1, 1), x) for x in (0.0, key, value))
        o_t, state = student.linear_attention_recurrent(q_t, k_t, v_t, state)
        torch.testing.assert_close(o_t, torch.full((1, 1, 1), out))
        torch.testing.assert_close((state[0].flatten(), state[1].flatten()), tuple(torch.tensor([s]) for s in sums))
    _, (S, z) = student.linear_attention_recurrent(draw(1, 2, 3), draw(1, 2, 3), draw(1, 2, 5))
    assert tuple(S.shape) == (1, 2, 3, 5) and tuple(z.shape) == (1, 2, 3)


@pytest.mark.exercise("linear_attention")
def test_both_forms(student):
    """Token by token, the recurrent form gives what the parallel form gives."""
    q, k, v = draw(2, 3, 7, 4), draw(2, 3, 7, 4, seed=1), draw(2, 3, 7, 5, seed=2)
    out, state = student.linear_attention_parallel(q, k, v), None
    for t in range(7):
        o_t, state = student.linear_attention_recurrent(q[:, :, t], k[:, :, t], v[:, :, t], state)
        torch.testing.assert_close(o_t, out[:, :, t])


# ---------------------------------------------------------------- ssm_scan


@pytest.mark.exercise("ssm_scan")
def test_scan_by_hand(student):
    """The example of the page: outputs 8, 4, 2, 17, and the state 8.5 at the end."""
    x = np.array([4.0, 0.0, 0.0, 8.0]).reshape(1, 4, 1)
    a, b, c = np.array([[0.5]]), np.array([[1.0]]), np.array([[2.0]])
    y, h = student.ssm_scan(x, a, b, c)
    np.testing.assert_allclose(y, np.array([8.0, 4.0, 2.0, 17.0]).reshape(1, 4, 1))
    np.testing.assert_allclose(h, np.array([[[8.5]]]))


@pytest.mark.exercise("ssm_scan")
def test_scan_goes_on(student):
    """Two halves, the second one begun with the state of the first, give what the whole gives."""
    x, a, b, c = (draw(*shape, seed=n).numpy() for n, shape in enumerate([(2, 7, 3), (3, 5), (3, 5), (3, 5)]))
    a = np.tanh(a)
    whole, end = student.ssm_scan(x, a, b, c)
    first, h = student.ssm_scan(x[:, :4], a, b, c)
    second, last = student.ssm_scan(x[:, 4:], a, b, c, h)
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole)
    np.testing.assert_allclose(last, end)


@pytest.mark.exercise("ssm_scan")
def test_convolution_by_hand(student):
    """The example again, by the kernel (2, 1, ½, ¼); nothing comes round from the end to the beginning."""
    x = np.array([4.0, 0.0, 0.0, 8.0]).reshape(1, 4, 1)
    y = student.ssm_convolution(x, np.array([[2.0, 1.0, 0.5, 0.25]]))
    np.testing.assert_allclose(y, np.array([8.0, 4.0, 2.0, 17.0]).reshape(1, 4, 1))
    y = student.ssm_convolution(x, np.array([[2.0, 1.0]]))
    np.testing.assert_allclose(y, np.array([8.0, 4.0, 0.0, 16.0]).reshape(1, 4, 1), atol=1e-12)
