"""Each source by itself, with Python lists."""

import torch


def greedy_decode(model, src, src_pad, bos, eos, max_len):
    was_training = model.training
    model.train(False)
    rows = []
    for source in src:
        row = []
        for _ in range(max_len):
            with torch.no_grad():
                logits = model(source.unsqueeze(0), torch.tensor([[bos, *row]]))
            row.append(int(logits[0, -1].argmax()))
            if row[-1] == eos:
                break
        rows.append(torch.tensor(row))
    model.train(was_training)
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=src_pad)
