"""Known wrong answers to the page `networks`."""

import numpy as np

from autograder.grading.misconceptions import correct, misconception

# ---------------------------------------------------------------- mlp_backprop


@misconception("mlp_backprop", symbol="mlp_loss_and_grads")
def relu_mask_from_dout(x, W1, b1, W2, b2, y):
    """The units are switched off by the sign of the gradient that comes back, not of what went in.

    A unit that was on passes every gradient on, also a negative one; a unit that was off passes none. Which array of
    the forward pass says whether it was on?
    """
    loss, grads = correct.mlp_loss_and_grads(x, W1, b1, W2, b2, y)
    z = np.maximum(x @ W1 + b1, 0) @ W2 + b2
    dz = np.exp(z - z.max(axis=-1, keepdims=True))
    dz /= dz.sum(axis=-1, keepdims=True)
    dz[np.arange(len(x)), y] -= 1
    dh = dz / len(x) @ W2.T
    da = dh * (dh > 0)
    return loss, {**grads, "dx": da @ W1.T, "dW1": x.T @ da, "db1": da.sum(axis=0)}


@misconception("mlp_backprop", symbol="mlp_loss_and_grads")
def bias_grad_mean(x, W1, b1, W2, b2, y):
    """The gradients of the biases are means over the examples; they are sums.

    A bias acts in every example, and the effects add up. The 1/N of the mean loss is in dz already: it must not be
    divided by twice.
    """
    loss, grads = correct.mlp_loss_and_grads(x, W1, b1, W2, b2, y)
    return loss, {**grads, "db1": grads["db1"] / len(x), "db2": grads["db2"] / len(x)}


@misconception("mlp_backprop", symbol="mlp_loss_and_grads")
def dw_transposed(x, W1, b1, W2, b2, y):
    """The gradients of the weights are transposed.

    A gradient has the shape of the thing it belongs to; here weights are (in, out). If all your sizes are equal, the
    shapes cannot tell you: try different ones.
    """
    loss, grads = correct.mlp_loss_and_grads(x, W1, b1, W2, b2, y)
    return loss, {**grads, "dW1": grads["dW1"].T, "dW2": grads["dW2"].T}


@misconception("mlp_backprop", symbol="mlp_loss_and_grads")
def dx_missing(x, W1, b1, W2, b2, y):
    """dx is all zeros. The inputs are not trained, but whatever comes before this network needs their gradient.

    One more step of the chain rule: from the first layer's output to its input.
    """
    loss, grads = correct.mlp_loss_and_grads(x, W1, b1, W2, b2, y)
    return loss, {**grads, "dx": np.zeros_like(x)}


@misconception("mlp_backprop", symbol="mlp_loss_and_grads")
def gradient_of_the_sum(x, W1, b1, W2, b2, y):
    """The gradients are those of the sum of the losses, N times too large; the loss is their mean.

    The 1/N of the mean belongs into dz, and everything that comes after inherits it.
    """
    loss, grads = correct.mlp_loss_and_grads(x, W1, b1, W2, b2, y)
    return loss, {name: len(x) * gradient for name, gradient in grads.items()}


@misconception("mlp_backprop", symbol="mlp_loss_and_grads")
def divided_twice(x, W1, b1, W2, b2, y):
    """The gradients of weights and biases were divided by N once more.

    The 1/N of the mean is in dz already, and comes along by itself. What remains is a sum over the examples.
    """
    loss, grads = correct.mlp_loss_and_grads(x, W1, b1, W2, b2, y)
    return loss, {name: gradient if name == "dx" else gradient / len(x) for name, gradient in grads.items()}


@misconception("mlp_backprop", symbol="mlp_loss_and_grads")
def relu_passes_everything(x, W1, b1, W2, b2, y):
    """The way back skips the relu: units that were off passed their gradient on as well.

    Where a was negative, h is 0 whatever a is exactly, so no gradient goes through.
    """
    loss, grads = correct.mlp_loss_and_grads(x, W1, b1, W2, b2, y)
    z = np.maximum(x @ W1 + b1, 0) @ W2 + b2
    dz = np.exp(z - z.max(axis=-1, keepdims=True))
    dz /= dz.sum(axis=-1, keepdims=True)
    dz[np.arange(len(x)), y] -= 1
    da = dz / len(x) @ W2.T
    return loss, {**grads, "dx": da @ W1.T, "dW1": x.T @ da, "db1": da.sum(axis=0)}


@misconception("mlp_backprop", symbol="mlp_loss_and_grads")
def dw2_from_a(x, W1, b1, W2, b2, y):
    """dW2 was formed with a, the numbers before the relu. What W2 is multiplied by in the forward pass is h."""
    loss, grads = correct.mlp_loss_and_grads(x, W1, b1, W2, b2, y)
    a = x @ W1 + b1
    z = np.maximum(a, 0) @ W2 + b2
    dz = np.exp(z - z.max(axis=-1, keepdims=True))
    dz /= dz.sum(axis=-1, keepdims=True)
    dz[np.arange(len(x)), y] -= 1
    return loss, {**grads, "dW2": a.T @ (dz / len(x))}


