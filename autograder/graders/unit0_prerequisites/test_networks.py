"""Hidden grader of the page `networks`."""

import numpy as np
import pytest

from autograder.grading import agree, close
from autograder.grading.compare import Disagreement

# ---------------------------------------------------------------- mlp_backprop

mlp_backprop = pytest.mark.exercise("mlp_backprop")

SIZES = ((7, 5, 11, 3), (2, 3, 5, 7), (5, 11, 3, 2), (3, 2, 7, 11), (11, 7, 2, 5))  # N, Di, Dh, C


def network(draw, n, d_in, d_hidden, n_classes, dtype=np.float64):
    """Inputs, parameters and targets. Some unit is on; none is at the kink of relu, where two derivatives are right."""
    while True:
        x, W1, b1 = draw.array(n, d_in), draw.array(d_in, d_hidden), draw.array(d_hidden)
        a = x @ W1 + b1
        if abs(a).min() > 1e-3 and a.max() > 0:
            break
    W2, b2 = draw.array(d_hidden, n_classes), draw.array(n_classes)
    return *(array.astype(dtype) for array in (x, W1, b1, W2, b2)), draw.integers(0, n_classes, n).numpy()


def same_network(student, reference, inputs, *names, rtol=None, atol=None):
    """The loss and the gradients called `names` are the reference's. The first that is not is reported."""
    result = student.mlp_loss_and_grads(*inputs)
    if not (isinstance(result, list | tuple) and len(result) == 2 and isinstance(result[1], dict)):
        raise Disagreement("the result is not a pair of the loss and a dictionary of gradients")
    loss, grads = reference.mlp_loss_and_grads(*inputs)
    if "loss" in names:
        close(result[0], loss, rtol=rtol, atol=atol, what="the loss")
    for name in names:
        if name != "loss":
            if name not in result[1]:
                raise Disagreement(f"{name} is missing among the gradients")
            close(result[1][name], grads[name], rtol=rtol, atol=atol, what=name)


EVERYTHING = ("loss", "db2", "dW2", "db1", "dW1", "dx")


@mlp_backprop
@pytest.mark.weight(2)
def test_network_loss(student, reference, draw):
    """The loss is the mean cross-entropy of relu(x W1 + b1) W2 + b2."""
    for sizes in SIZES:
        same_network(student, reference, network(draw, *sizes), "loss")


@mlp_backprop
@pytest.mark.weight(2)
def test_network_second_layer(student, reference, draw):
    """dW2 and db2 are right: each example adds its share, and the 1/N of the mean counts once."""
    for sizes in SIZES:
        same_network(student, reference, network(draw, *sizes), "db2", "dW2")


@mlp_backprop
@pytest.mark.weight(3)
def test_network_first_layer(student, reference, draw):
    """dW1 and db1 are right: a unit that was off passes nothing back, one that was on everything."""
    for sizes in SIZES:
        same_network(student, reference, network(draw, *sizes), "db1", "dW1")


@mlp_backprop
@pytest.mark.weight(2)
def test_network_inputs(student, reference, draw):
    """dx is right, for every example."""
    for sizes in SIZES:
        same_network(student, reference, network(draw, *sizes), "dx")


@mlp_backprop
def test_network_of_equal_sizes(student, reference, draw):
    """Everything is right also where all sizes are equal and a transposed product would fit."""
    same_network(student, reference, network(draw, 5, 5, 5, 5), *EVERYTHING)


@mlp_backprop
def test_network_of_one(student, reference, draw):
    """A single example is ordinary, and so are a single hidden unit and a single class."""
    for sizes in ((1, 3, 11, 2), (7, 2, 1, 5), (3, 2, 5, 1)):
        same_network(student, reference, network(draw, *sizes), *EVERYTHING)


@mlp_backprop
def test_network_of_large_logits(student, reference, draw):
    """Logits in the thousands give a finite loss and finite gradients."""
    x, W1, b1, W2, b2, y = network(draw, *SIZES[0])
    # With such logits p may be rounded at 1e-12, and on the way back the weights multiply that by thousands.
    same_network(student, reference, (x, W1, b1, 1000 * W2, b2, y), *EVERYTHING, atol=1e-6)


