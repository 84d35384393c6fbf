"""Reference of the page `fair`. {{canary}}"""


def normalize(x):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().sum(-1, keepdim=True) / (x.shape[-1] - 1)).sqrt()
