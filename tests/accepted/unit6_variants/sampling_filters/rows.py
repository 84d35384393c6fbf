"""Row by row with lists and a loop; sampling by the Gumbel trick."""

import math

import torch


def filter_logits(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature < 0:
        raise ValueError("temperature")
    rows = []
    for row in logits:
        if temperature == 0:
            keep = torch.arange(len(row)) == row.argmax()
            rows.append(torch.where(keep, row, -math.inf))
            continue
        row = row / temperature
        if top_k is not None and 0 < top_k < len(row):
            border = row.sort().values[-top_k]
            row = torch.where(row >= border, row, torch.full_like(row, -math.inf))
        if top_p is not None:
            p, total, kept = row.softmax(0), 0.0, []
            for i in row.argsort(descending=True).tolist():
                if kept and total >= top_p and top_p < 1:
                    break
                kept.append(i)
                total += p[i].item()
            new = torch.full_like(row, -math.inf)
            new[kept] = row[kept]
            row = new
        rows.append(row)
    return torch.stack(rows)


def sample(logits, generator):
    noise = torch.rand(logits.shape, generator=generator, dtype=torch.float64)
    return (logits.double() - (-noise.log()).log()).argmax(dim=1)