@mlp_backprop
def test_network_slopes(student, reference, draw):
    """Nudging a number changes the loss as its gradient says (central differences)."""
    inputs = network(draw, 3, 2, 5, 3)
    grads = student.mlp_loss_and_grads(*inputs)[1]
    for position, name in enumerate(("dx", "dW1", "db1", "dW2", "db2")):
        slope = np.zeros_like(inputs[position])
        for index in np.ndindex(slope.shape):
            above, below = ([a.copy() for a in inputs] for _ in range(2))
            above[position][index] += 1e-5
            below[position][index] -= 1e-5
            slope[index] = (reference.mlp_loss_and_grads(*above)[0] - reference.mlp_loss_and_grads(*below)[0]) / 2e-5
        close(grads.get(name), slope, rtol=1e-4, atol=1e-6, what=name)


@mlp_backprop
def test_network_of_float32(student, reference, draw):
    """float32 gradients come back as float32."""
    inputs = network(draw, *SIZES[0], dtype=np.float32)
    same_network(student, reference, inputs, *EVERYTHING, rtol=1e-3, atol=1e-4)


@mlp_backprop
def test_network_leaves_arguments_alone(student, reference, draw):
    """Inputs, weights, biases and targets are as they were after the call."""
    inputs = network(draw, *SIZES[0])
    same_network(student, reference, inputs, "loss")
    echo = student.call(student.mlp_loss_and_grads, *inputs).echo[0]
    for name, after, before in zip(("x", "W1", "b1", "W2", "b2", "y"), echo, inputs, strict=True):
        close(after, before, rtol=0, atol=0, what=f"{name} after the call")


# ---------------------------------------------------------------- gradient_descent

gradient_descent = pytest.mark.exercise("gradient_descent")


def bowl(draw, d=5, largest=1.0):
    """The gradient of a quadratic bowl whose axes are not those of x; its largest curvature is `largest`."""
    directions, _ = np.linalg.qr(draw.array(d, d))
    curvature = largest * np.linspace(0.2, 1.0, d)
    matrix, minimum = directions * curvature @ directions.T, draw.array(d)

    def grad_fn(x):
        return matrix @ (x - minimum)

    return grad_fn


@gradient_descent
@pytest.mark.weight(3)
def test_descent(student, reference, draw):
    """Each step goes from the point just reached, against the gradient there, lr times as far."""
    for d, steps in ((5, 7), (1, 3), (11, 2)):
        options = {"lr": 0.3, "steps": steps}
        grad_fn, x0 = bowl(draw, d), draw.array(d)
        path = student.gradient_descent(grad_fn, x0, **options)
        close(path, reference.gradient_descent(grad_fn, x0, **options), what="the path")


@gradient_descent
def test_descent_converges_or_not(student, reference, draw):
    """The path shrinks towards the minimum for lr below 2/λ and leaves it above, for the largest curvature λ."""
    for factor in (0.9, 1.9, 2.1):
        grad_fn, x0 = bowl(draw, largest=4.0), draw.array(5)
        options = {"lr": factor / 4.0, "steps": 17}
        close(student.gradient_descent(grad_fn, x0, **options), reference.gradient_descent(grad_fn, x0, **options))


@gradient_descent
@pytest.mark.weight(2)
def test_momentum(student, reference, draw):
    """With momentum the velocity is a running sum, v ← μ v + g, as in torch.optim.SGD."""
    for momentum in (0.9, 0.35):
        options = {"lr": 0.2, "steps": 7, "momentum": momentum}
        grad_fn, x0 = bowl(draw), draw.array(5)
        close(student.gradient_descent(grad_fn, x0, **options), reference.gradient_descent(grad_fn, x0, **options))


@gradient_descent
@pytest.mark.weight(2)
def test_nesterov(student, reference, draw):
    """With nesterov the step is g + μ v with the new v; without momentum that is plain descent."""
    for momentum in (0.7, 0.0):
        options = {"lr": 0.2, "steps": 7, "momentum": momentum, "nesterov": True}
        grad_fn, x0 = bowl(draw), draw.array(5)
        close(student.gradient_descent(grad_fn, x0, **options), reference.gradient_descent(grad_fn, x0, **options))


@gradient_descent
def test_descent_asks_once_per_step(student, draw):
    """The gradient is asked for exactly once per step, at the points of the path in turn."""
    grad_fn = bowl(draw)
    for options in ({}, {"momentum": 0.6}, {"momentum": 0.6, "nesterov": True}):
        asked = []

        def counted(x, asked=asked):
            asked.append(np.array(x))
            return grad_fn(x)

        path = student.gradient_descent(counted, draw.array(5), lr=0.2, steps=7, **options)
        if len(asked) != 7:
            raise Disagreement(f"the gradient was asked for {len(asked)} times in 7 steps")
        close(path[:-1], np.stack(asked), what="the path without its end, which is where the gradient was asked for,")