# ---------------------------------------------------------------- gradient_descent


@misconception("gradient_descent", symbol="gradient_descent")
def ascent(grad_fn, x0, lr, steps, momentum=0.0, nesterov=False):
    """The steps go uphill: the gradient points to where the function grows."""
    return correct.gradient_descent(grad_fn, x0, -lr, steps, momentum, nesterov)


@misconception("gradient_descent", symbol="gradient_descent")
def aliasing(grad_fn, x0, lr, steps, momentum=0.0, nesterov=False):
    """All points of the path are equal: they are one array, remembered several times.

    `x -= ...` changes the array itself, and with it every row that refers to it (and x0). Store a copy, or make a new
    array in each step.
    """
    x, velocity, points = x0, np.zeros_like(x0), [x0]
    for _ in range(steps):
        gradient = grad_fn(x)
        velocity = momentum * velocity + gradient
        x -= lr * (gradient + momentum * velocity if nesterov else velocity)
        points.append(x)
    return np.array(points)


@misconception("gradient_descent", symbol="gradient_descent")
def momentum_ema(grad_fn, x0, lr, steps, momentum=0.0, nesterov=False):
    """The velocity is a running average, with (1 - μ) before the gradient. Here, as in torch, it is a running sum.

    Both conventions are in use, and differ by a factor of 1/(1 - μ) in the learning rate.
    """
    trajectory = np.empty((steps + 1, *x0.shape), dtype=x0.dtype)
    trajectory[0] = x0
    velocity = np.zeros_like(x0)
    for step in range(steps):
        gradient = grad_fn(trajectory[step])
        velocity = momentum * velocity + (1 - momentum) * gradient
        direction = gradient + momentum * velocity if nesterov else velocity
        trajectory[step + 1] = trajectory[step] - lr * direction
    return trajectory


@misconception("gradient_descent", symbol="gradient_descent")
def nesterov_ignored(grad_fn, x0, lr, steps, momentum=0.0, nesterov=False):
    """The flag `nesterov` changes nothing: the steps are those of ordinary momentum.

    If you do use it, look at which velocity stands in g + μ v: with the old one this is the ordinary step again.
    """
    return correct.gradient_descent(grad_fn, x0, lr, steps, momentum)


@misconception("gradient_descent", symbol="gradient_descent")
def gradient_at_the_point_ahead(grad_fn, x0, lr, steps, momentum=0.0, nesterov=False):
    """With nesterov the gradient was taken at the point ahead, x - η μ v. That is Nesterov's own form of the idea.

    Here, as in torch, the gradient is that of the point just reached, and it is the step that looks ahead: g + μ v.
    """
    x, velocity, points = x0, np.zeros_like(x0), [x0]
    for _ in range(steps):
        velocity = momentum * velocity + grad_fn(x - lr * momentum * velocity if nesterov else x)
        x = (x - lr * velocity).astype(x0.dtype)
        points.append(x)
    return np.stack(points)


@misconception("gradient_descent", symbol="gradient_descent")
def gradient_part_missing(grad_fn, x0, lr, steps, momentum=0.0, nesterov=False):
    """With nesterov the step is μ v alone, without the gradient: then nothing moves where there is no momentum.

    It is the sum of both, g + μ v.
    """
    x, velocity, points = x0, np.zeros_like(x0), [x0]
    for _ in range(steps):
        velocity = momentum * velocity + grad_fn(x)
        x = (x - lr * (momentum * velocity if nesterov else velocity)).astype(x0.dtype)
        points.append(x)
    return np.stack(points)


@misconception("gradient_descent", symbol="gradient_descent")
def momentum_unused(grad_fn, x0, lr, steps, momentum=0.0, nesterov=False):
    """The argument momentum changes nothing: every step is that of plain gradient descent."""
    return correct.gradient_descent(grad_fn, x0, lr, steps)


# ---------------------------------------------------------------- adamw_step


def _step(p, g, state, lr, betas, eps, weight_decay, direction):
    """AdamW with the state kept right, and `direction(m, v, c1, c2)` in place of m̂ / (√v̂ + ε)."""
    t = state.get("t", 0) + 1
    m = betas[0] * state.get("m", np.zeros_like(p)) + (1 - betas[0]) * g
    v = betas[1] * state.get("v", np.zeros_like(p)) + (1 - betas[1]) * g * g
    state.update(t=t, m=m, v=v)
    return p - lr * (direction(m, v, 1 - betas[0] ** t, 1 - betas[1] ** t) + weight_decay * p)


@misconception("adamw_step", symbol="adamw_step")
def decay_of_the_new_value(p, g, state, lr, betas, eps, weight_decay):
    """The decay was taken of the weight after Adam's step. In the formula both parts start from p as it was before."""
    p = correct.adamw_step(p, g, state, lr, betas, eps, 0.0)
    return p - lr * weight_decay * p


