"""Public checks of the page `networks`."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def network() -> tuple[np.ndarray, ...]:
    """Seven examples of width 5, 11 hidden units, 3 classes."""
    y = np.array([0, 2, 1, 1, 0, 2, 2])
    return draw(7, 5, seed=1), draw(5, 11, seed=2), draw(11, seed=3), draw(11, 3, seed=4), draw(3, seed=5), y


@pytest.mark.exercise("mlp_backprop")
def test_network_by_hand(student):
    """The example of the page: loss ln 4, and the unit that was off passes nothing back."""
    x, eye, zeros = np.array([[1.0, -1.0]]), np.eye(2), np.zeros(2)
    loss, grads = student.mlp_loss_and_grads(
        x, eye, zeros, np.array([[math.log(3), 0.0], [5.0, 0.0]]), zeros, np.array([1])
    )
    assert float(loss) == pytest.approx(math.log(4))
    np.testing.assert_allclose(grads["dW2"], [[0.75, -0.75], [0.0, 0.0]], atol=1e-12)
    np.testing.assert_allclose(grads["dx"], [[0.75 * math.log(3), 0.0]], atol=1e-12)


@pytest.mark.exercise("mlp_backprop")
def test_network_shapes(student):
    """The loss is a number, and each gradient has the shape of what it belongs to."""
    x, W1, b1, W2, b2, y = network()
    loss, grads = student.mlp_loss_and_grads(x, W1, b1, W2, b2, y)
    assert math.isfinite(float(loss))
    for name, array in {"dx": x, "dW1": W1, "db1": b1, "dW2": W2, "db2": b2}.items():
        assert grads[name].shape == array.shape, f"{name} has shape {grads[name].shape}, expected {array.shape}"


@pytest.mark.exercise("mlp_backprop")
def test_network_agrees_with_torch(student):
    """Loss and gradients are those that PyTorch finds for the same network."""
    arrays = network()
    x, W1, b1, W2, b2 = (torch.from_numpy(a).requires_grad_() for a in arrays[:5])
    expected = F.cross_entropy(torch.relu(x @ W1 + b1) @ W2 + b2, torch.from_numpy(arrays[5]))
    expected.backward()
    loss, grads = student.mlp_loss_and_grads(*arrays)
    assert float(loss) == pytest.approx(expected.item())
    for name, tensor in {"db2": b2, "dW2": W2, "db1": b1, "dW1": W1, "dx": x}.items():
        np.testing.assert_allclose(grads[name], tensor.grad.numpy(), rtol=1e-7, atol=1e-9, err_msg=name)


@pytest.mark.exercise("gradient_descent")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [8.0, 4.0, 2.0, 1.0]),
        ({"momentum": 0.5}, [8.0, 4.0, 0.0, -2.0]),
        ({"momentum": 0.5, "nesterov": True}, [8.0, 2.0, -0.5, -0.875]),
    ],
    ids=["plain", "momentum", "nesterov"],
)
def test_descent_by_hand(student, options, expected):
    """The example of the page: from 8 down the parabola, without and with momentum."""
    path = student.gradient_descent(lambda x: 2 * x, np.array([8.0]), lr=0.25, steps=3, **options)
    assert path.shape == (4, 1), f"shape {path.shape}, expected (4, 1) = (steps + 1, d)"
    np.testing.assert_allclose(path[:, 0], expected)


@pytest.mark.exercise("gradient_descent")
def test_descent_asks_once_per_step(student):
    """The gradient is asked for once per step, at the points of the path in turn; x0 stays as it was."""
    asked = []

    def grad_fn(x):
        asked.append(x.tolist())
        return 2 * x

    called = student.call(student.gradient_descent, grad_fn, np.array([1.0, 2.0]), lr=0.1, steps=5)
    assert asked == called.value[:-1].tolist(), f"asked {len(asked)} times, expected 5, at the points of the path"
    assert called.echo[0][1].tolist() == [1.0, 2.0], "x0 was changed"


@pytest.mark.exercise("gradient_descent")
def test_no_steps(student):
    """With no steps the path is the start alone."""
    assert student.gradient_descent(lambda x: x, np.array([3.0, 4.0]), lr=0.1, steps=0).tolist() == [[3.0, 4.0]]


def steps_of_adamw(student, p: np.ndarray, gradients: list[np.ndarray], **options) -> list[np.ndarray]:
    """The parameter after each step, and the last state."""
    state, points = {}, []
    for g in gradients:
        called = student.call(student.adamw_step, p, g, state, **options)
        p, state = called.value, called.echo[0][2]
        points.append(p)
    return [*points, state]


@pytest.mark.exercise("adamw_step")
def test_adamw_by_hand(student):
    """The example of the page: 1 becomes 0.89, and the state holds t, m and v."""
    p, state = steps_of_adamw(
        student, np.array([1.0]), [np.array([0.5])], lr=0.1, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1
    )
    np.testing.assert_allclose(p, [0.89], rtol=1e-7)
    assert state["t"] == 1, f"t is {state['t']} after one step"
    np.testing.assert_allclose(state["m"], [0.05])
    np.testing.assert_allclose(state["v"], [0.00025])


@pytest.mark.exercise("adamw_step")
def test_adamw_agrees_with_torch(student):
    """Five steps with decay are those of torch.optim.AdamW, for gradients of ordinary size and for tiny ones."""
    for scale in (1.0, 1e-8):
        p, gradients = draw(3, 5, seed=1), [draw(3, 5, seed=s) * scale for s in range(2, 7)]
        parameter = torch.from_numpy(p.copy()).requires_grad_()
        optimiser = torch.optim.AdamW([parameter], lr=0.01, betas=(0.8, 0.95), eps=1e-8, weight_decay=0.3)
        for g in gradients:
            parameter.grad = torch.from_numpy(g)
            optimiser.step()
        *points, _ = steps_of_adamw(student, p, gradients, lr=0.01, betas=(0.8, 0.95), eps=1e-8, weight_decay=0.3)
        np.testing.assert_allclose(points[-1], parameter.detach().numpy(), rtol=1e-10)


@pytest.mark.exercise("adamw_step")
def test_adamw_decays_without_gradient(student):
    """With gradient 0 each weight shrinks by the factor 1 - lr * weight_decay, and nothing else."""
    p = np.array([1.0, -2.0])
    after, _ = steps_of_adamw(student, p, [np.zeros(2)], lr=0.1, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.5)
    np.testing.assert_allclose(after, [0.95, -1.9])
