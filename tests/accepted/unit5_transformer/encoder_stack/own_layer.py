"""A stack of the page's own layers, made in a loop, with the norm only where it is asked for."""

from torch import nn

from autograder.given import FeedForward, LayerNorm, MultiHeadAttention


class EncoderLayer(nn.Module):
    def __init__(self, d_model, n_heads, d_ff, dropout=0.0, norm_first=False, activation="relu"):
        super().__init__()
        self.norm_first = norm_first
        self.self_attn = MultiHeadAttention(d_model, n_heads)
        self.ffn = FeedForward(d_model, d_ff, activation)
        self.norm1, self.norm2, self.drop = LayerNorm(d_model), LayerNorm(d_model), nn.Dropout(dropout)

    def forward(self, x, mask=None):
        pre = self.norm_first
        x = x + self.drop(self.self_attn(self.norm1(x) if pre else x, mask=mask))
        x = x if pre else self.norm1(x)
        x = x + self.drop(self.ffn(self.norm2(x) if pre else x))
        return x if pre else self.norm2(x)


class Encoder(nn.Module):
    def __init__(
        self, n_layers, d_model, n_heads, d_ff, dropout=0.0, norm_first=False, activation="relu", final_norm=False
    ):
        super().__init__()
        self.layers = nn.ModuleList()
        for _ in range(n_layers):
            self.layers.append(EncoderLayer(d_model, n_heads, d_ff, dropout, norm_first, activation))
        self.norm = nn.LayerNorm(d_model) if final_norm else None

    def forward(self, x, mask=None):
        for layer in self.layers:
            x = layer(x, mask)
        return x if self.norm is None else self.norm(x)
