"""log_softmax along both axes, and the diagonals."""

import torch.nn.functional as F


def clip_loss(img, txt, logit_scale):
    u, w = F.normalize(img, dim=1), F.normalize(txt, dim=1)
    logits = u @ w.T * logit_scale.exp()
    rows, columns = logits.log_softmax(dim=1), logits.log_softmax(dim=0)
    return -(rows.diagonal() + columns.diagonal()).mean() / 2, logits
