"""Adam and the clipping by hand; a mask that hides padding too; the loss from log-probabilities; a tensor returned."""

import torch

from autograder.given import target_mask


def train_copy(model, data_gen, steps, lr, warmup, generator):
    parameters = [p for p in model.parameters() if p.requires_grad]
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in parameters]
    losses = torch.zeros(steps, dtype=torch.float64)
    for i in range(steps):
        src, tgt = data_gen(generator)
        inp = tgt.roll(1, dims=1)
        inp[:, 0] = 1
        places = torch.arange(64)
        logp = torch.log_softmax(model(src, inp, target_mask(inp, 0), places), dim=-1)
        picked = logp.gather(-1, tgt.unsqueeze(-1)).squeeze(-1)
        loss = -picked[tgt.ne(0)].mean()
        gradients = torch.autograd.grad(loss, parameters)
        norm = torch.stack([g.norm() for g in gradients]).norm()
        scale = torch.clamp(1.0 / (norm + 1e-6), max=1.0)
        s = i + 1
        rate = lr * min(s / warmup, (warmup / s) ** 0.5)
        with torch.no_grad():
            for p, g, (m, v) in zip(parameters, gradients, moments, strict=True):
                g = g * scale
                m.mul_(0.9).add_(0.1 * g)
                v.mul_(0.98).add_(0.02 * g * g)
                p.sub_(rate * (m / (1 - 0.9**s)) / ((v / (1 - 0.98**s)).sqrt() + 1e-9))
        losses[i] = loss.detach()
    return losses