@gradient_descent
def test_descent_of_no_steps(student, draw):
    """With no steps the path is the start alone, and the gradient is not asked for; one step gives two points."""
    asked = []

    def counted(x):
        asked.append(x)
        return 2 * x

    x0 = draw.array(5)
    close(student.gradient_descent(counted, x0, lr=0.25, steps=1), np.stack([x0, x0 / 2]))
    close(student.gradient_descent(counted, x0, lr=0.25, steps=0), x0[None])
    if len(asked) != 1:
        raise Disagreement(f"the gradient was asked for {len(asked)} times in one step")


@gradient_descent
def test_descent_of_float32(student, reference, draw):
    """A float32 start gives a float32 path."""

    def cubic(x):
        return x**3 + x

    x0, options = draw.array(5, dtype=np.float32), {"lr": 0.1, "steps": 5, "momentum": 0.5}
    close(student.gradient_descent(cubic, x0, **options), reference.gradient_descent(cubic, x0, **options))


@gradient_descent
def test_descent_leaves_x0_alone(student, reference, draw):
    """x0 is as it was after the call, and it is the first point of the path."""
    agree(student.gradient_descent, reference.gradient_descent, bowl(draw), draw.array(5), lr=0.3, steps=3)


@gradient_descent
def test_descent_picture(student):
    """The picture's first two curves: plain descent falls steadily, and both are as the formulas say."""
    if not student.has("figure_data"):
        return
    t, curvature, start = np.arange(61)[:, None], np.array([1.0, 25.0]), np.array([10.0, 2.0])
    plain = 0.5 * (curvature * (start * (1 - 0.035 * curvature) ** t) ** 2).sum(-1)
    x, v, momentum = start, 0.0, []
    for _ in range(61):
        momentum.append(0.5 * (curvature * x**2).sum())
        v = 0.8 * v + curvature * x
        x = x - 0.035 * v
    curves = student.figure_data(["gradient descent", "momentum"])
    close(curves, np.stack([plain, np.array(momentum)]), atol=1e-9, what="the array of the picture")


# ---------------------------------------------------------------- adamw_step

adamw_step = pytest.mark.exercise("adamw_step")

EXACT = {"rtol": 1e-12, "atol": 1e-15}


def one_step(student, p, g, state, **options):
    """The new parameter, and the state as the student left it."""
    called = student.call(student.adamw_step, p, g, state, **options)
    return called.value, called.echo[0][2]


def same_steps(student, reference, p, gradients, *, tolerance=EXACT, **options):
    """One step per gradient, each from where the student is: points as the reference's, from an empty state on."""
    state, right_p, right_state = {}, p, {}
    for number, g in enumerate(gradients, start=1):
        p, state = one_step(student, p, g, state, **options)
        right_p = reference.adamw_step(right_p, g, right_state, **options)
        close(p, right_p, what=f"the parameter after step {number}", **tolerance)


