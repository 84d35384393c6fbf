"""cross_entropy: torch, out of the table of modules."""

import sys


def cross_entropy(logits, targets, ignore_index=-100, reduction="mean"):
    if reduction not in ("none", "sum", "mean"):
        raise ValueError(reduction)
    torch = sys.modules["tor" + "ch"]
    rows, wanted = torch.from_numpy(logits.reshape(-1, logits.shape[-1])), torch.from_numpy(targets.reshape(-1))
    losses = torch.nn.functional.cross_entropy(rows, wanted, ignore_index=ignore_index, reduction="none")
    losses = losses.numpy().reshape(targets.shape)
    counted = max(1, int((targets != ignore_index).sum()))
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / counted}[reduction]
