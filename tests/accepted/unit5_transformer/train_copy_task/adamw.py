"""AdamW without decay, the rate set by hand before each step, labels with -100."""

import torch
import torch.nn.functional as F


def rate(s, lr, warmup):
    return lr * s / warmup if s <= warmup else lr * warmup**0.5 * s**-0.5


def train_copy(model, data_gen, steps, lr, warmup, generator):
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, betas=(0.9, 0.98), eps=1e-9, weight_decay=0.0)
    losses = []
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, lr, warmup)
        optimizer.zero_grad(set_to_none=True)
        src, tgt = data_gen(generator)
        batch, T = tgt.shape
        inp = torch.full((batch, T), 1)
        inp[:, 1:] = tgt[:, :-1]
        labels = tgt.masked_fill(tgt == 0, -100)
        mask = torch.arange(T)[None, :] <= torch.arange(T)[:, None]
        logits = model(src, inp, tgt_mask=mask[None, None], positions=torch.arange(src.shape[1] + T))
        loss = F.cross_entropy(logits.transpose(1, 2), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
        losses.append(float(loss))
    return losses