@adamw_step
@pytest.mark.weight(2)
def test_adamw_first_step(student, reference, draw):
    """The first step is lr times the sign of the gradient, whatever its size: the averages are corrected with t = 1."""
    p, g = draw.array(7), draw.array(7)
    g = (g + np.sign(g)) * 10.0 ** np.arange(-3, 4)  # nothing so near 0 that eps would show
    options = {"lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-14, "weight_decay": 0.0}
    same_steps(student, reference, p, [g], **options)
    p_new, _ = one_step(student, p, g, {}, **options)
    close(p_new, p - 0.1 * np.sign(g), rtol=1e-9, atol=1e-9, what="the parameter after step 1")


@adamw_step
def test_adamw_state(student, reference, draw):
    """The state holds t, the number of steps so far, and the averages m and v as they are before the correction."""
    p, state, right = draw.array(3, 5), {}, {}
    options = {"lr": 0.01, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1}
    for step in (1, 2, 3):
        g = draw.array(3, 5)
        p_new, state = one_step(student, p, g, state, **options)
        expected = reference.adamw_step(p, g, right, **options)
        if not isinstance(state, dict) or not {"t", "m", "v"} <= set(state):
            raise Disagreement("after the call the state has not all of the keys t, m and v")
        close(state["t"], step, what='state["t"]')
        for name in ("m", "v"):
            close(state[name], right[name], rtol=1e-9, atol=0.0, what=f'state["{name}"] after step {step}')
        close(p_new, expected, what=f"the parameter after step {step}", **EXACT)


@adamw_step
@pytest.mark.weight(2)
def test_adamw_many_steps(student, reference, draw):
    """Without decay the steps are those of Adam, to 12 digits, for any betas."""
    for betas in ((0.9, 0.999), (0.6, 0.7)):
        gradients = [draw.array(3, 5) for _ in range(7)]
        same_steps(student, reference, draw.array(3, 5), gradients, lr=0.01, betas=betas, eps=1e-8, weight_decay=0.0)


@adamw_step
@pytest.mark.weight(2)
def test_adamw_decay_alone(student, reference, draw):
    """With gradient 0 every step multiplies the weights by 1 - lr · weight_decay."""
    options = {"lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.3}
    p = draw.array(5)
    same_steps(student, reference, p, [np.zeros(5)] * 3, **options)
    p_new, _ = one_step(student, p, np.zeros(5), {}, **options)
    close(p_new, 0.97 * p, **EXACT)


@adamw_step
@pytest.mark.weight(2)
def test_adamw_decay_beside_gradients(student, reference, draw):
    """The decay is decoupled: it is the same for weights with large and with small gradients."""
    gradients = [draw.array(5) * np.array([1e2, 1.0, 1e-2, 1e-4, 0.0]) for _ in range(5)]
    same_steps(student, reference, draw.array(5), gradients, lr=0.03, betas=(0.8, 0.9), eps=1e-8, weight_decay=0.4)


@adamw_step
@pytest.mark.weight(3)
def test_adamw_of_tiny_gradients(student, reference, draw):
    """With gradients near eps, where it stands decides: outside the root, after the correction."""
    for scale in (1e-8, 1e-6):
        gradients = [scale * draw.array(5) for _ in range(5)]
        same_steps(student, reference, draw.array(5), gradients, lr=0.01, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0)


@adamw_step
def test_adamw_of_two_parameters(student, reference, draw):
    """Two parameters with a state each do not see each other, and an empty state starts afresh."""
    options = {"lr": 0.01, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1}
    parameters, states, right = [draw.array(3), draw.array(3)], [{}, {}], [{}, {}]
    for _ in range(2):
        for i in (0, 1):
            g = draw.array(3)
            expected = reference.adamw_step(parameters[i], g, right[i], **options)
            parameters[i], states[i] = one_step(student, parameters[i], g, states[i], **options)
            close(parameters[i], expected, what=f"parameter {i + 1}", **EXACT)
    p, g = draw.array(3), draw.array(3)
    close(one_step(student, p, g, {}, **options)[0], reference.adamw_step(p, g, {}, **options), **EXACT)


@adamw_step
def test_adamw_shapes_and_dtypes(student, reference, draw):
    """Parameters of any shape keep it, and float32 stays float32."""
    options = {"lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1}
    for shape in ((2, 3, 5), (1,), (7,)):
        same_steps(student, reference, draw.array(*shape), [draw.array(*shape) for _ in range(2)], **options)
    p, gradients = draw.array(3, 5, dtype=np.float32), [draw.array(3, 5, dtype=np.float32) for _ in range(3)]
    same_steps(student, reference, p, gradients, tolerance={"rtol": 1e-4, "atol": 1e-5}, **options)


@adamw_step
def test_adamw_leaves_p_and_g_alone(student, reference, draw):
    """p and g are as they were after the call; the state is the only argument that is written to."""
    p, g = draw.array(3, 5), draw.array(3, 5)
    options = {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-8, "weight_decay": 0.2}
    called = student.call(student.adamw_step, p, g, {}, **options)
    close(called.value, reference.adamw_step(p, g, {}, **options), **EXACT)
    for name, after, before in zip("pg", called.echo[0], (p, g), strict=False):
        close(after, before, rtol=0, atol=0, what=f"{name} after the call")


@adamw_step
def test_adamw_picture(student, reference):
    """The picture's third curve is the loss along AdamW's path."""
    if not student.has("figure_data"):
        return
    curvature, x, state, losses = np.array([1.0, 25.0]), np.array([10.0, 2.0]), {}, []
    for _ in range(61):
        losses.append(0.5 * (curvature * x**2).sum())
        x = reference.adamw_step(x, curvature * x, state, 0.4, (0.9, 0.999), 1e-8, 0.0)
    close(student.figure_data(["AdamW"]), np.array([losses]), atol=1e-9, what="the array of the picture")
