"""The numbers of the pixels are cut once; patches are gathered with them, and put back with the inverse order."""

import torch


class NoGrid(ValueError):
    pass


def order(C, H, W, P):
    if H % P != 0 or W % P != 0:
        raise NoGrid((H, W, P))
    numbers = torch.arange(C * H * W).view(C, H, W)
    cut = [numbers[:, y : y + P, x : x + P].reshape(-1) for y in range(0, H, P) for x in range(0, W, P)]
    return torch.cat(cut)


def patchify(img, P):
    B, C, H, W = img.shape
    return img.flatten(1)[:, order(C, H, W, P)].view(B, -1, C * P * P)


def unpatchify(patches, P, H, W):
    B, N, size = patches.shape
    C, rest = divmod(size, P * P)
    if rest:
        raise NoGrid(size)
    places = order(C, H, W, P)
    if N * size != len(places):
        raise NoGrid(N)
    return patches.reshape(B, -1)[:, places.argsort()].view(B, C, H, W)