@misconception("adamw_step", symbol="adamw_step")
def no_decay(p, g, state, lr, betas, eps, weight_decay):
    """weight_decay changes nothing: this is plain Adam. The W is the term η w p, which pulls every weight towards 0."""
    return correct.adamw_step(p, g, state, lr, betas, eps, 0.0)


@misconception("adamw_step", symbol="adamw_step")
def corrected_averages_kept(p, g, state, lr, betas, eps, weight_decay):
    """The corrected averages were put into the state, so that the next step averages and corrects them again.

    m̂ and v̂ are made for one step and forgotten; what is remembered is m and v, as they are before the correction.
    """
    p = correct.adamw_step(p, g, state, lr, betas, eps, weight_decay)
    state["m"] = state["m"] / (1 - betas[0] ** state["t"])
    state["v"] = state["v"] / (1 - betas[1] ** state["t"])
    return p


@misconception("adamw_step", symbol="adamw_step")
def t_from_zero(p, g, state, lr, betas, eps, weight_decay):
    """The first step is corrected with t = 0, where 1 - β^0 = 0: 0/0 or a division by 0.

    t counts the steps taken, this one included. Count up before you correct.
    """
    t = state.get("t", 0)
    with np.errstate(all="ignore"):
        return _step(
            p, g, state, lr, betas, eps, weight_decay,
            lambda m, v, c1, c2: m / np.float64(1 - betas[0] ** t) / (np.sqrt(v / np.float64(1 - betas[1] ** t)) + eps),
        )  # fmt: skip


@misconception("adamw_step", symbol="adamw_step")
def v_not_corrected(p, g, state, lr, betas, eps, weight_decay):
    """Only m was corrected. v starts at 0 as well, and with β2 near 1 it is even further from its size than m is."""
    return _step(p, g, state, lr, betas, eps, weight_decay, lambda m, v, c1, c2: m / c1 / (np.sqrt(v) + eps))


@misconception("adamw_step", symbol="adamw_step")
def state_not_written(p, g, state, lr, betas, eps, weight_decay):
    """The caller's dictionary is as it was: every step is a first step.

    `state = {...}` and `state = dict(state)` give the name to another dictionary. Write into the one that came.
    """
    return correct.adamw_step(p, g, dict(state), lr, betas, eps, weight_decay)


@misconception("adamw_step", symbol="adamw_step")
def l2_coupled(p, g, state, lr, betas, eps, weight_decay):
    """The decay was added to the gradient. That is L2 regularisation, which Adam then divides by √v̂ like the rest.

    In AdamW the decay does not go through the averages; it acts on the weight itself.
    """
    return correct.adamw_step(p, g + weight_decay * p, state, lr, betas, eps, 0.0)


@misconception("adamw_step", symbol="adamw_step")
def no_bias_correction(p, g, state, lr, betas, eps, weight_decay):
    """The averages are used as they are. They start at 0, so that the first ones are much too small.

    Divide each by the share that it has collected so far, which depends on t.
    """
    return _step(p, g, state, lr, betas, eps, weight_decay, lambda m, v, c1, c2: m / (np.sqrt(v) + eps))


@misconception("adamw_step", symbol="adamw_step")
def eps_inside_sqrt(p, g, state, lr, betas, eps, weight_decay):
    """eps stands under the root, where 1e-8 acts like 1e-4.

    With gradients around 1 no one would notice; with tiny ones the steps nearly vanish. It is added to the finished
    root.
    """
    return _step(p, g, state, lr, betas, eps, weight_decay, lambda m, v, c1, c2: m / c1 / np.sqrt(v / c2 + eps))


@misconception("adamw_step", symbol="adamw_step")
def eps_before_correction(p, g, state, lr, betas, eps, weight_decay):
    """eps was added before the bias correction, and is then divided by it as well: it is too large in early steps.

    First correct the average, then take the root, then add eps.
    """
    return _step(
        p, g, state, lr, betas, eps, weight_decay, lambda m, v, c1, c2: m / c1 / ((np.sqrt(v) + eps) / np.sqrt(c2))
    )


@misconception("adamw_step", symbol="adamw_step")
def wd_without_lr(p, g, state, lr, betas, eps, weight_decay):
    """The decay is not multiplied by the learning rate: p shrinks by the factor 1 - weight_decay in every step.

    With the usual 0.01 the weights are gone after a few hundred steps. The learning rate belongs before both parts of
    the step.
    """
    return correct.adamw_step(p, g, state, lr, betas, eps, weight_decay / lr)


@misconception("adamw_step", symbol="adamw_step")
def t_off_by_one(p, g, state, lr, betas, eps, weight_decay):
    """The bias correction is one step ahead: in the first step it uses t = 2.

    After one step the average has collected one share, 1 - β. Count up once, and before you correct.
    """
    t = state.get("t", 0) + 2
    return _step(
        p, g, state, lr, betas, eps, weight_decay,
        lambda m, v, c1, c2: m / (1 - betas[0] ** t) / (np.sqrt(v / (1 - betas[1] ** t)) + eps),
    )  # fmt: skip
