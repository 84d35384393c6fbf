"""Two residual wrappers around the given parts; the parameters get their names through load_reference."""

from torch import nn

from autograder.given import FeedForward, LayerNorm, MultiHeadAttention


class Residual(nn.Module):
    def __init__(self, sublayer, norm, norm_first, dropout):
        super().__init__()
        self.sublayer, self.norm, self.norm_first, self.drop = sublayer, norm, norm_first, nn.Dropout(dropout)

    def forward(self, x, **kwargs):
        if self.norm_first:
            return x + self.drop(self.sublayer(self.norm(x), **kwargs))
        return self.norm(x + self.drop(self.sublayer(x, **kwargs)))


class EncoderLayer(nn.Module):
    def __init__(self, d_model, n_heads, d_ff, dropout=0.0, norm_first=False, activation="relu"):
        super().__init__()
        self.first = Residual(MultiHeadAttention(d_model, n_heads), LayerNorm(d_model), norm_first, dropout)
        self.second = Residual(FeedForward(d_model, d_ff, activation), LayerNorm(d_model), norm_first, dropout)

    def load_reference(self, state_dict):
        new = {"self_attn": "first.sublayer", "norm1": "first.norm", "ffn": "second.sublayer", "norm2": "second.norm"}
        renamed = {}
        for name, value in state_dict.items():
            head, rest = name.split(".", 1)
            renamed[f"{new[head]}.{rest}"] = value
        self.load_state_dict(renamed)

    def forward(self, x, mask=None):
        return self.second(self.first(x, mask=mask))
